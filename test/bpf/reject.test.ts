// Goal: who is rejected hears of it, at once and in the words that its system knows; real clients on real links.
// Method: a client, a router with the programs, and a server beyond it, each in a namespace. The receiving
// kernel checks checksums, quotes and sequence numbers: a socket fails early only by an answer it takes for true.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Guard, type GuardHook } from '../lab/guard.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { programsMissing } from './lab.ts';
import type { Attempt, Outcome } from './reject-client.ts';

t.setTimeout(120_000);

interface Site {
  readonly lab: Lab;
  readonly guard: Guard;
  readonly near: Namespace;
  readonly router: Namespace;
  readonly far: Namespace;
}

async function openSite(t: Test): Promise<Site> {
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
function checksumByKernel(namespace: Namespace, name: string): void {
  const script = `
    socket(my $any, 2, 2, 0) or die $!;
    my $command = pack("LL", 0x17, 0);
    my $request = pack("a16P", $ARGV[0], $command);
    ioctl($any, 0x8946, $request) or die $!;`;
  namespace.run('perl', ['-e', script, name]);
}

const rejects = { tcp: 7001, udp: 7002, host: 7003, net: 7004, admin: 7005, port: 7006, silent: 7007 };

const rules = [
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
function policy(direction: 'ingress' | 'egress', name: string, others: readonly string[] = []): unknown {
  const zone = { zone: 'here', default: 'drop', rules };
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

async function checkAll(t: Test, site: Site, from: Namespace, addresses: readonly string[]): Promise<void> {
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

const own = ['10.71.1.1', 'fd71:1::1'];
const beyond = ['10.71.2.2', 'fd71:2::2'];

t.test('rejected where they come in', { skip: labMissing() || programsMissing() }, async (t) => {
  const site = await openSite(t);
  await site.guard.load(policy('ingress', 'hrja'));
  // A veth takes what XDP sends only where its own end has a program as well (here: one that allows all).
  const peer = await Guard.open(site.lab, site.near);
  const ways: readonly (readonly [string, GuardHook])[] = [
    ['XDP, native', { interface: 'hrja', at: 'xdp' }],
    ['XDP, generic', { interface: 'hrja', at: 'xdp', mode: 'generic' }],
    ['tc', { interface: 'hrja', at: 'ingress' }],
  ];
  for (const [way, hook] of ways) {
    await t.test(way, async (t) => {
      await site.guard.attach([hook]);
      await peer.attach(hook.at === 'xdp' && !hook.mode ? [{ interface: 'hrjn', at: 'xdp' }] : []);
      await checkAll(t, site, site.near, [...own, ...beyond]);
    });
  }
});

/** reject-frames.test.ts tries tagged frames everywhere; interfaces are tried where the kernel has them. */
function vlansMissing(): string | false {
  const { status } = spawnSync('unshare', ['--net', 'sh', '-c', makeVlan]);
  return status === 0 ? false : 'this kernel has no VLAN interfaces';
}
const makeVlan = 'ip link add hrjv type veth && ip link add link hrjv name hrjv7 type vlan id 7';

t.test(
  'rejected on a VLAN interface',
  { skip: labMissing() || programsMissing() || vlansMissing() },
  async (t) => {
    const site = await openSite(t);
    for (const [namespace, parent, address] of [
      [site.near, 'hrjn', 2],
      [site.router, 'hrja', 1],
    ] as const) {
      namespace.run('ip', ['link', 'add', 'link', parent, 'name', `${parent}7`, 'type', 'vlan', 'id', '7']);
      namespace.run('ip', ['addr', 'add', `10.71.7.${address}/24`, 'dev', `${parent}7`]);
      namespace.run('ip', ['addr', 'add', `fd71:7::${address}/64`, 'dev', `${parent}7`, 'nodad']);
      namespace.run('ip', ['link', 'set', `${parent}7`, 'up']);
    }
    const addresses = ['10.71.7.1', 'fd71:7::1'];
    await t.test('by the VLAN interface', async (t) => {
      await site.guard.load(policy('ingress', 'hrja7'));
      await site.guard.attach([{ interface: 'hrja7', at: 'ingress' }]);
      await checkAll(t, site, site.near, addresses);
    });
    await t.test('by its parent, where the tag is beside the frame', async (t) => {
      await site.guard.load(policy('ingress', 'hrja'));
      await site.guard.attach([{ interface: 'hrja', at: 'ingress' }]);
      await checkAll(t, site, site.near, addresses);
    });
    await t.test('by the parent, on the way out', async (t) => {
      await site.guard.load(policy('egress', 'hrja'));
      await site.guard.attach([{ interface: 'hrja', at: 'egress' }]);
      await checkAll(t, site, site.router, ['10.71.7.2', 'fd71:7::2']);
    });
  },
);

t.test(
  'rejected on a link without an Ethernet header',
  { skip: labMissing() || programsMissing() },
  async (t) => {
    const site = await openSite(t);
    // Nobody is at its other end: what the program let through would be lost.
    site.router.run('ip', ['tuntap', 'add', 'dev', 'hrjt', 'mode', 'tun']);
    site.router.run('ip', ['addr', 'add', '10.71.9.1/24', 'dev', 'hrjt']);
    site.router.run('ip', ['addr', 'add', 'fd71:9::1/64', 'dev', 'hrjt', 'nodad']);
    site.router.run('ip', ['link', 'set', 'hrjt', 'up']);
    await site.guard.load(policy('egress', 'hrjt'));
    await site.guard.attach([{ interface: 'hrjt', at: 'egress' }]);
    await t.test('made here', (t) => checkAll(t, site, site.router, ['10.71.9.2', 'fd71:9::2']));
    await t.test('forwarded', (t) => checkAll(t, site, site.near, ['10.71.9.2', 'fd71:9::2']));
  },
);

t.test('rejected where they would go out', { skip: labMissing() || programsMissing() }, async (t) => {
  const site = await openSite(t);
  await site.guard.load(policy('egress', 'hrjb'));
  await site.guard.attach([{ interface: 'hrjb', at: 'egress' }]);
  await t.test('made here', (t) => checkAll(t, site, site.router, beyond));
  await t.test('forwarded', (t) => checkAll(t, site, site.near, beyond));
  await t.test('where every rule that the answer would meet drops it', async (t) => {
    const shut = (zone: string) => ({ zone, default: 'drop', rules: [] });
    const spec = {
      mode: 'enforce',
      zones: { here: { interfaces: ['hrjb'] }, lan: { interfaces: ['hrja'] } },
      connections: { tcp: 'strict' },
      ingress: [shut('here')],
      egress: [{ zone: 'here', default: 'drop', rules }, shut('lan')],
    };
    const metadata = { name: 'shut' };
    await site.guard.load({ apiVersion: 'husk/v1', kind: 'PacketPolicy', metadata, spec });
    await site.guard.attach([
      { interface: 'hrjb', at: 'egress' },
      { interface: 'hrjb', at: 'ingress' },
      { interface: 'hrja', at: 'egress' },
    ]);
    await checkAll(t, site, site.router, beyond);
    await checkAll(t, site, site.near, beyond);
  });
});
