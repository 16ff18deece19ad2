// A client, a router with the programs, and a server beyond it, each in a namespace; and what a client has to hear of
// a policy that rejects. The receiving kernel checks checksums, quotes and sequence numbers: a socket fails early only
// by an answer that it takes for true.

import { join } from 'node:path';
import type { Test } from 'tap';
import type { Attempt, Outcome } from '../lab/attempt.ts';
import { Guard } from '../lab/guard.ts';
import { Lab } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';

export interface Site {
  readonly lab: Lab;
  readonly guard: Guard;
  readonly near: Namespace;
  readonly router: Namespace;
  readonly far: Namespace;
}

export async function openSite(t: Test): Promise<Site> {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const [near, router, far] = [lab.namespace('near'), lab.namespace('router'), lab.namespace('far')];
  lab.wire(
    { namespace: near, interface: 'hrjn', addresses: ['10.71.1.2/24', 'fd71:1::2/64'] },
    { namespace: router, interface: 'hrja', addresses: ['10.71.1.1/24', 'fd71:1::1/64'] },
  );
  lab.wire(
    { namespace: router, interface: 'hrjb', addresses: ['10.71.2.1/24', 'fd71:2::1/64'] },
    { namespace: far, interface: 'hrjf', addresses: ['10.71.2.2/24', 'fd71:2::2/64'] },
  );
  router.set('net/ipv4/ip_forward', '1');
  router.set('net/ipv6/conf/all/forwarding', '1');
  // Answers to many attempts in a row are not to be held back by the client's own limit.
  near.set('net/ipv4/icmp_ratelimit', '0');
  near.run('ip', ['route', 'add', 'default', 'via', '10.71.1.1']);
  near.run('ip', ['-6', 'route', 'add', 'default', 'via', 'fd71:1::1']);
  far.run('ip', ['route', 'add', 'default', 'via', '10.71.2.1']);
  far.run('ip', ['-6', 'route', 'add', 'default', 'via', 'fd71:2::1']);
  checksumByKernel(router, 'hrja');
  return { lab, guard: await Guard.open(lab, router), near, router, far };
}

/**
 * Without a card that fills in checksums, the kernel does what the card would, where a packet still says that it is to
 * be done; and who receives it believes none. ETHTOOL_STXCSUM of SIOCETHTOOL, by perl-base, which every Debian has.
 */
export function checksumByKernel(namespace: Namespace, name: string): void {
  const script = `
    socket(my $any, 2, 2, 0) or die $!;
    my $command = pack("LL", 0x17, 0);
    my $request = pack("a16P", $ARGV[0], $command);
    ioctl($any, 0x8946, $request) or die $!;`;
  namespace.run('perl', ['-e', script, name]);
}

export const rejects = { tcp: 7001, udp: 7002, host: 7003, net: 7004, admin: 7005, port: 7006, silent: 7007 };

export const rules = [
  { id: 'host', ports: { to: rejects.host }, action: 'reject', rejectWith: 'host-unreachable' },
  { id: 'net', ports: { to: rejects.net }, action: 'reject', rejectWith: 'net-unreachable' },
  { id: 'admin', ports: { to: rejects.admin }, action: 'reject', rejectWith: 'admin-prohibited' },
  { id: 'port', ports: { to: rejects.port }, action: 'reject', rejectWith: 'port-unreachable' },
  { id: 'usual', ports: { to: `${rejects.tcp}-${rejects.udp}` }, action: 'reject' },
].flatMap((rule) => [
  { ...rule, id: `${rule.id}-tcp`, protocol: 'tcp' },
  { ...rule, id: `${rule.id}-udp`, protocol: 'udp' },
]);

/** Rules for one direction of one interface; all else that is not for the router's neighbours is dropped. */
export function policy(
  direction: 'ingress' | 'egress',
  name: string,
  { others = [], list = rules }: { readonly others?: readonly string[]; readonly list?: typeof rules } = {},
): unknown {
  const zone = { zone: 'here', default: 'drop', rules: list };
  const open = { zone: 'other', default: 'allow', rules: [] };
  return {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'rejecting' },
    spec: {
      mode: 'enforce',
      zones: {
        here: { interfaces: [name] },
        ...(others.length > 0 ? { other: { interfaces: others } } : {}),
      },
      ingress: direction === 'ingress' ? [zone] : others.length > 0 ? [open] : [],
      egress: direction === 'egress' ? [zone] : [],
    },
  };
}

const trials = (address: string): readonly (readonly [Attempt, string])[] => {
  const is6 = address.includes(':');
  const tcp = (port: number): Attempt => ({ protocol: 'tcp', address, port });
  const udp = (port: number): Attempt => ({ protocol: 'udp', address, port });
  return [
    [tcp(rejects.tcp), 'ECONNREFUSED'],
    [udp(rejects.udp), 'ECONNREFUSED'],
    [tcp(rejects.port), 'ECONNREFUSED'],
    [tcp(rejects.host), 'EHOSTUNREACH'],
    [tcp(rejects.net), 'ENETUNREACH'],
    [tcp(rejects.admin), is6 ? 'EACCES' : 'EHOSTUNREACH'],
    [udp(rejects.admin), is6 ? 'EACCES' : 'EHOSTUNREACH'],
    [tcp(rejects.silent), 'nothing'],
  ];
};

function attempt(from: Namespace, attempts: readonly Attempt[]): readonly Outcome[] {
  const program = join(import.meta.dirname, 'reject-client.ts');
  return JSON.parse(from.run(process.execPath, [program, JSON.stringify(attempts)]));
}

/** What the kernel of a client refused to believe. */
function disbelieved(client: Namespace): number {
  const rows = client.run('cat', ['/proc/net/snmp', '/proc/net/snmp6']).split('\n');
  const six = rows.find((row) => /^Icmp6InErrors/.test(row))?.split(/\s+/)[1];
  const four = ['Icmp: ', 'Tcp: ', 'Ip: '].flatMap((kind) => {
    const [names = '', values = ''] = rows.filter((row) => row.startsWith(kind));
    const wanted = ['InErrors', 'InErrs', 'InCsumErrors', 'InHdrErrors'];
    return names.split(' ').flatMap((name, at) => (wanted.includes(name) ? [values.split(' ')[at]] : []));
  });
  return [six, ...four].reduce((sum, one) => sum + Number(one), 0);
}

export async function checkAll(
  t: Test,
  site: Site,
  from: Namespace,
  addresses: readonly string[],
): Promise<void> {
  for (const address of addresses) {
    const wanted = trials(address);
    const before = await site.guard.totals();
    const outcomes = attempt(
      from,
      wanted.map(([one]) => one),
    );
    t.same(
      outcomes.map(({ ended }) => ended),
      wanted.map(([, ended]) => ended),
      `to ${address}: ${JSON.stringify(outcomes)}`,
    );
    t.ok(Math.max(...outcomes.slice(0, 2).map(({ ms }) => ms)) < 700, 'the usual answers at once');
    const after = await site.guard.totals();
    const sent = (after.REJECTS_SENT ?? 0) - (before.REJECTS_SENT ?? 0);
    t.ok(sent >= 7 && sent <= 11, `an answer each, two where a SYN was sent again: ${sent}`);
    t.equal(after.REJECTS_SUPPRESSED, before.REJECTS_SUPPRESSED);
  }
  t.equal(disbelieved(from), 0, 'no checksum was wrong');
}

/** Addresses of the router, and beyond it. */
export const own = ['10.71.1.1', 'fd71:1::1'];
export const beyond = ['10.71.2.2', 'fd71:2::2'];
