// Debian's mosquitto with a configuration of ours, on ports of its own, for as long as a test runs.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const mosquittoProgram = ['/usr/sbin/mosquitto', '/usr/bin/mosquitto'].find((path) => existsSync(path));

/** For a test's `skip`: false where mosquitto is there. */
export const needsMosquitto = mosquittoProgram === undefined && 'needs mosquitto: apt-get install mosquitto';

export function brokerFolder(): string {
  return mkdtempSync(join(tmpdir(), 'husk-mosquitto-'));
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export class MosquittoBroker {
  readonly #process: ChildProcess;
  readonly #folder: string;
  #output = '';

  private constructor(process: ChildProcess, folder: string) {
    this.#process = process;
    this.#folder = folder;
    for (const stream of [process.stdout, process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString();
      });
    }
  }

  /** `folder` holds mosquitto.conf and all it names. */
  static async start(folder: string, port: number): Promise<MosquittoBroker> {
    giveToMosquitto(folder);
    const child = spawn(mosquittoProgram ?? 'mosquitto', ['-c', join(folder, 'mosquitto.conf')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const broker = new MosquittoBroker(child, folder);
    const until = Date.now() + 10_000;
    while (!(await answers(port))) {
      if (child.exitCode !== null || Date.now() > until) {
        throw new Error(`mosquitto did not start: ${broker.#output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return broker;
  }

  get output(): string {
    return this.#output;
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Started as root it runs as its own user, which has to read the files. */
function giveToMosquitto(folder: string): void {
  if (process.getuid?.() !== 0) return;
  const id = (option: string) => Number(execFileSync('id', [option, 'mosquitto'], { encoding: 'utf8' }));
  const [uid, gid] = [id('-u'), id('-g')];
  for (const name of ['.', ...readdirSync(folder)]) chownSync(join(folder, name), uid, gid);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
