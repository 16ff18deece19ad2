// Goal: a bundle becomes what the kernel enforces only if every step went well, and whatever goes wrong leaves
// the policy from before in force, over restarts and reboots too.
// Method: the flow on a real kernel set, disk and signatures (apply-bench.ts); the link alone is played. What is
// in force is always asked of the kernel, not of the flow.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { returnToPrevious, steps } from '../../agent/apply-bundle.ts';
import { HuskTable } from '../../bpf/abi/layout.gen.ts';
import { addon } from '../../native/index.ts';
import { ApplyBench, benchMissing, policyDropping, Signer } from './apply-bench.ts';

// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = benchMissing();
const options = { skip, timeout: 60_000 };

async function bench(t: { teardown(fn: () => Promise<void>): void }): Promise<ApplyBench> {
  const made = await ApplyBench.open();
  t.teardown(() => made.close());
  await made.live();
  return made;
}

t.test('the baseline is in force before there is any bundle', options, async (t) => {
  const device = await bench(t);
  t.equal(device.inForce(), 0);
  t.equal(device.applier.state().inForce, null);
});

t.test('a good bundle goes through every step in order and is confirmed', options, async (t) => {
  const device = await bench(t);
  const first = device.fleet.publish(1, policyDropping('192.0.2.1'));
  t.equal(await device.apply(first), 'confirmed');
  t.same(device.steps, [...steps]);
  t.equal(device.inForce(), 1);
  t.equal(device.kernel.status().other?.serial, 0, 'the baseline is the previous generation');
  t.equal(device.link.connections, 1, 'over one new connection');
  t.match(device.applier.state(), { inForce: { serial: 1, digest: first.digest } });
  const states = Object.fromEntries(device.applier.state().rules.map((rule) => [rule.id, rule.state]));
  t.match(states, { 'wan/bad': 'enforced', 'stubd/no-call-home': 'enforced' });
  t.match(device.store.record, { confirmed: { serial: 1 }, trial: null });
});

t.test('a second bundle shares the tables that are equal', options, async (t) => {
  const device = await bench(t);
  t.equal(await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1'))), 'confirmed');
  const before = device.kernel.status().inForce;
  const loadedBytes = device.kernel.status().kernelBytes;
  t.equal(await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2'))), 'confirmed');
  t.equal(device.inForce(), 2);
  t.equal(device.kernel.status().other?.serial, 1);
  const after = device.kernel.status().inForce;
  const equal = (kind: number): boolean =>
    Buffer.from(before?.tableDigests[kind] ?? []).equals(Buffer.from(after?.tableDigests[kind] ?? []));
  t.equal(equal(HuskTable.CALLS), true, 'the calls are the same');
  t.equal(equal(HuskTable.INGRESS_CLASSES), false, 'the packets are not');
  // The table of calls is 9 KiB; held twice, the kernel would state it twice.
  t.ok(device.kernel.status().kernelBytes < 2 * loadedBytes);
});

t.test('a long list that stays is neither built nor sent again', options, async (t) => {
  const device = await bench(t);
  const policy = (name: string, addresses: readonly string[]) => [
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: ['wan0'] } },
        sets: { list: { addressSet: 'list' } },
        ingress: [
          {
            zone: 'wan',
            default: 'allow',
            rules: [{ id: 'bad', from: { set: 'list' }, action: 'drop' }],
          },
        ],
        egress: [],
      },
    },
    { apiVersion: 'husk/v1', kind: 'AddressSet', metadata: { name: 'list' }, spec: { addresses } },
  ];
  const list = Array.from({ length: 5000 }, (_, at) => `10.${at >> 8}.${at & 255}.0`);
  const table = () =>
    device.applier.state().image?.tables.find(({ kind }) => kind === HuskTable.BIG4)?.values;

  t.equal(await device.apply(device.fleet.publish(1, policy('a', list))), 'confirmed');
  const first = table();
  t.ok((first?.length ?? 0) > 0);
  t.equal(await device.apply(device.fleet.publish(2, policy('b', list.toReversed()))), 'confirmed');
  t.equal(table(), first, 'the very bytes of before');
  t.same(device.applier.state().rules.at(0), { id: 'b/bad', state: 'enforced' });
  t.equal(await device.apply(device.fleet.publish(3, policy('b', list.slice(1)))), 'confirmed');
  t.not(table(), first);
});

t.test(
  'a device that cannot be reached under the new policy goes back at the deadline',
  options,
  async (t) => {
    const device = await bench(t);
    await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
    device.link.reachable = false;
    const second = device.fleet.publish(2, policyDropping('0.0.0.0/0'));
    device.applier.offer(second.envelope);
    await device.reaches(2, 'trial');
    t.equal(device.inForce(), 2, 'on trial');
    t.equal(await device.ended(2), 'returned');
    t.equal(device.inForce(), 1);
    t.match(device.applier.state().assignment, { reason: 'no-confirmation' });

    device.link.reachable = true;
    device.applier.offer(second.envelope);
    t.equal(device.applier.refusedOffer?.code, 'bundle.returned-before', 'and is not tried again');
    t.equal(device.inForce(), 1);
    t.equal(
      await device.apply(device.fleet.publish(3, policyDropping('192.0.2.3'))),
      'confirmed',
      'a higher serial is',
    );
  },
);

t.test('no answer but the signed one for this very trial confirms', options, async (t) => {
  const device = await bench(t);
  const { fleet, link } = device;
  const stranger = new Signer();
  const forgeries = [
    (ask: Parameters<typeof link.answer>[0]) =>
      stranger.seal('application/vnd.husk.confirmation.v1+json', {
        v: 1,
        tenant: 'acme',
        device: 'abcdefghijklmnopqrstuvwxyz',
        ...ask,
        issuedAt: 1,
      }),
    (ask: Parameters<typeof link.answer>[0]) => fleet.confirm({ ...ask, nonce: 'ab'.repeat(32) }),
    (ask: Parameters<typeof link.answer>[0]) => fleet.confirm({ ...ask, serial: ask.serial + 1 }),
    (ask: Parameters<typeof link.answer>[0]) => fleet.confirm({ ...ask, digest: '0'.repeat(64) }),
    () => ({ payloadType: '', payload: '', signatures: [] }),
  ];
  let serial = 0;
  for (const forge of forgeries) {
    link.answer = forge;
    t.equal(await device.apply(fleet.publish(++serial, policyDropping('192.0.2.1'))), 'returned');
    t.equal(device.inForce(), 0);
  }
});

t.test('what was altered, is for others or is older disturbs nothing', options, async (t) => {
  const device = await bench(t);
  const { fleet, applier } = device;
  await device.apply(fleet.publish(5, policyDropping('192.0.2.1')));
  const refused = (envelope: Uint8Array, code: string): void => {
    applier.offer(envelope);
    t.equal(applier.refusedOffer?.code, code);
    t.equal(device.inForce(), 5);
  };
  refused(fleet.publish(4, policyDropping('192.0.2.2')).envelope, 'bundle.serial-older');
  refused(fleet.publish(5, policyDropping('192.0.2.2')).envelope, 'bundle.serial-reused');
  refused(new Uint8Array(Buffer.from('garbage')), 'bundle.malformed');
  refused(new Uint8Array(), 'bundle.malformed');
  refused(new Uint8Array(1 << 20), 'bundle.too-large');
  const good = Buffer.from(fleet.publish(6, policyDropping('192.0.2.2')).envelope).toString();
  refused(new Uint8Array(Buffer.from(good.slice(0, good.length / 2))), 'bundle.malformed');
  const payload = Buffer.from(JSON.parse(good).payload, 'base64')
    .toString()
    .replace('"serial":6', '"serial":9');
  const altered = JSON.stringify({ ...JSON.parse(good), payload: Buffer.from(payload).toString('base64') });
  refused(new Uint8Array(Buffer.from(altered)), 'bundle.signature');
});

t.test('a bundle that does not have the signed digest or length is refused', options, async (t) => {
  const device = await bench(t);
  const ways: ((bytes: Uint8Array) => Uint8Array)[] = [
    (bytes) => bytes.subarray(0, bytes.length - 1),
    (bytes) => Uint8Array.from([...bytes, 32]),
    (bytes) => bytes.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
  ];
  let serial = 0;
  for (const way of ways) {
    device.link.deliver = way;
    t.equal(await device.apply(device.fleet.publish(++serial, policyDropping('192.0.2.1'))), 'refused');
    t.equal(device.applier.state().assignment?.refusal?.code, 'bundle.digest');
    t.equal(device.inForce(), 0);
  }
});

t.test('a policy with faults is refused with every one of them, once', options, async (t) => {
  const device = await bench(t);
  const bad = device.fleet.publish(1, [
    {
      apiVersion: 'husk/v1',
      kind: 'AddressSet',
      metadata: { name: 'x' },
      spec: { addresses: ['300.1.1.1', '10.0.0.1/8'] },
    },
  ]);
  t.equal(await device.apply(bad), 'refused');
  const refusal = device.applier.state().assignment?.refusal;
  t.equal(refusal?.code, 'policy.invalid');
  t.match(refusal?.detail, /300\.1\.1\.1[\s\S]*10\.0\.0\.1\/8/);
  device.applier.offer(bad.envelope);
  t.equal(
    device.audits.filter((one) => one.what === 'bundle.refused').length,
    1,
    'a repetition is not worked on',
  );
  t.equal(device.inForce(), 0);
});

t.test('a newer assignment ends a trial as superseded', options, async (t) => {
  const device = await bench(t);
  const { fleet, link } = device;
  await device.apply(fleet.publish(1, policyDropping('192.0.2.1')));
  link.reachable = false;
  device.applier.offer(fleet.publish(2, policyDropping('192.0.2.2'), 600).envelope);
  await device.reaches(2, 'trial');
  link.reachable = true;
  device.applier.offer(fleet.publish(3, policyDropping('192.0.2.3')).envelope);
  t.equal(await device.ended(3), 'confirmed');
  t.equal(device.inForce(), 3);
  t.equal(device.kernel.status().other?.serial, 1, 'the superseded one is no generation to go back to');
  t.match(
    device.audits.map((one) => one.what),
    ['bundle.confirmed', 'bundle.superseded', 'bundle.confirmed'],
  );
});

t.test(
  'an agent that dies in the trial: the kernel returns, the next start counts it',
  options,
  async (t) => {
    const device = await bench(t);
    await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
    device.link.reachable = false;
    const second = device.fleet.publish(2, policyDropping('192.0.2.2'));
    device.applier.offer(second.envelope);
    await device.reaches(2, 'trial');
    device.die();

    await device.live();
    t.equal(device.inForce(), 1);
    t.match(device.applier.state().assignment, { serial: 2, result: 'returned', reason: 'agent-restarted' });
    device.applier.offer(second.envelope);
    t.equal(device.applier.refusedOffer?.code, 'bundle.returned-before');
  },
);

t.test('a device that reboots in the trial comes up with what was confirmed before', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  device.link.reachable = false;
  const second = device.fleet.publish(2, policyDropping('192.0.2.2'));
  device.applier.offer(second.envelope);
  await device.reaches(2, 'trial');
  device.reboot();

  await device.live();
  t.equal(device.inForce(), 1, 'without any connection');
  t.equal(device.kernel.status().other?.serial, 0, 'the baseline is there to go back to');
  t.match(device.applier.state().assignment, { serial: 2, result: 'returned', reason: 'device-rebooted' });
  device.applier.offer(second.envelope);
  t.equal(device.applier.refusedOffer?.code, 'bundle.returned-before');
});

t.test(
  'dying between the confirmation in the kernel and the one on the disk loses neither',
  options,
  async (t) => {
    const device = await bench(t);
    await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
    device.files.fail({ operation: 'write', path: 'record.json', code: 'ENOSPC', after: 2 });
    device.applier.offer(device.fleet.publish(2, policyDropping('192.0.2.2')).envelope);
    for (let i = 0; i < 500 && !device.steps.slice(steps.length).includes('confirmed'); i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    t.match(
      device.store.record,
      { confirmed: { serial: 1 }, trial: { serial: 2 } },
      'the disk still says trial',
    );
    device.die();
    device.files.heal();

    await device.live();
    t.equal(device.inForce(), 2);
    t.match(device.store.record, { confirmed: { serial: 2 }, trial: null });
  },
);

t.test('a full disk refuses the bundle before anything is swapped', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  device.files.fail({ operation: 'write', path: '.bundle', code: 'ENOSPC' });
  t.equal(await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2'))), 'refused');
  t.equal(device.applier.state().assignment?.refusal?.code, 'bundle.storage');
  t.equal(device.inForce(), 1);
  device.files.heal();
  t.equal(await device.apply(device.fleet.publish(3, policyDropping('192.0.2.3'))), 'confirmed');
});

t.test('a restart adopts what is in force without loading anything', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  const before = device.kernel.status().inForce?.digest;
  device.die();
  await device.live();
  t.equal(device.kernel.status().how, 'adopted');
  t.equal(device.kernel.status().inForce?.digest, before);
  t.match(device.applier.state().inForce, { serial: 1 });
  const ids = device.applier.state().rules.map((rule) => rule.id);
  t.ok(ids.includes('wan/bad') && ids.includes('stubd/no-call-home'));
});

t.test(
  'a bundle altered on the disk is not believed after a reboot: the one before it, then the baseline',
  options,
  async (t) => {
    const device = await bench(t);
    const first = device.fleet.publish(1, policyDropping('192.0.2.1'));
    const second = device.fleet.publish(2, policyDropping('192.0.2.2'));
    await device.apply(first);
    await device.apply(second);
    writeFileSync(join(device.storeFolder, `${second.digest}.bundle`), '{"v":1}');
    device.reboot();
    await device.live();
    t.equal(device.inForce(), 1);
    t.ok(device.audits.some((one) => one.what === 'bundle.damaged'));
    writeFileSync(join(device.storeFolder, '1.assignment'), '{}');
    device.reboot();
    await device.live();
    t.equal(device.inForce(), 0);
  },
);

t.test('returning by hand goes to the previous generation, on the disk too', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2')));
  t.equal(await device.applier.returnToPrevious(), true);
  t.equal(device.inForce(), 1);
  device.reboot();
  await device.live();
  t.equal(device.inForce(), 1);
  t.match(device.applier.state().assignment, { serial: 2, result: 'returned', reason: 'local-command' });
});

t.test('returning by hand in a trial ends the trial', options, async (t) => {
  const device = await bench(t);
  device.link.reachable = false;
  device.applier.offer(device.fleet.publish(1, policyDropping('192.0.2.1'), 600).envelope);
  await device.reaches(1, 'trial');
  t.equal(await device.applier.returnToPrevious(), true);
  t.equal(device.inForce(), 0);
  t.match(device.applier.state().assignment, { serial: 1, result: 'returned', reason: 'local-command' });
});

t.test('counters keep their rule over policies and restarts', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  const indexOf = async (id: string): Promise<number | undefined> =>
    (await device.kernel.counters()).find((one) => one.id === id)?.index;
  const index = await indexOf('wan/bad');
  t.not(index, undefined);
  await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2')));
  t.equal(await indexOf('wan/bad'), index);
  device.die();
  await device.live();
  t.equal(await indexOf('wan/bad'), index);
});

t.test('returning by hand never puts in force what was returned or left before', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2')));
  device.link.reachable = false;
  t.equal(await device.apply(device.fleet.publish(3, policyDropping('0.0.0.0/0'))), 'returned');
  t.equal(device.kernel.status().other?.serial, 3, 'it lies in the other slot');
  t.equal(await device.applier.returnToPrevious(), true);
  t.equal(device.inForce(), 1, 'made again from the disk');
  t.match(device.store.record, { confirmed: { serial: 1 }, previous: null });
  t.equal(await device.applier.returnToPrevious(), true);
  t.equal(device.inForce(), 0, 'then the baseline');
  t.equal(await device.applier.returnToPrevious(), false, 'and there is nothing before that');
  t.equal(device.inForce(), 0);
});

t.test('nor does it without an agent', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2')));
  t.equal(
    await returnToPrevious(device.kernel, device.store),
    true,
    'the other slot holds what was confirmed before',
  );
  t.equal(device.inForce(), 1);
  t.match(device.store.record, { confirmed: { serial: 1 }, last: { serial: 2, result: 'returned' } });
  t.equal(await returnToPrevious(device.kernel, device.store), false, 'now it holds what was just left');
  t.equal(device.inForce(), 1);
});

t.test('without an agent, returning in a trial ends the trial and its mark', options, async (t) => {
  const device = await bench(t);
  device.link.reachable = false;
  device.applier.offer(device.fleet.publish(1, policyDropping('192.0.2.1'), 600).envelope);
  await device.reaches(1, 'trial');
  t.equal(await returnToPrevious(device.kernel, device.store), true);
  t.equal(device.inForce(), 0);
  t.match(device.store.record, { trial: null, last: { result: 'returned', reason: 'local-command' } });
});

t.test('nothing goes live that the kernel did not prove', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  t.match(device.applier.state().proven, /^[1-9]\d* packets by twin run, [1-9]\d* calls by canary/);
  // A kernel that judges by the slot in force where the standby one was meant: every rule is proven by another.
  device.deceive('prove');
  t.equal(await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2'))), 'refused');
  t.equal(device.applier.state().assignment?.refusal?.code, 'kernel.unproven');
  t.equal(device.inForce(), 1);
});

t.test('a confirmed bundle that this kernel did not take at start is tried again', options, async (t) => {
  const device = await bench(t);
  const first = device.fleet.publish(1, policyDropping('192.0.2.1'));
  await device.apply(first);
  device.reboot();
  device.deceive('prove');
  await device.live();
  t.equal(device.inForce(), 0, 'the baseline, and the agent lives');
  t.ok(device.audits.some((one) => one.what === 'bundle.not-enforced'));
  t.equal(await device.applier.enforceAgain(), false);
  device.deceive(null);
  t.equal(await device.applier.enforceAgain(), true);
  t.equal(device.inForce(), 1);
  t.equal(await device.applier.enforceAgain(), null, 'and then there is nothing to try');
});

t.test('the device clamps the length of a trial', options, async (t) => {
  const device = await bench(t);
  device.link.reachable = false;
  for (const [serial, asked, least, most] of [
    [1, 1, 1, 2],
    [2, 1_000_000, 1798, 1800],
  ] as const) {
    device.applier.offer(device.fleet.publish(serial, policyDropping(`192.0.2.${serial}`), asked).envelope);
    await device.reaches(serial, 'trial');
    const { deadline } = device.kernel.status().live;
    const left = deadline - Number(addon.bootNs() / 1_000_000_000n);
    t.ok(left >= least && left <= most, `${asked} s asked for, ${left} s left`);
  }
});

t.test('an answer that comes when the kernel has already gone back confirms nothing', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  device.link.answer = async (ask) => {
    // What a program does that meets the deadline, at the last moment.
    device.kernel.endTrial();
    return device.fleet.confirm(ask);
  };
  t.equal(await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2'), 600)), 'returned');
  t.equal(device.inForce(), 1);
  t.match(device.store.record, { confirmed: { serial: 1 }, trial: null });
});

t.test('what is superseded before its trial never goes live', options, async (t) => {
  const device = await bench(t);
  const live: number[] = [];
  const third = device.fleet.publish(3, policyDropping('192.0.2.3'));
  device.onStep = (step) => {
    if (step === 'loaded' && device.inForce() === 0 && live.length === 0) {
      live.push(device.inForce());
      device.applier.offer(third.envelope);
    }
    if (step === 'swapped') live.push(device.inForce());
  };
  device.applier.offer(device.fleet.publish(2, policyDropping('192.0.2.2')).envelope);
  t.equal(await device.ended(3), 'confirmed');
  t.same(live, [0, 3], 'serial 2 was loaded and never tried');
});

t.test('a full disk keeps nobody from going back', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2')));
  device.files.fail({ operation: 'write', path: 'record.json', code: 'ENOSPC' });
  t.equal(await device.applier.returnToPrevious(), true);
  t.equal(device.inForce(), 1);
  t.match(device.applier.state().inForce, { serial: 1 });
  device.files.heal();
  for (let i = 0; i < 400 && device.store.record.confirmed?.serial !== 1; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.match(device.store.record, { confirmed: { serial: 1 } }, 'and the disk hears of it when there is room');
});

t.test('a confirmation that a full disk did not take can be gone back from', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  device.files.fail({ operation: 'write', path: 'record.json', code: 'ENOSPC', after: 2 });
  device.applier.offer(device.fleet.publish(2, policyDropping('192.0.2.2')).envelope);
  for (let i = 0; i < 500 && !device.steps.slice(steps.length).includes('confirmed'); i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.equal(device.inForce(), 2);
  t.equal(await device.applier.returnToPrevious(), true);
  t.equal(device.inForce(), 1);
});

t.test('rules in force are those of the slot in force, whatever else has a counter', options, async (t) => {
  const device = await bench(t);
  await device.apply(device.fleet.publish(1, policyDropping('192.0.2.1')));
  await device.apply(device.fleet.publish(2, policyDropping('192.0.2.2').slice(0, 1)));
  const ids = (rows: readonly { id: string }[]): string[] => rows.map((one) => one.id);
  t.ok(
    ids(await device.kernel.counters()).includes('stubd/no-call-home'),
    'it goes on being counted under its name',
  );
  t.ok(ids(await device.kernel.countersInForce()).includes('wan/bad'));
  t.notOk(ids(await device.kernel.countersInForce()).includes('stubd/no-call-home'));
});
