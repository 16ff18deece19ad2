// Goal: what guards deny, would deny and observe is told whole: who did it and from where he comes, with names, what it
// was, by which rule; a flood is one event with an exact count; and packets push none of it out.
// Method: Debian's kernel in an emulator, the agent's own code from policy to spool; two daemons try (guest/events.ts),
// and the events that come out are read here.

import t, { type Test } from 'tap';
import { z } from 'zod';
import type { CallEvent, OperationEvent } from '../../agent/contract/event.ts';
import { eventDetails, eventWords } from '../../agent/policy/event-words.ts';
import { callEvent, operationEvent } from '../../fleet/inbox/task-events.ts';
import { Guest, guestMissing } from './guest.ts';
import { guestPrograms, programMissing, told } from './guest-programs.ts';

t.setTimeout(600_000);

/** As guest/events.ts has it. */
const tries = 500;
const execs = 60;

const opened = z.strictObject({ openedMs: z.number(), tier: z.string().nullable() });
const flooded = z.strictObject({ packetsLost: z.number(), callsLost: z.number(), said: z.string() });
const event = z.strictObject({
  event: z.union([operationEvent, callEvent, z.looseObject({ kind: z.string() })]),
});
const counted = z.strictObject({ hits: z.record(z.string(), z.number()) });

type TaskEvent = OperationEvent | CallEvent;

t.test("Debian's 6.12", { skip: programMissing() || guestMissing('6.12') }, async (t) => {
  const guest = await Guest.boot('6.12', await guestPrograms('events'));
  t.teardown(async () => {
    await guest.close({ failed: !t.passing() });
  });
  const result = await guest.run('node /husk/build/events.cjs', 300_000);
  t.equal(result.status, 0, 'all is tried', { said: result.lines.slice(-20) });
  const lines = told(result, z.union([opened, flooded, counted, event]));
  const events = lines.flatMap((line) => ('event' in line ? [line.event as TaskEvent] : []));
  const tasks = events.filter(({ kind }) => kind === 'operation' || kind === 'call');
  const hits = lines.find((line) => 'hits' in line)?.hits ?? {};
  for (const one of tasks) t.comment(eventWords(one));

  t.test('packets that fill their ring take nothing from denials', async (t) => {
    const flood = lines.find((line) => 'packetsLost' in line);
    t.ok((flood?.packetsLost ?? 0) > 0, `${flood?.packetsLost} packet events were lost`);
    t.equal(flood?.callsLost, 0);
    t.match(flood?.said, /Operation not permitted/);
    t.ok(
      events.some((one) => 'lost' in one && 'where' in one),
      'what was lost of them is told',
    );
  });
  t.test('an exec by a grandchild is told with the whole chain, under the names they go by', (t) =>
    chainIsWhole(t, tasks),
  );
  t.test('verdicts', (t) => verdictsAreTold(t, tasks));
  t.test('what is observed', (t) => observedIsTold(t, tasks));
  t.test('a flood is counted, and told once in a period', async (t) => {
    const conf = ofRule(tasks, 'stubd/conf');
    t.equal(sum(conf), tries, 'each of them');
    t.equal(hits['stubd/conf'], tries, 'as the rule counts');
    t.ok(conf.length < 40, `${conf.length} events`);
    const repeated = conf.find(({ count }) => count > 1);
    t.match(repeated, { file: { path: '/etc/stubd/conf' }, process: { name: 'sh' } });
    t.ok((repeated?.duration ?? 0) > 0);
  });
});

const ofRule = (events: readonly TaskEvent[], rule: string) => events.filter((one) => one.rule === rule);
const sum = (events: readonly TaskEvent[]) => events.reduce((all, { count }) => all + count, 0);

async function chainIsWhole(t: Test, events: readonly TaskEvent[]): Promise<void> {
  const [early, denied] = ofRule(events, 'stubd/no-tmp-exec');
  t.match(early, { file: { path: '/tmp/evil/early' } }, 'of before anybody read, too');
  t.match(denied, {
    kind: 'operation',
    class_uid: 1007,
    activity_id: 1,
    disposition_id: 2,
    verdict: 'deny',
    mode: 'enforce',
    tier: 'A',
    operation: 'exec',
    file: { path: '/tmp/evil/true' },
    process: { file: { path: '/bin/busybox', name: 'env' }, user: { uid: 0 }, ancestryIsWhole: true },
    remediation: {
      desc: /Exception \{ of: \{ policy: stubd, rule: no-tmp-exec \}, exec: \{ paths: \["\/tmp\/evil\/true"\] \} \}/,
    },
  });
  t.match(denied?.process?.ancestry.slice(0, 3), [
    { path: '/bin/busybox', name: 'sh' },
    { path: '/srv/stubd/sh' },
    { path: '/bin/node' },
  ]);
  if (denied !== undefined) {
    t.match(
      eventDetails(denied)[0],
      /\/bin\/busybox as env ← \/bin\/busybox as sh ← \/srv\/stubd\/sh ← \/bin\/node/,
    );
  }
}

async function verdictsAreTold(t: Test, events: readonly TaskEvent[]): Promise<void> {
  t.match(ofRule(events, 'stubd/seen'), [
    {
      mode: 'monitor',
      verdict: 'deny',
      disposition_id: 15,
      operation: 'delete',
      file: { path: '/srv/seen' },
    },
  ]);
  t.match(ofRule(events, 'stubd/no-other'), [
    { killed: true, operation: 'exec', file: { path: '/srv/killed/true' }, severity_id: 4 },
  ]);
  t.match(ofRule(events, 'stubd/sealed')[0], { operation: 'module', verdict: 'deny', class_uid: 1002 });
  t.match(ofRule(events, 'stubd/no-call-home')[0], {
    kind: 'call',
    call: 'connect',
    tier: 'A',
    dst_endpoint: { ip: '192.0.2.20', port: 9 },
    process: { name: 'nc', ancestry: [{ path: '/srv/stubd/sh' }, {}, {}] },
  });
}

async function observedIsTold(t: Test, events: readonly TaskEvent[]): Promise<void> {
  const allowed = events.filter(({ verdict }) => verdict === 'allow');
  const ran = allowed.filter((one) => one.kind === 'operation' && one.file?.name === 'true');
  t.equal(sum(ran), execs, 'each exec');
  t.ok(ran.length < execs / 2, `${ran.length} events`);
  t.match(ran[0], { rule: null, severity_id: 1, operation: 'exec', file: { path: '/bin/busybox' } });
  t.ok(
    allowed.some((one) => one.kind === 'operation' && one.operation === 'module'),
    'a module that is loaded',
  );
  t.ok(
    allowed.some((one) => one.kind === 'call' && one.address === '127.0.0.1' && one.port === 9),
    'an address that is called',
  );
  // The policy of the other daemon wants nothing to be observed.
  const others = allowed.filter(
    ({ process }) => process?.ancestry.some(({ path }) => path === '/srv/stubd/sh') === true,
  );
  t.strictSame(others, []);
}
