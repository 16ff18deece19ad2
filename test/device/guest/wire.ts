// Inside a guest: a device and its peer on one wire. The device is the guest's own network namespace, the peer
// one of its own; a veth pair joins them, and what is sent on one side is counted by who receives it on the other.
//
//   hk0  192.0.2.1  2001:db8::1    the device, whose end is guarded
//   hk0p 192.0.2.10 2001:db8::10   the peer, under the address that policies list
//        192.0.2.20 2001:db8::20   and under one that they do not

import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { type Attempt, attempt } from '../../lab/attempt.ts';

export const device = ['192.0.2.1', '2001:db8::1'] as const;
export const listed = ['192.0.2.10', '2001:db8::10'] as const;
export const other = ['192.0.2.20', '2001:db8::20'] as const;

/** How long packets that come may take; nothing on this wire is slower than the guest's own CPU. */
const arrivesMsMax = 5000;
/**
 * After so many looks at which nothing was new, nothing more will come: all was sent before the first. In looks and
 * not in time, since an emulated machine may stand still for a while.
 */
const quietLooks = 20;
const lookMs = 10;

export interface Datagrams {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly count: number;
}

/** Counts what arrives in its network namespace, by `sender port`. */
export class Receiver {
  readonly #counts = new Map<string, number>();
  readonly #sockets: (Socket | Server)[] = [];

  /** `tcpPorts`: who connects there is let in, and heard no more of. */
  static async open(ports: readonly number[], tcpPorts: readonly number[] = []): Promise<Receiver> {
    const made = new Receiver();
    for (const port of tcpPorts) {
      const server = createServer((socket) => socket.destroy()).listen(port, '::');
      await once(server, 'listening');
      made.#sockets.push(server);
    }
    for (const port of ports) {
      for (const type of ['udp4', 'udp6'] as const) {
        const socket = createSocket({ type, ipv6Only: type === 'udp6' });
        socket.on('message', (_, from) => {
          const key = `${from.address} ${port}`;
          made.#counts.set(key, (made.#counts.get(key) ?? 0) + 1);
        });
        socket.bind(port);
        await once(socket, 'listening');
        made.#sockets.push(socket);
      }
    }
    return made;
  }

  /** How many of each have arrived since they were last asked for; once all have, or nothing more will. */
  async take(wanted: readonly Datagrams[]): Promise<number[]> {
    const count = (one: Datagrams): number => this.#counts.get(`${one.from} ${one.port}`) ?? 0;
    const isAll = (): boolean => wanted.every((one) => count(one) >= one.count);
    const end = Date.now() + arrivesMsMax;
    for (let seen = -1, quiet = 0; !isAll() && quiet < quietLooks && Date.now() < end; ) {
      const now = wanted.reduce((sum, one) => sum + count(one), 0);
      quiet = now === seen ? quiet + 1 : 0;
      seen = now;
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
    const counts = wanted.map(count);
    this.#counts.clear();
    return counts;
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }
}

/** Sends each lot from its own address. */
export async function send(lots: readonly Datagrams[]): Promise<void> {
  for (const { from, to, port, count } of lots) {
    const socket = createSocket(from.includes(':') ? 'udp6' : 'udp4');
    socket.bind({ address: from });
    await once(socket, 'listening');
    // A drop at egress may be told to the sender: that too is a packet that did not leave.
    const sendOne = () => new Promise<void>((resolve) => socket.send('husk', port, to, () => resolve()));
    for (let sent = 0; sent < count; sent++) await sendOne();
    socket.close();
  }
}

/** The program of peer.ts in the peer's network namespace. */
export class Peer {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(receives: readonly number[], listens: readonly number[] = []): Promise<Peer> {
    makePair();
    const child = fork('/husk/build/peer.cjs', [receives.join(), listens.join()], {
      execPath: '/bin/nsenter',
      execArgv: ['--net=/run/netns/peer', '/bin/node'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const peer = new Peer(child);
    await peer.#answer();
    return peer;
  }

  async send(lots: readonly Datagrams[]): Promise<void> {
    await this.#ask({ send: lots });
  }

  async take(lots: readonly Datagrams[]): Promise<number[]> {
    return (await this.#ask({ take: lots })) as number[];
  }

  /** How connecting from the peer ended, one after another. */
  async attempt(attempts: readonly Attempt[]): Promise<string[]> {
    return (await this.#ask({ attempt: attempts })) as string[];
  }

  async #ask(question: PeerQuestion): Promise<unknown> {
    const answer = this.#answer();
    this.#child.send(question);
    return await answer;
  }

  async #answer(): Promise<unknown> {
    const answered = new AbortController();
    const { signal } = answered;
    try {
      const [answer] = await Promise.race([
        once(this.#child, 'message', { signal }),
        once(this.#child, 'exit', { signal }).then(([code]) =>
          Promise.reject(new Error(`the peer ended with ${code}`)),
        ),
      ]);
      return answer;
    } finally {
      // Else who was not first would listen to the end.
      answered.abort();
    }
  }

  stop(): void {
    this.#child.disconnect();
  }
}

export type PeerQuestion =
  | { readonly send: readonly Datagrams[] }
  | { readonly take: readonly Datagrams[] }
  | { readonly attempt: readonly Attempt[] };

/** How each ended, one after another. */
export async function attemptAll(attempts: readonly Attempt[]): Promise<string[]> {
  const ends: string[] = [];
  for (const one of attempts) ends.push((await attempt(one)).ended);
  return ends;
}

function makePair(): void {
  ip('netns add peer\nlink add hk0 type veth peer name hk0p netns peer');
  ip(end('hk0', device));
  ip(end('hk0p', [...listed, ...other]), '-n', 'peer');
}

/** Many commands at one start of `ip`, which an emulated machine notices. */
function ip(commands: string, ...options: string[]): void {
  execFileSync('/usr/sbin/ip', [...options, '-batch', '-'], { input: `${commands}\n` });
}

function end(name: string, addresses: readonly string[]): string {
  // Without duplicate address detection an address can be used at once.
  const add = (address: string): string =>
    address.includes(':') ? `addr add ${address}/64 dev ${name} nodad` : `addr add ${address}/24 dev ${name}`;
  return ['link set lo up', ...addresses.map(add), `link set ${name} up`].join('\n');
}
