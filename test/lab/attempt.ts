// One socket that is to be refused, or not: how it ended, in the words of the system it was opened on.

import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

export interface Attempt {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
}
export interface Outcome {
  /** As in ECONNREFUSED; `connected`, `nothing` (no answer in time). */
  readonly ended: string;
  readonly ms: number;
}

/**
 * A packet comes back before connect() has let go of its socket, where all of the way is one machine: the kernel
 * then drops what ICMP says (LockDroppedIcmps), and hears it when it has sent the SYN again, a second later.
 */
const patienceMs = 1400;

function attemptTcp({ address, port }: Attempt): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, autoSelectFamily: false });
    socket.once('connect', () => resolve('connected'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    setTimeout(() => {
      resolve('nothing');
      socket.destroy();
    }, patienceMs).unref();
  });
}

function attemptUdp({ address, port }: Attempt): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 65536 });
    const end = (what: string) => {
      clearTimeout(timer);
      resolve(what);
      socket.close();
    };
    const timer = setTimeout(() => end('nothing'), patienceMs);
    socket.once('error', (error: NodeJS.ErrnoException) => end(String(error.code)));
    socket.once('message', () => end('connected'));
    // What it sends is longer than what an answer may quote.
    socket.connect(port, address, () => socket.send(Buffer.alloc(1300, 'x')));
  });
}

/** Tries it, and tells how it ended and how long that took. */
export async function attempt(one: Attempt): Promise<Outcome> {
  const before = performance.now();
  // A loop that is kept alive until the answer is there.
  const alive = setInterval(() => {}, 1000);
  const ended = await (one.protocol === 'tcp' ? attemptTcp(one) : attemptUdp(one));
  clearInterval(alive);
  return { ended, ms: Math.round(performance.now() - before) };
}
