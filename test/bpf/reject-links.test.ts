// Goal: who is rejected hears of it also through a bridge, behind a translation, and on a link whose frames begin with
// the IP header.
// Method: as reject.test.ts, whose client, router and server these are.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bareLinkMissing, buildBareLink } from '../lab/bare-link.ts';
import { Guard } from '../lab/guard.ts';
import { labMissing } from '../lab/lab.ts';
import { programsMissing } from './lab.ts';
import { beyond, checkAll, checksumByKernel, openSite, policy, rejects, rules } from './reject-site.ts';

t.setTimeout(180_000);

/** Where a translation has been: what is rejected comes from the router itself. */
const translated = rules.map((rule) => ({ ...rule, from: ['10.71.2.1', 'fd71:2::1'] }));

t.test(
  'rejected where they come in by such a link',
  { skip: labMissing() || programsMissing() || bareLinkMissing() },
  async (t) => {
    for (const kind of ['tun', 'rawip'] as const) {
      await t.test(kind, async (t) => {
        const site = await openSite(t);
        const link = site.lab.start(`bare-link ${kind}`, {
          argv: [buildBareLink(), kind, 'hrjt', site.router.path, 'hrjtp', site.near.path],
        });
        await link.line(/^hrjt hrjtp$/, 5000);
        for (const [namespace, name, address] of [
          [site.router, 'hrjt', 1],
          [site.near, 'hrjtp', 2],
        ] as const) {
          namespace.run('ip', ['addr', 'add', `10.71.9.${address}/24`, 'dev', name]);
          namespace.run('ip', ['addr', 'add', `fd71:9::${address}/64`, 'dev', name, 'nodad']);
          namespace.run('ip', ['link', 'set', name, 'up']);
        }
        await site.guard.load(policy('ingress', 'hrjt'));
        await site.guard.attach([{ interface: 'hrjt', at: 'ingress' }]);
        await checkAll(t, site, site.near, ['10.71.9.1', 'fd71:9::1']);
      });
    }
  },
);

t.test('rejected at a port of a bridge', { skip: labMissing() || programsMissing() }, async (t) => {
  const site = await openSite(t);
  const { near, router, far, guard } = site;
  router.run('ip', ['link', 'add', 'hrjbr', 'type', 'bridge']);
  for (const port of ['hrja', 'hrjb']) {
    router.run('ip', ['addr', 'flush', 'dev', port]);
    router.run('ip', ['link', 'set', port, 'master', 'hrjbr']);
  }
  router.run('ip', ['link', 'set', 'hrjbr', 'up']);
  for (const [namespace, name, address] of [
    [near, 'hrjn', 2],
    [far, 'hrjf', 3],
  ] as const) {
    namespace.run('ip', ['addr', 'add', `10.71.5.${address}/24`, 'dev', name]);
    namespace.run('ip', ['addr', 'add', `fd71:5::${address}/64`, 'dev', name, 'nodad']);
  }
  const across = ['10.71.5.3', 'fd71:5::3'];
  const peer = await Guard.open(site.lab, near);
  await t.test('where they come in, by XDP', async (t) => {
    await guard.load(policy('ingress', 'hrja'));
    await guard.attach([{ interface: 'hrja', at: 'xdp' }]);
    await peer.attach([{ interface: 'hrjn', at: 'xdp' }]);
    await checkAll(t, site, near, across);
    await peer.attach([]);
  });
  await t.test('where they come in, by tc', async (t) => {
    await guard.attach([{ interface: 'hrja', at: 'ingress' }]);
    await checkAll(t, site, near, across);
  });
  await t.test('where they would go out', async (t) => {
    await guard.load(policy('egress', 'hrjb'));
    await guard.attach([{ interface: 'hrjb', at: 'egress' }]);
    await checkAll(t, site, near, across);
  });
});

const nftMissing = spawnSync('nft', ['--version']).error === undefined ? false : 'needs the program nft';

t.test(
  'rejected behind a translation',
  { skip: labMissing() || programsMissing() || nftMissing },
  async (t) => {
    const site = await openSite(t);
    const { near, router, far, guard } = site;
    const ports = `{ ${Object.values(rejects).join(', ')} }`;
    const ruleset = `
      table inet hrj {
        chain before {
          type nat hook prerouting priority dstnat;
          iifname hrjb ip daddr 10.71.2.1 tcp dport ${ports} dnat ip to 10.71.1.2
          iifname hrjb ip daddr 10.71.2.1 udp dport ${ports} dnat ip to 10.71.1.2
          iifname hrjb ip6 daddr fd71:2::1 tcp dport ${ports} dnat ip6 to fd71:1::2
          iifname hrjb ip6 daddr fd71:2::1 udp dport ${ports} dnat ip6 to fd71:1::2
        }
        chain after {
          type nat hook postrouting priority srcnat;
          oifname hrjb masquerade
        }
      }`;
    const file = join(site.lab.dir, 'hrj.nft');
    writeFileSync(file, ruleset);
    router.run('nft', ['-f', file]);
    await t.test('masqueraded, where they would go out', async (t) => {
      await guard.load(policy('egress', 'hrjb', { list: translated }));
      await guard.attach([{ interface: 'hrjb', at: 'egress' }]);
      await checkAll(t, site, near, beyond);
    });
    await t.test('a forwarded port, where they would go out to whom it is forwarded', async (t) => {
      checksumByKernel(router, 'hrjb');
      far.set('net/ipv4/icmp_ratelimit', '0');
      await guard.load(policy('egress', 'hrja'));
      await guard.attach([{ interface: 'hrja', at: 'egress' }]);
      await checkAll(t, site, far, ['10.71.2.1', 'fd71:2::1']);
    });
  },
);
