// Goal: connections outlive a swap where the new policy allows what opened them, and only there; what a trial that
// was returned had opened is forgotten for good; and no packet is lost or let through because of a swap.
// Method: TCP connections held open through a router while its policy is swapped, tried and returned, with `strict`,
// so that a packet of no connection is dropped. Then datagrams at a steady rate while it is swapped without pause.

import t from 'tap';
import { Lab } from '../lab/lab.ts';
import { addresses } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { Held, Router, routerMissing, routerPolicy, say, serve } from './router.ts';

t.setTimeout(120_000);
const skip = routerMissing();
const ports = { kept: 7001, closed: 7002, tried: 7003, never: 7004 } as const;

/** New connections to these ports of the wan, and what follows them. */
const opening = (...allowed: readonly number[]) =>
  routerPolicy({
    lanIn: [
      '{ id: follows, state: [established, related], action: allow }',
      `{ id: opens, state: [new], protocol: [tcp, udp], ports: { to: [${allowed.join(', ')}] }, action: allow }`,
    ],
    lanInDefault: 'drop',
    wanIn: ['{ id: wan-follows, state: [established, related], action: allow }'],
    wanInDefault: 'drop',
  });

t.test('connections over a swap', { skip, timeout: 110_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const router = await Router.open(lab);
  const { wan, lan } = router.ground;
  await serve(lab, wan, Object.values(ports));
  const hold = (port: number) => Held.open(lab, lan, addresses.controller, port);
  const entry = async (held: Held) => (await router.connections(held.port))[0];

  await t.test('allowed by both: it goes on and is judged once; by one: it ends', async (t) => {
    const before = await router.settle(opening(ports.kept, ports.closed));
    const [kept, closed] = [await hold(ports.kept), await hold(ports.closed)];
    t.ok((await kept.lives()) && (await closed.lives()));
    t.match(await entry(kept), { made: before, judged: before });
    let after = 0;
    const { hits } = await router.moved(async () => {
      after = await router.settle(opening(ports.kept));
      t.ok(await kept.lives());
      t.notOk(await closed.lives());
    });
    t.match(await entry(kept), { made: before, judged: after, replied: true, closed: false });
    t.equal(await entry(closed), undefined);
    t.notOk('opens' in hits, `judging again counts nothing: ${JSON.stringify(hits)}`);
    t.ok((hits.follows ?? 0) > 5);
    t.ok((hits['lan:default-ingress'] ?? 0) > 0, 'what was of the one that ended is of none');
    await router.settle(opening(ports.kept, ports.closed));
    t.notOk(await closed.lives(), 'what has ended does not come back');
    t.ok(await kept.lives());
    await Promise.all([kept.close(), closed.close()]);
  });

  for (const end of ['by the agent', 'by itself'] as const) {
    await t.test(`a trial that is returned, ${end}`, async (t) => {
      const before = await router.settle(opening(ports.kept));
      const kept = await hold(ports.kept);
      const trial = router.kernel.beginTrial(await router.load(opening(ports.kept, ports.tried)), 3);
      const tried = await hold(ports.tried);
      t.ok((await tried.lives()) && (await kept.lives()));
      t.match(await entry(tried), { replied: true });
      if (end === 'by the agent') router.kernel.returnNow(trial);
      else {
        await waitFor(() => router.bootSeconds >= trial.deadline && !router.kernel.status().inTrial, {
          what: 'the deadline',
          withinMs: 5000,
        });
      }
      t.notOk(await tried.lives(), 'what it opened is no connection');
      t.equal(await entry(tried), undefined);
      t.ok(await kept.lives(), 'what was opened before it goes on');
      t.match(await entry(kept), { made: before, judged: before });

      await router.settle(opening(ports.kept, ports.tried));
      t.notOk(await tried.lives(), 'not under a later policy either, that would have let it be opened');
      t.equal(await entry(tried), undefined);
      t.ok(await kept.lives());
      t.equal(await say(lan, 'tcp', addresses.controller, ports.tried), 'echo', 'a new one is opened');
      await Promise.all([kept.close(), tried.close()]);
    });
  }

  await t.test('returned without an agent: what was opened since is judged again, once', async (t) => {
    const before = await router.settle(opening(ports.kept, ports.closed));
    const old = await hold(ports.kept);
    const left = await router.settle(opening(ports.kept, ports.closed, ports.tried));
    const [kept, tried] = [await hold(ports.kept), await hold(ports.tried)];
    t.ok((await kept.lives()) && (await tried.lives()) && (await old.lives()));
    t.match(await entry(kept), { made: left, judged: left });
    t.equal(await router.kernel.returnToPrevious(), true);
    const after = router.kernel.status().inForce?.id ?? 0;
    t.ok(after > left, 'the generation before, under a number of its own');
    t.ok((await kept.lives()) && (await old.lives()));
    t.match(await entry(kept), { made: left, judged: after });
    t.match(await entry(old), { made: before, judged: after });
    t.notOk(await tried.lives(), 'what it would not have let be opened is over');
    t.equal(await entry(tried), undefined);
    await Promise.all([old.close(), kept.close(), tried.close()]);
  });

  await t.test('a trial that is confirmed keeps what it opened', async (t) => {
    await router.settle(opening(ports.kept));
    const trial = router.kernel.beginTrial(await router.load(opening(ports.kept, ports.tried)), 60);
    const tried = await hold(ports.tried);
    t.equal(router.kernel.confirm(trial), 'confirmed');
    t.ok(await tried.lives());
    await router.settle(opening(ports.tried));
    t.ok(await tried.lives());
    await tried.close();
  });

  await t.test('what a trial would not have let open is over, though it was returned', async (t) => {
    await router.settle(opening(ports.kept));
    const kept = await hold(ports.kept);
    const trial = router.kernel.beginTrial(await router.load(opening(ports.tried)), 60);
    t.notOk(await kept.lives());
    router.kernel.returnNow(trial);
    t.notOk(await kept.lives());
    t.equal(await say(lan, 'tcp', addresses.controller, ports.kept), 'echo');
    await kept.close();
  });
});
