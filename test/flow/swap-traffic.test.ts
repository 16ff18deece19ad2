// Goal: a policy that is swapped without pause under real traffic loses nothing that both policies allow and lets
// nothing through that both stop, with connections that are judged again at each swap.
// Method: datagrams at a steady rate through a router, on flows that last and on flows that are new each time, to a
// port that is allowed and to one that is not, with numbers in them; what arrives is held against what was sent.

import t from 'tap';
import { Lab } from '../lab/lab.ts';
import { addresses } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { Router, routerMissing, routerPolicy } from './router.ts';

t.setTimeout(90_000);
const skip = routerMissing();
const ports = { allowed: 7001, stopped: 7002 } as const;
const seconds = 5;

/** Two that mean the same for the traffic and share no table of rules. */
const policy = (which: 'odd' | 'even') => {
  const more = which === 'odd' ? [] : ['{ id: more, from: 203.0.113.77, protocol: udp, action: drop }'];
  const port = (to: number) => (which === 'odd' ? `${to}` : `[${to}, ${to + 1000}]`);
  return routerPolicy({
    lanIn: [
      ...more,
      '{ id: follows, state: [established, related], action: allow }',
      `{ id: opens, state: [new], protocol: udp, ports: { to: ${port(ports.allowed)} }, action: allow }`,
    ],
    lanInDefault: 'drop',
    wanIn: ['{ id: wan-follows, state: [established, related], action: allow }'],
    wanInDefault: 'drop',
  });
};

/** Counts datagrams by port, and those that came out of their order of sending or twice. */
const listen = `
  const { createSocket } = require('node:dgram');
  const got = {}, seen = {};
  for (const port of [${ports.allowed}, ${ports.stopped}]) {
    got[port] = 0;
    const socket = createSocket({ type: 'udp4', recvBufferSize: 8 << 20 });
    socket.on('message', (bytes, { address, port: from }) => { got[port]++; socket.send(bytes, from, address); });
    socket.bind(port);
  }
  setInterval(() => console.log(JSON.stringify(got)), 100);`;

/** Ten lasting flows and one that is new each time, to both ports, every millisecond; then what came back. */
const speak = `
  const { createSocket } = require('node:dgram');
  const [to, ms] = [process.argv[1], Number(process.argv[2])];
  const count = { sent: 0, echoed: 0, forbidden: 0, forbiddenEchoed: 0, flows: 0 };
  const open = (echo) => {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
    socket.on('message', () => { count[echo]++; });
    return socket;
  };
  const lasting = Array.from({ length: 10 }, () => [open('echoed'), open('forbiddenEchoed')]);
  const say = ([good, bad]) => {
    good.send('x', ${ports.allowed}, to); count.sent++;
    bad.send('x', ${ports.stopped}, to); count.forbidden++;
  };
  const end = Date.now() + ms;
  let at = 0;
  console.log('speaking');
  const timer = setInterval(() => {
    if (Date.now() > end) {
      clearInterval(timer);
      setTimeout(() => { console.log(JSON.stringify(count)); process.exit(0); }, 700);
      return;
    }
    say(lasting[at++ % 10]);
    const fresh = [open('echoed'), open('forbiddenEchoed')];
    say(fresh);
    count.flows++;
    setTimeout(() => fresh.forEach((one) => one.close()), 500);
  }, 2);`;

t.test('swapped without pause under traffic', { skip, timeout: 80_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const router = await Router.open(lab);
  const { wan, lan } = router.ground;
  await router.settle(policy('odd'));
  const before = router.kernel.totals();
  const listener = lab.start('listen', { argv: [process.execPath, '-e', listen], namespace: wan });
  await listener.line(/^\{/, 10_000);
  const argv = [process.execPath, '-e', speak, addresses.controller, String(seconds * 1000)];
  const speaker = lab.start('speak', { argv, namespace: lan });
  await speaker.line(/^speaking/, 10_000);

  const ways = { settled: 0, confirmed: 0, returned: 0 };
  for (let round = 0; speaker.running && !/^\{/m.test(speaker.output()); round++) {
    const loaded = await router.load(policy(round % 2 === 0 ? 'even' : 'odd'));
    if (round % 3 === 0) {
      router.kernel.settle(loaded);
      ways.settled++;
      continue;
    }
    const trial = router.kernel.beginTrial(loaded, 30);
    await new Promise((resolve) => setTimeout(resolve, 5));
    // What a returned trial opened is forgotten, so that its flows are new ones again: nothing is lost by that.
    if (round % 3 === 1) ways.confirmed += router.kernel.confirm(trial) === 'confirmed' ? 1 : 0;
    else {
      router.kernel.returnNow(trial);
      ways.returned++;
    }
  }
  const said = JSON.parse(await speaker.line(/^\{/, 5000));
  const arrived = await waitFor(() => JSON.parse(listener.output().trim().split('\n').at(-1) ?? ''), {
    what: 'the last count',
    withinMs: 5000,
  });
  t.comment(JSON.stringify({ ...ways, ...said, arrived }));
  t.ok(
    Object.values(ways).every((count) => count >= 5),
    'each way of swapping came up',
  );
  t.ok(said.sent > 1000 && said.flows > 500, 'there was traffic');
  t.equal(arrived[ports.allowed], said.sent, 'all that both allow arrived');
  t.equal(said.forbidden, said.sent);
  t.equal(arrived[ports.stopped], 0, 'nothing that both stop did');
  t.equal(said.forbiddenEchoed, 0);
  // An echo that is under way when a trial is returned may be of a connection that is forgotten by then.
  t.ok(said.sent - said.echoed <= 4 * ways.returned, `${said.sent - said.echoed} echoes were lost`);
  t.equal(
    router.kernel.totals().NO_GENERATION,
    before.NO_GENERATION,
    'no packet found nothing to be judged by',
  );
});
