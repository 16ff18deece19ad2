// Two policies that tell themselves apart by what they do, and the look at which of them is in force.
//
// `odd` drops datagrams to port 7001 and denies a service the way to port 7001; `even` does so with 7002. So
// packets and calls together say which generation the kernel judges by, also with no agent to ask.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { udpFrame } from '../lab/frame.ts';
import type { Lab } from '../lab/lab.ts';
import { sentTo } from '../lab/pcap.ts';
import { addresses, type Site } from '../lab/site.ts';
import { Listener, send } from '../lab/wire.ts';

export type Parity = 'odd' | 'even';
/** `open`: neither drops nor denies. `split`: packets and calls, or the packets among themselves, disagree. */
export type Seen = Parity | 'open' | 'split';

const ports = { odd: 7001, even: 7002 } as const;
const packetsEach = 20;

export interface PolicyText {
  readonly port: number;
  /** Rules put before, as YAML flow mappings. */
  readonly ingress?: readonly string[];
  readonly egress?: readonly string[];
}

export function policyText({ port, ingress = [], egress = [] }: PolicyText): string {
  const list = (rules: readonly string[]): string => rules.map((rule) => `\n        - ${rule}`).join('');
  return `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: parity }
spec:
  mode: enforce
  zones:
    wan: { interfaces: [wan0] }
  ingress:
    - zone: wan
      default: allow
      rules:${list([...ingress, `{ id: port, protocol: udp, ports: { to: ${port} }, action: drop }`])}
  egress:${egress.length === 0 ? ' []' : `\n    - zone: wan\n      default: allow\n      rules:${list(egress)}`}
---
apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: parity-calls }
spec:
  mode: enforce
  subject: { cgroup: service }
  rules:
    - { id: port, connect: { ports: ${port} }, action: deny }
`;
}

export function writePolicy(lab: Lab, name: string, policy: PolicyText): string {
  const path = join(lab.folder('policy'), `${name}.yaml`);
  writeFileSync(path, policyText(policy));
  return path;
}

export class ParityProbe {
  readonly files: Readonly<Record<Parity, string>>;
  readonly #site: Site;
  readonly #cgroup: string;
  readonly #listeners: Readonly<Record<Parity, Listener>>;

  private constructor(site: Site, listeners: Readonly<Record<Parity, Listener>>) {
    this.#site = site;
    this.#listeners = listeners;
    this.#cgroup = site.device.serviceCgroup('service');
    this.files = {
      odd: writePolicy(site.lab, 'odd', { port: ports.odd }),
      even: writePolicy(site.lab, 'even', { port: ports.even }),
    };
  }

  static async open(site: Site): Promise<ParityProbe> {
    const open = (port: number) => Listener.open(site.lab, { namespace: site.inside, port });
    return new ParityProbe(site, { odd: await open(ports.odd), even: await open(ports.even) });
  }

  /** What the kernel does now, by real packets and real calls. */
  async see(): Promise<Seen> {
    const packets = await this.packets();
    const calls = this.calls();
    return packets === calls ? packets : 'split';
  }

  async packets(): Promise<Seen> {
    const { inside, wan, lab } = this.#site;
    const before = { odd: await this.#listeners.odd.count(), even: await this.#listeners.even.count() };
    const frames = Object.values(ports).map((port) =>
      udpFrame({ from: addresses.neighbour, to: addresses.device, fromPort: 7000, toPort: port }),
    );
    const toDevice = sentTo(inside.macOf('wan0'), frames);
    send(lab, { from: wan, interface: 'up0', frames: toDevice, loop: packetsEach });
    const dropped = {
      odd: packetsEach - (await this.#listeners.odd.count()) + before.odd,
      even: packetsEach - (await this.#listeners.even.count()) + before.even,
    };
    return parityOf(dropped.odd / packetsEach, dropped.even / packetsEach);
  }

  calls(): Seen {
    const script = `
      const dgram = require('node:dgram');
      const socket = dgram.createSocket('udp4');
      const to = (port) => new Promise((resolve) => {
        socket.send('x', port, '${addresses.neighbour}', (error) => resolve(error?.code ?? 'sent'));
      });
      (async () => { console.log(await to(${ports.odd}), await to(${ports.even})); socket.close(); })();`;
    const enter = 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"';
    const args = ['-c', enter, 'sh', this.#cgroup, process.execPath, '-e', script];
    const [odd, even] = this.#site.inside.run('/bin/sh', args).trim().split(' ');
    return parityOf(odd === 'EPERM' ? 1 : 0, even === 'EPERM' ? 1 : 0);
  }
}

/** From the share of each that was stopped. */
function parityOf(odd: number, even: number): Seen {
  if (odd === 1 && even === 0) return 'odd';
  if (odd === 0 && even === 1) return 'even';
  return odd === 0 && even === 0 ? 'open' : 'split';
}
