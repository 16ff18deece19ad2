// Goal: who is rejected hears of it, at once and in the words that its system knows; real clients on real links.
// Method: a client, a router and a server beyond it (reject-site.ts). Bridges, translations and links without an
// Ethernet header are in reject-links.test.ts.

import { spawnSync } from 'node:child_process';
import t from 'tap';
import { Guard, type GuardHook } from '../lab/guard.ts';
import { labMissing } from '../lab/lab.ts';
import { programsMissing } from './lab.ts';
import { beyond, checkAll, openSite, own, policy, rules } from './reject-site.ts';

t.setTimeout(120_000);

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
