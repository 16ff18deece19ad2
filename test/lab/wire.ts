// Putting frames on a wire of the lab, and counting datagrams that a listener really receives.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from './lab.ts';
import type { Namespace } from './namespace.ts';
import { writeCapture } from './pcap.ts';
import type { Program } from './program.ts';
import { waitFor } from './wait-for.ts';

export interface Sending {
  readonly from: Namespace;
  readonly interface: string;
  readonly frames: readonly Uint8Array[];
  /** Times the whole list is sent. */
  readonly loop?: number;
  /** Absent: as fast as it goes. */
  readonly packetsPerSecond?: number;
}

let captures = 0;

/** Sends with tcpreplay and returns how many it says it put on the wire. */
export function send(lab: Lab, sending: Sending): number {
  const file = writeFrames(lab, sending.frames);
  const out = sending.from.run('tcpreplay', replayArguments(sending, file), { timeoutMs: 300_000 });
  const sent = /Successful packets:\s+(\d+)/.exec(out)?.[1];
  if (sent === undefined) throw new Error(`tcpreplay said nothing of packets: ${out}`);
  return Number(sent);
}

/** Goes on sending until it is stopped. */
export function sendOn(lab: Lab, sending: Sending): Program {
  const file = writeFrames(lab, sending.frames);
  const argv = ['tcpreplay', ...replayArguments({ ...sending, loop: 0 }, file)];
  return lab.start(`replay-${captures}`, { argv, namespace: sending.from });
}

function writeFrames(lab: Lab, frames: readonly Uint8Array[]): string {
  const file = join(lab.dir, `frames-${captures++}.pcap`);
  writeFileSync(file, writeCapture(frames));
  return file;
}

function replayArguments({ interface: name, loop = 1, packetsPerSecond }: Sending, file: string): string[] {
  const speed = packetsPerSecond === undefined ? '--topspeed' : `--pps=${packetsPerSecond}`;
  return ['--preload-pcap', `--intf1=${name}`, `--loop=${loop}`, speed, file];
}

/**
 * A program that counts the datagrams that reach one UDP port, both families. What the kernel dropped because
 * the program was slow to read has reached the port as well, and counts.
 */
export class Listener {
  readonly #program: Program;
  readonly #options: { readonly namespace: Namespace; readonly port: number };

  private constructor(program: Program, options: { namespace: Namespace; port: number }) {
    this.#program = program;
    this.#options = options;
  }

  static async open(lab: Lab, options: { namespace: Namespace; port: number }): Promise<Listener> {
    const script = `
      const socket = require('node:dgram').createSocket({ type: 'udp6', recvBufferSize: 8 << 20 });
      let count = 0, told = -1;
      socket.on('message', () => { count++; });
      socket.bind(${options.port}, '::', () => setInterval(() => {
        if (count !== told) console.log('count ' + (told = count));
      }, 20));`;
    const program = lab.start(`listener-${options.namespace.name}-${options.port}`, {
      argv: [process.execPath, '-e', script],
      namespace: options.namespace,
    });
    await program.line(/^count /, 10_000);
    return new Listener(program, options);
  }

  /** Datagrams so far, once none has come for a tenth of a second. */
  async count(): Promise<number> {
    let last = -1;
    let since = performance.now();
    await waitFor(
      () => {
        const now = this.#read() + this.#droppedUnread();
        if (now !== last) since = performance.now();
        last = now;
        return performance.now() - since > 100;
      },
      { what: 'the listener to come to rest', withinMs: 10_000, everyMs: 20 },
    );
    return last;
  }

  /** The column `drops` of /proc/net/udp6, which stands last. */
  #droppedUnread(): number {
    const { namespace, port } = this.#options;
    const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    const rows = namespace.run('cat', ['/proc/net/udp6']).split('\n');
    const row = rows.map((one) => one.trim().split(/\s+/)).find((one) => one[1]?.endsWith(local));
    return Number(row?.at(-1) ?? 0);
  }

  #read(): number {
    const lines = this.#program.output().trimEnd().split('\n');
    return Number(/^count (\d+)$/.exec(lines.at(-1) ?? '')?.[1] ?? 0);
  }
}
