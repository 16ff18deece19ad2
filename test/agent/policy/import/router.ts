// A router in a namespace with a real ruleset, hosts around it, and a record of which packets got through.
//
//   outside: a0 b0 c0 ── imp-a imp-b imp-c: router
//
// Behind the ruleset (priority 400) and in front of the hosts nft remembers the number of every packet it sees:
// what is missing there was dropped by the ruleset. Before connections are followed (priority -400) the router's
// own answers are taken away, so that it sees what the test sends and nothing else.

import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Lab } from '../../../lab/lab.ts';
import type { Namespace } from '../../../lab/namespace.ts';
import { etherFrame } from './packets.ts';

export type Side = 'a' | 'b' | 'c';
export const sides = ['a', 'b', 'c'] as const;
export const interfaceOf = (side: Side) => `imp-${side}`;
/** Own addresses of the router; what lies behind a side is 10.N.0.0/16 and 2001:db8:N::/48. */
export const routerAddresses: Readonly<Record<Side, readonly [string, string]>> = {
  a: ['198.51.100.1', '2001:db8:a0::1'],
  b: ['198.51.101.1', '2001:db8:b0::1'],
  c: ['198.51.102.1', '2001:db8:c0::1'],
};
export const networks: Readonly<Record<Side, readonly [string, string]>> = {
  a: ['10.1', '2001:db8:1'],
  b: ['10.2', '2001:db8:2'],
  c: ['10.3', '2001:db8:3'],
};
const mark = 119;

export interface Sent {
  readonly number: number;
  readonly family: 4 | 6;
  /** null: the router sends it itself. */
  readonly from: Side | null;
  readonly packet: Buffer;
}

export class Router {
  readonly #lab: Lab;
  readonly #inside: Namespace;
  readonly #outside: Namespace;
  #files = 0;
  readonly #macs: Readonly<Record<Side, readonly [inside: Uint8Array, outside: Uint8Array]>>;
  readonly #senders: {
    readonly child: ChildProcess;
    readonly lines: AsyncIterator<string>;
    readonly reader: Interface;
  }[] = [];

  private constructor(lab: Lab, inside: Namespace, outside: Namespace, macs: Router['macs']) {
    this.#lab = lab;
    this.#inside = inside;
    this.#outside = outside;
    this.#macs = macs;
  }

  get macs(): Readonly<Record<Side, readonly [inside: Uint8Array, outside: Uint8Array]>> {
    return this.#macs;
  }

  static open(lab: Lab, name: string): Router {
    const inside = lab.namespace(`${name}-router`);
    const outside = lab.namespace(`${name}-hosts`);
    for (const who of ['all', 'default']) inside.set(`net/ipv6/conf/${who}/forwarding`, '1');
    inside.set('net/ipv4/ip_forward', '1');
    const macs: Partial<Record<Side, readonly [Uint8Array, Uint8Array]>> = {};
    for (const [index, side] of sides.entries()) {
      const [four, six] = routerAddresses[side];
      const host = [`198.51.10${index}.2`, `${six.slice(0, -1)}2`] as const;
      lab.wire(
        { namespace: inside, interface: interfaceOf(side), addresses: [`${four}/24`, `${six}/64`] },
        { namespace: outside, interface: `imp-${side}0`, addresses: [`${host[0]}/24`, `${host[1]}/64`] },
      );
      const [net4, net6] = networks[side];
      const [own, theirs] = [inside.macOf(interfaceOf(side)), outside.macOf(`imp-${side}0`)];
      macs[side] = [own, theirs];
      const mac = Buffer.from(theirs)
        .toString('hex')
        .replace(/(..)(?=.)/g, '$1:');
      for (const [network, gateway] of [
        [`${net4}.0.0/16`, host[0]],
        [`${net6}::/48`, host[1]],
      ] as const) {
        inside.run('ip', [
          'neigh',
          'replace',
          gateway,
          'lladdr',
          mac,
          'dev',
          interfaceOf(side),
          'nud',
          'permanent',
        ]);
        inside.run('ip', ['route', 'add', network, 'via', gateway]);
      }
    }
    return new Router(lab, inside, outside, macs as Router['macs']);
  }

  /** Runs something in the router. */
  run(program: string, args: readonly string[]): string {
    return this.#inside.run(program, args);
  }

  /** Hands a text to a program of the router, as a file. */
  load(program: string, args: readonly string[], text: string): void {
    this.#inside.run(program, [...args, this.#file(text)]);
  }

  #file(text: string): string {
    const path = join(this.#lab.dir, `${this.#inside.name}-${this.#files++}`);
    writeFileSync(path, text);
    return path;
  }

  /** Begins to remember; after the ruleset is loaded, and listed. */
  watch(): void {
    const sets = `set seen4 { typeof ip id; flags dynamic; size 65535; }
      set seen6 { typeof ip6 flowlabel; flags dynamic; size 65535; }`;
    const remember = 'add @seen4 { ip id }; add @seen6 { ip6 flowlabel };';
    this.load(
      'nft',
      ['-f'],
      `table inet imp_watch { ${sets}
        chain own { type filter hook output priority -400; meta mark != ${mark} drop; }
        chain in { type filter hook input priority 400; ${remember} }
      }`,
    );
    const pre = `chain pre { type filter hook prerouting priority -400; ${remember} drop; }\n`;
    this.#outside.run('nft', ['-f', this.#file(`table inet imp_watch { ${sets}\n${pre} }`)]);
  }

  /** Sends one packet after another, and waits a little between them where `pauseMs` is given. */
  async send(packets: readonly Sent[], pauseMs = 0): Promise<void> {
    const [outside, inside] = this.#open();
    if (outside === undefined || inside === undefined) throw new Error('no senders');
    for (const { from, packet, family } of packets) {
      const [own, theirs] = from === null ? [] : this.#macs[from];
      const line =
        from === null || own === undefined || theirs === undefined
          ? `${family} ${packet.toString('hex')}`
          : `imp-${from}0 ${etherFrame(own, theirs, packet).toString('hex')}`;
      const sender = from === null ? inside : outside;
      sender.child.stdin?.write(`${line}\n`);
      const answer = await sender.lines.next();
      if (answer.value !== 'ok') throw new Error(`the sender says ${String(answer.value)}`);
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }

  /** Numbers of packets that came to the router itself, and to hosts. */
  seen(): Readonly<Record<'inside' | 'outside', Readonly<Record<4 | 6, ReadonlySet<number>>>>> {
    const of = (namespace: Namespace) => ({
      4: numbersIn(namespace, 'seen4'),
      6: numbersIn(namespace, 'seen6'),
    });
    return { inside: of(this.#inside), outside: of(this.#outside) };
  }

  close(): void {
    for (const { child, reader } of this.#senders) {
      reader.close();
      child.stdin?.end();
      child.kill();
    }
  }

  #open() {
    if (this.#senders.length > 0) return this.#senders;
    for (const [namespace, script] of [
      [this.#outside, frameSender],
      [this.#inside, packetSender],
    ] as const) {
      const child = spawn('nsenter', [`--net=${namespace.path}`, '--', 'python3', '-c', script], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      this.#lab.onClose('sender', () => void child.kill());
      const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream });
      this.#senders.push({ child, reader, lines: reader[Symbol.asyncIterator]() });
    }
    return this.#senders;
  }
}

/** Frames as they are, on the interface named. */
const frameSender = `
import socket, sys
sockets = {}
for line in sys.stdin:
    name, data = line.split()
    if name not in sockets:
        sockets[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sockets[name].bind((name, 0))
    sockets[name].send(bytes.fromhex(data))
    print('ok', flush=True)
`;

/** IP packets by way of the output hook, with the mark that says they are ours. What the hook refuses is no error. */
const packetSender = `
import socket, sys
sockets = {'4': socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
           '6': socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)}
for one in sockets.values():
    one.setsockopt(socket.SOL_SOCKET, 36, ${mark})
for line in sys.stdin:
    family, data = line.split()
    packet = bytes.fromhex(data)
    to = socket.inet_ntoa(packet[16:20]) if family == '4' else socket.inet_ntop(socket.AF_INET6, packet[24:40])
    try:
        sockets[family].sendto(packet, (to, 0))
    except PermissionError:
        pass
    print('ok', flush=True)
`;

function numbersIn(namespace: Namespace, set: string): ReadonlySet<number> {
  const listing = JSON.parse(namespace.run('nft', ['-j', 'list', 'set', 'inet', 'imp_watch', set]));
  const found = listing.nftables.find((one: { set?: unknown }) => one.set !== undefined);
  return new Set<number>(
    (found?.set?.elem ?? []).map((one: number | { elem: { val: number } }) =>
      typeof one === 'number' ? one : one.elem.val,
    ),
  );
}
