// Inside a guest: links of every kind between the device and its peer (wire.ts), and which addresses are at their ends.
//
//   hk0 ─ hk0p                parent   tc: VLANs lie on it
//   hk0.5, hk0.5.7            vlan, inner
//   agg0 over hb0 ─ hb0p      bond
//   mv0 on mvc ─ mvcp         macvlan whose parent is in no zone
//   un0 ─ un0p                outer    XDP: what tunnels are made of
//     wg0                     wireguard
//     ipsec0                  xfrm     IPsec with an interface of its own
//     ipip0                   ipip
//     10.9.0.0/24, 10.10.0.2  IPsec by policy alone, tunnel and transport: packets of no interface
//   ppp0 on pe0 ─ pe0p        dsl, pppoe
//   ppp0, wwan0, raw0         ppp, tun, rawip

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

/** Number of the network of a kind: 10.N.0.0/24 and fd00:N::/64; the device is 1, the peer 20. */
const networks = {
  vlan: 1,
  inner: 2,
  bond: 3,
  macvlan: 4,
  outer: 5,
  wireguard: 6,
  xfrm: 7,
  ipip: 8,
  policyTunnel: 9,
  policyTransport: 10,
  dsl: 11,
  pppoe: 12,
  ppp: 13,
  tun: 14,
  rawip: 15,
} as const;
export type Network = keyof typeof networks | 'parent';

export interface Ends {
  readonly own: string;
  readonly far: string;
}

/** The addresses at the ends of a network, IPv4 and IPv6. */
export function endsOf(network: Network): readonly [Ends, Ends] {
  if (network === 'parent')
    return [
      { own: '192.0.2.1', far: '192.0.2.20' },
      { own: '2001:db8::1', far: '2001:db8::20' },
    ];
  const n = networks[network];
  return [
    { own: `10.${n}.0.1`, far: `10.${n}.0.20` },
    { own: `fd00:${n}::1`, far: `fd00:${n}::20` },
  ];
}

/** Of the link `un0`, between which tunnels are. */
const outer = endsOf('outer')[0];

function ip(commands: readonly string[], ...options: readonly string[]): void {
  execFileSync('/usr/sbin/ip', [...options, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

type Side = 'own' | 'far';
const netns = { own: '/proc/1/ns/net', far: '/run/netns/peer' } as const;
function run(commands: (side: Side) => readonly string[]): void {
  ip(commands('own'));
  ip(commands('far'), '-n', 'peer');
}

/** Without duplicate address detection an address can be used at once. */
function addressed(network: Network, side: Side, name: string): string[] {
  const [four, six] = endsOf(network);
  return [
    `addr add ${four[side]}/24 dev ${name}`,
    `addr add ${six[side]}/64 dev ${name} nodad`,
    `link set ${name} up`,
  ];
}

const pair = (name: string) => `link add ${name} type veth peer name ${name}p netns peer`;

export function insertModules(): void {
  for (const name of readFileSync('/more-modules/order', 'utf8').trim().split('\n'))
    execFileSync('/bin/busybox', ['insmod', `/more-modules/${name}.ko`]);
}

/** What lies on Ethernet. */
export function makeEthernet(): void {
  ip([pair('hb0'), pair('un0'), pair('mvc')]);
  run((side) => {
    const at = (name: string) => (side === 'own' ? name : `${name}p`);
    return [
      `link add link ${at('hk0')} name ${at('hk0')}.5 type vlan id 5`,
      `link add link ${at('hk0')}.5 name ${at('hk0')}.5.7 type vlan id 7`,
      ...addressed('vlan', side, `${at('hk0')}.5`),
      ...addressed('inner', side, `${at('hk0')}.5.7`),
      ...addressed('outer', side, at('un0')),
      'link set lo up',
    ];
  });
  ip([
    'link add agg0 type bond mode active-backup miimon 100',
    'link set hb0 master agg0',
    ...addressed('bond', 'own', 'agg0'),
    'link add link mvc name mv0 type macvlan mode bridge',
    'link set mvc up',
    ...addressed('macvlan', 'own', 'mv0'),
  ]);
  ip([...addressed('bond', 'far', 'hb0p'), ...addressed('macvlan', 'far', 'mvcp')], '-n', 'peer');
}

/** Over the link `un0`. */
export function makeTunnels(): void {
  makeWireguard();
  run((side) => {
    const far = side === 'own' ? 'far' : 'own';
    const ends = `local ${outer[side]} remote ${outer[far]}`;
    return [
      `link add ipip0 type ipip ${ends}`,
      ...addressed('ipip', side, 'ipip0').filter((line) => !line.includes('::')),
    ];
  });
  run((side) => [
    `link add ipsec0 type xfrm dev ${side === 'own' ? 'un0' : 'un0p'} if_id 42`,
    ...addressed('xfrm', side, 'ipsec0'),
    ...associations(side, 'mode tunnel if_id 42 flag af-unspec', 0x100),
    ...['0.0.0.0/0', '::/0'].flatMap((any) => policies(side, any, any, 'mode tunnel', 'if_id 42')),
  ]);
  const tunnel = endsOf('policyTunnel')[0];
  run((side) => {
    const far = side === 'own' ? 'far' : 'own';
    return [
      `addr add ${tunnel[side]}/32 dev lo`,
      `route add ${tunnel[far]}/32 via ${outer[far]} src ${tunnel[side]}`,
      ...associations(side, 'mode tunnel', 0x200),
      ...policies(side, `${tunnel[side]}/32`, `${tunnel[far]}/32`, 'mode tunnel reqid 2', ''),
    ];
  });
  const transport = endsOf('policyTransport')[0];
  run((side) => {
    const far = side === 'own' ? 'far' : 'own';
    const name = side === 'own' ? 'un0' : 'un0p';
    return [
      `addr add ${transport[side]}/24 dev ${name}`,
      ...associations(side, 'mode transport', 0x300, transport),
      ...policies(side, `${transport[side]}/32`, `${transport[far]}/32`, 'mode transport', '', transport),
    ];
  });
}

/** One each way, under the same key: nobody listens. */
function associations(side: Side, more: string, spi: number, ends: Ends = outer): string[] {
  const far = side === 'own' ? 'far' : 'own';
  const key = `0x${'5a'.repeat(20)}`;
  const reqid = spi === 0x200 ? 'reqid 2' : '';
  const one = (from: Side, to: Side, number: number) =>
    `xfrm state add src ${ends[from]} dst ${ends[to]} proto esp spi ${number} ${reqid} ${more} aead rfc4106(gcm(aes)) ${key} 128`;
  const [there, back] = side === 'own' ? [spi, spi + 1] : [spi + 1, spi];
  return [one(side, far, there), one(far, side, back)];
}

function policies(
  side: Side,
  near: string,
  beyond: string,
  template: string,
  more: string,
  ends: Ends = outer,
): string[] {
  const far = side === 'own' ? 'far' : 'own';
  const one = (direction: string, from: string, to: string, source: Side, destination: Side) =>
    `xfrm policy add src ${from} dst ${to} dir ${direction} tmpl src ${ends[source]} dst ${ends[destination]} proto esp ${template} ${more}`;
  return [one('out', near, beyond, side, far), one('in', beyond, near, far, side)];
}

function makeWireguard(): void {
  const keys = (['own', 'far'] as const).map((side) => {
    const secret = execFileSync('/usr/bin/wg', ['genkey'], { encoding: 'utf8' });
    return {
      side,
      secret,
      shown: execFileSync('/usr/bin/wg', ['pubkey'], { input: secret, encoding: 'utf8' }),
    };
  });
  run((side) => ['link add wg0 type wireguard', ...addressed('wireguard', side, 'wg0')]);
  for (const { side, secret } of keys) {
    const far = side === 'own' ? 'far' : 'own';
    const shown = keys.find((one) => one.side === far)?.shown.trim() ?? '';
    const peer = ['peer', shown, 'endpoint', `${outer[far]}:51820`, 'allowed-ips', '0.0.0.0/0,::/0'];
    const file = `/run/wg-${side}`;
    writeFileSync(file, secret);
    const set = ['/usr/bin/wg', 'set', 'wg0', 'listen-port', '51820', 'private-key', file, ...peer];
    execFileSync('/bin/nsenter', [`--net=${netns[side]}`, ...set]);
  }
}

export function makePppoeDevice(): void {
  ip([pair('pe0')]);
  run((side) => addressed('dsl', side, side === 'own' ? 'pe0' : 'pe0p'));
}

/** A link that is held by a program (../../lab/bare_link.c) until it is given up. */
export class HeldLink {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async open(kind: 'tun' | 'rawip' | 'ppp' | 'pppoe', network: Network, name = ''): Promise<HeldLink> {
    const far = `${name}p`;
    if (kind === 'ppp') mountTerminals();
    const argv = kind === 'ppp' ? [netns.own, netns.far] : [name, netns.own, far, netns.far];
    const child = spawn('/husk/build/bare-link', [kind, ...argv], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'exit').then(() => Promise.reject(new Error(`bare-link ${kind} ended`))),
    ]);
    const [own = '', other = ''] = String(line).trim().split(' ');
    run((side) => addressed(network, side, side === 'own' ? own : other));
    return new HeldLink(child);
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    await once(this.#child, 'exit');
  }
}

/** A serial line is a pty, and a guest has none until here. */
function mountTerminals(): void {
  mkdirSync('/dev/pts', { recursive: true });
  execFileSync('/bin/busybox', ['mount', '-t', 'devpts', 'devpts', '/dev/pts']);
}
