// Goal: on a router that translates addresses itself, `toDevice` and `state` mean what PACKETS.md §5 and §6 say:
// by what is on the wire, and by what of it went through the device.
// Method: real connections through nftables' masquerade and port forwards between three namespaces, and the counters
// of rules that match one meaning each. Asymmetric paths are a second wire beside the router.

import { spawnSync } from 'node:child_process';
import t from 'tap';
import { Lab } from '../lab/lab.ts';
import { addresses } from '../lab/site.ts';
import { Held, Router, routerMissing, routerPolicy, say, serve } from './router.ts';

t.setTimeout(120_000);
const nftMissing = spawnSync('nft', ['--version']).error === undefined ? false : 'needs the program nft';
const skip = routerMissing() || nftMissing;
const hasPing = spawnSync('busybox', ['ping', '--help']).error === undefined;

/** Wan addresses whose connections are not translated: of their two directions, one passes beside the router. */
const aside = { there: '203.0.113.9', back: '203.0.113.10' } as const;
const ports = { forwarded: 8080, inner: 8000, plain: 7000, middle: 7001, closed: 7999 } as const;

const ruleset = `
table ip router_nat {
  chain before {
    type nat hook prerouting priority dstnat;
    ip daddr ${addresses.device} tcp dport ${ports.forwarded} dnat to ${addresses.lanHost}:${ports.inner}
  }
  chain after {
    type nat hook postrouting priority srcnat;
    ip daddr 203.0.113.0/24 return
    oifname wan0 ip saddr 192.168.77.0/24 masquerade
    iifname lan0 oifname lan0 masquerade
  }
}`;

/** One rule for each meaning that a packet from outside can have. */
const meanings = [
  '{ id: reply-to-device, state: [established], toDevice: true, action: allow }',
  '{ id: reply-through, state: [established], toDevice: false, action: allow }',
  '{ id: related-to-device, state: [related], toDevice: true, action: allow }',
  '{ id: related-through, state: [related], toDevice: false, action: allow }',
];
const forward = `{ id: forward, protocol: tcp, ports: { to: ${ports.forwarded} }, state: [new], toDevice: true, action: allow }`;
const lanMeanings = [
  '{ id: lan-reply-to-device, state: [established], toDevice: true, action: allow }',
  '{ id: lan-reply-through, state: [established], toDevice: false, action: allow }',
  '{ id: lan-new-to-device, state: [new], toDevice: true, action: allow }',
  '{ id: lan-new-through, state: [new], toDevice: false, action: allow }',
];

t.test('a router that translates', { skip, timeout: 110_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const router = await Router.open(lab);
  const { wan, inside, lan } = router.ground;
  router.nft(ruleset);
  await serve(lab, wan, [ports.plain]);
  await serve(lab, lan, [ports.inner]);
  const normal = routerPolicy({
    wanIn: [...meanings, forward],
    wanInDefault: 'drop',
    lanIn: lanMeanings,
    lanInDefault: 'drop',
  });
  await router.settle(normal);

  await t.test(
    'a reply to what was masqueraded goes through, though it is addressed to the device',
    async (t) => {
      const { OPENED: opened } = router.kernel.connectionCounts();
      const udp = await router.moved(() => say(lan, 'udp', addresses.controller, ports.plain));
      t.equal(router.kernel.connectionCounts().OPENED, (opened ?? 0n) + 2n, 'one of the LAN, one translated');
      t.equal(udp.answer, 'echo');
      t.strictSame(udp.hits, { 'lan-new-through': 1, 'reply-through': 1, 'wan:default-egress': 1 });
      const tcp = await router.moved(() => say(lan, 'tcp', addresses.controller, ports.plain));
      t.equal(tcp.answer, 'echo');
      t.equal(tcp.hits['lan-new-through'], 1, 'the SYN');
      t.ok((tcp.hits['reply-through'] ?? 0) >= 2, JSON.stringify(tcp.hits));
      t.notOk('reply-to-device' in tcp.hits);
    },
  );

  await t.test("a reply to the device's own is for the device", async (t) => {
    const { answer, hits } = await router.moved(() => say(inside, 'udp', addresses.controller, ports.plain));
    t.equal(answer, 'echo');
    t.strictSame(hits, { 'reply-to-device': 1, 'wan:default-egress': 1 });
  });

  await t.test('ping is translated by its identifier', { skip: !hasPing && 'needs busybox' }, async (t) => {
    const ping = (from: typeof lan) =>
      router.moved(async () =>
        from.run('busybox', ['ping', '-c', '3', '-i', '0.1', '-W', '1', addresses.neighbour]),
      );
    const through = await ping(lan);
    t.match(through.answer, /3 packets received/);
    t.equal(through.hits['reply-through'], 3);
    t.notOk('reply-to-device' in through.hits);
    const own = await ping(inside);
    t.match(own.answer, /3 packets received/);
    t.equal(own.hits['reply-to-device'], 3);
    t.notOk('reply-through' in own.hits);
  });

  await t.test('an error about a connection has its course', async (t) => {
    const through = await router.moved(() => say(lan, 'udp', addresses.controller, ports.closed));
    t.equal(through.answer, 'ECONNREFUSED', 'the error was translated back');
    t.equal(through.hits['related-through'], 1, JSON.stringify(through.hits));
    t.notOk('related-to-device' in through.hits);
    const own = await router.moved(() => say(inside, 'udp', addresses.controller, ports.closed));
    t.equal(own.answer, 'ECONNREFUSED');
    t.equal(own.hits['related-to-device'], 1, JSON.stringify(own.hits));
    t.notOk('related-through' in own.hits);
  });

  await t.test('a forwarded port: to the device as it opens, through it as it goes on', async (t) => {
    const { answer, hits } = await router.moved(() => say(wan, 'tcp', addresses.device, ports.forwarded));
    t.equal(answer, 'echo');
    t.equal(hits.forward, 1, JSON.stringify(hits));
    t.ok((hits['reply-through'] ?? 0) >= 2);
    t.notOk('reply-to-device' in hits);
    t.notOk('lan-reply-to-device' in hits);
    t.ok((hits['lan-reply-through'] ?? 0) >= 2, 'its answers go through too');
  });

  await t.test(
    'a port that is not forwarded by the policy stays closed, whatever nftables does',
    async (t) => {
      await router.settle(routerPolicy({ wanIn: meanings, wanInDefault: 'drop' }));
      t.equal(await say(wan, 'tcp', addresses.device, ports.forwarded), 'none');
      t.equal(await say(lan, 'udp', addresses.controller, ports.plain), 'echo');
      await router.settle(normal);
    },
  );

  await t.test('hairpin: a lan host reaches a lan host by the address of the wan', async (t) => {
    const { answer, hits } = await router.moved(() => say(lan, 'tcp', addresses.device, ports.forwarded));
    t.equal(answer, 'echo');
    t.equal(hits['lan-new-to-device'], 1, JSON.stringify(hits));
    t.notOk(
      'lan-reply-to-device' in hits,
      'all that follows goes through, if out by the interface it came in',
    );
    t.ok((hits['lan-reply-through'] ?? 0) >= 4);
    t.notOk('reply-through' in hits, 'the wan sees nothing of it');
  });
});

t.test('paths that pass the router one way only', { skip, timeout: 110_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const router = await Router.open(lab);
  const { wan, inside, lan } = router.ground;
  // A second wire. To `there` the router sees what the lan sends, of `back` what the wan sends.
  lab.wire(
    { namespace: wan, interface: 'up1', addresses: ['10.9.0.1/30', `${aside.there}/32`, `${aside.back}/32`] },
    { namespace: lan, interface: 'host1', addresses: ['10.9.0.2/30'] },
  );
  wan.run('ip', ['rule', 'add', 'from', aside.there, 'lookup', '200']);
  wan.run('ip', ['route', 'add', 'default', 'via', '10.9.0.2', 'table', '200']);
  lan.run('ip', ['route', 'add', aside.back, 'via', '10.9.0.1', 'src', addresses.lanHost]);
  await serve(lab, wan, [ports.plain, ports.middle]);
  const policy = (tcp: 'strict' | 'loose') =>
    routerPolicy({
      tcp,
      wanIn: [
        '{ id: wan-follows, state: [established, related], action: allow }',
        '{ id: wan-answer, state: [new], protocol: tcp, tcpFlags: { set: [syn, ack] }, action: allow }',
      ],
      wanInDefault: 'drop',
      lanIn: [
        '{ id: lan-follows, state: [established, related], action: allow }',
        '{ id: lan-opens, state: [new], protocol: tcp, tcpFlags: { set: [syn], unset: [ack] }, action: allow }',
      ],
      lanInDefault: 'drop',
    });
  const open = (address: string) => say(lan, 'tcp', address, ports.plain);
  inside.run('ip', ['route', 'add', '203.0.113.0/24', 'via', addresses.controller]);

  await t.test('both ways by the router: either', async (t) => {
    for (const tcp of ['strict', 'loose'] as const) {
      await router.settle(policy(tcp));
      t.equal(await open(addresses.controller), 'echo', tcp);
    }
  });

  await t.test('only what the lan sends', async (t) => {
    await router.settle(policy('strict'));
    t.equal(await open(aside.there), 'none', 'strict: an ACK that nothing was answered to is new');
    await router.settle(policy('loose'));
    const { answer, hits } = await router.moved(() => open(aside.there));
    t.equal(answer, 'echo', 'loose: it is established');
    t.equal(hits['lan-opens'], 1);
    t.notOk('wan-follows' in hits, 'the router saw no answer');
  });

  await t.test('only what the wan sends', async (t) => {
    await router.settle(policy('strict'));
    t.equal(await open(aside.back), 'none', 'strict: an answer to nothing is invalid');
    await router.settle(policy('loose'));
    const { answer, hits } = await router.moved(() => open(aside.back));
    t.equal(answer, 'echo', 'loose: it opens the connection');
    t.ok((hits['wan-answer'] ?? 0) >= 1);
    t.notOk('lan-opens' in hits, 'the router saw no SYN');
  });

  await t.test('a connection met in its middle', async (t) => {
    const middle = (tcp: 'strict' | 'loose') =>
      routerPolicy({
        tcp,
        lanIn: [
          '{ id: broken, state: [invalid], action: drop }',
          '{ id: known, state: [established], action: allow }',
        ],
        wanIn: ['{ id: wan-broken, state: [invalid], action: drop }'],
      });
    await router.settle(routerPolicy({}));
    const held = await Held.open(lab, lan, addresses.controller, ports.middle);
    t.ok(await held.lives(), 'nothing is followed');
    await router.settle(middle('strict'));
    t.notOk(await held.lives(), 'strict: invalid');
    t.same(await router.connections(ports.middle), []);
    await router.settle(middle('loose'));
    // What was lost is sent again after a while that grows with each time.
    let lives = false;
    for (let tries = 0; tries < 8 && !lives; tries++) lives = await held.lives();
    t.ok(lives, 'loose: picked up');
    t.match(await router.connections(ports.middle), [{ midstream: true, replied: true, forwarded: true }]);
    await held.close();
  });
});
