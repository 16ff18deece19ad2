// A stub of a daemon that was broken into: every half second it tries to open a shell's way home, a reverse
// connection, and writes down what became of it. It stands for the exploit, not for the daemon.

import type { Lab } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import type { Program } from '../lab/program.ts';
import { waitFor } from '../lab/wait-for.ts';

export interface CallHome {
  readonly address: string;
  readonly port: number;
}

export class Stubd {
  readonly program: Program;
  #read = 0;

  constructor(lab: Lab, options: { namespace: Namespace; cgroup: string; home: CallHome }) {
    const { home } = options;
    const script = `
      process.title = 'stubd';
      const net = require('node:net');
      setInterval(() => {
        const socket = net.connect(${home.port}, '${home.address}');
        socket.setTimeout(2000, () => socket.destroy(new Error('timeout')));
        socket.on('connect', () => { console.log('connected'); socket.destroy(); });
        socket.on('error', (error) => console.log(error.code ?? error.message));
      }, 500);`;
    this.program = lab.start('stubd', {
      argv: [process.execPath, '-e', script],
      namespace: options.namespace,
      cgroup: options.cgroup,
    });
  }

  /** What became of the next tries, once `count` of them were made from now on. */
  async next(count: number): Promise<string[]> {
    this.#read = this.#outcomes().length;
    return await waitFor(
      () => {
        const since = this.#outcomes().slice(this.#read);
        return since.length >= count && since;
      },
      { what: `${count} tries of the stub daemon`, withinMs: 20_000 },
    );
  }

  #outcomes(): string[] {
    return this.program.output().trimEnd().split('\n').filter(Boolean);
  }
}

/** Someone who waits at home for the connection. */
export function waitAtHome(lab: Lab, namespace: Namespace, home: CallHome): Program {
  const script = `
    let count = 0;
    require('node:net').createServer((socket) => {
      console.log('visitor ' + ++count);
      socket.on('error', () => {}).resume();
    }).listen(${home.port}, '${home.address}', () => console.log('waiting'));`;
  return lab.start('home', { argv: [process.execPath, '-e', script], namespace });
}
