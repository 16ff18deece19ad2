// Somebody on the device with a connection that stays open, who also tries to open new ones: what tells a
// policy of the sly kind from one that cuts everything off.

import type { Lab } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import type { Program } from '../lab/program.ts';

export interface Talk {
  /** Echoes that came back over the open connection while no new one could be opened. */
  readonly echoes: number;
  /** New connections that could not be opened. */
  readonly failed: number;
  /** New connections that could, between the first and the last that could not. */
  readonly opened: number;
}

export class Talker {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  static async open(lab: Lab, options: { from: Namespace; to: Namespace; address: string; port: number }) {
    const { from, to, address, port } = options;
    const server = `
      require('node:net').createServer((socket) => socket.on('error', () => {}).pipe(socket))
        .listen(${port}, '${address}', () => console.log('listening'));`;
    const echo = lab.start('echo', { argv: [process.execPath, '-e', server], namespace: to });
    await echo.line(/^listening/, 10_000);
    const client = `
      const net = require('node:net');
      const open = net.connect(${port}, '${address}', () => console.log('open'));
      open.on('data', () => console.log('echo')).on('error', () => console.log('lost'));
      setInterval(() => open.write('x'), 100);
      let tries = 0;
      setInterval(() => {
        const number = ++tries;
        const fresh = net.connect(${port}, '${address}');
        const end = (what) => { if (!fresh.destroyed) { console.log(what, number); fresh.destroy(); } };
        fresh.setTimeout(400, () => end('failed'));
        fresh.on('connect', () => end('opened')).on('error', () => end('failed'));
      }, 250);`;
    const program = lab.start('talker', { argv: [process.execPath, '-e', client], namespace: from });
    await program.line(/^opened/, 10_000);
    return new Talker(program);
  }

  async close(): Promise<Talk> {
    await this.#program.stop();
    const lines = this.#program.output().split('\n');
    const tries = (what: string): number[] =>
      lines.filter((line) => line.startsWith(`${what} `)).map((line) => Number(line.slice(what.length + 1)));
    const failed = tries('failed');
    // Ordered by when they were begun: one that fails is known later than the one after it that does not.
    const between = (number: number): boolean => number > (failed[0] ?? 0) && number < (failed.at(-1) ?? 0);
    const from = lines.indexOf(`failed ${failed[0]}`);
    const to = lines.indexOf(`failed ${failed.at(-1)}`);
    const echoes = lines.slice(Math.max(from, 0), Math.max(to, 0)).filter((line) => line === 'echo').length;
    return { echoes, failed: failed.length, opened: tries('opened').filter(between).length };
  }
}
