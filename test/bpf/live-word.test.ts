// Goal: the programs follow the live word as bpf/abi/abi.h draws it: the slot bit outside a trial; in a trial
// the slot bit until the deadline, then the other slot for good, without anyone's help.
// Method: two slots with opposite verdicts, the word stored by hand, the live programs under TEST_RUN. The
// deadline that passes while a program runs is a real one, a second ahead.

import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { HuskTotal, HuskVerdict } from '../../bpf/abi/layout.gen.ts';
import { ipv4, protocol, tcp } from './frames.ts';
import { directions, ProgramLab, programsMissing, type Slot, testRunIfindex } from './lab.ts';

const frame = ipv4(protocol.tcp, tcp());

t.test('the live word', { skip: programsMissing() }, async (t) => {
  const lab = await ProgramLab.open();
  t.teardown(() => lab.close());
  const verdicts = { 0: HuskVerdict.ALLOW, 1: HuskVerdict.DROP } as const;
  for (const slot of [0, 1] as const) {
    const rule = { rule: 1, verdict: verdicts[slot] };
    await lab.fill(slot, { zones: { [testRunIfindex]: {} }, ingress: [rule], egress: [rule] });
  }
  /** Which slot all live programs judge by. */
  const slotInForce = (): Slot => {
    const slots = directions.map((direction) => (lab.isDropped(direction, frame) ? 1 : 0));
    if (new Set(slots).size > 1) throw new Error(`${directions} by ${slots}`);
    return slots[0] ?? 0;
  };
  const deadlinesSeen = () => lab.total(HuskTotal.DEADLINES_SEEN);
  t.beforeEach(() => {
    lab.setLive(0);
    lab.expired = 0;
  });

  await t.test('names the slot outside a trial, whatever `expired` holds', (t) => {
    for (const slot of [0, 1] as const) {
      const word = lab.setLive(slot);
      for (const expired of [0, word, 0xffff_ffff]) {
        lab.expired = expired;
        t.equal(slotInForce(), slot);
        t.equal(lab.expired, expired, 'nothing is stored');
      }
    }
    t.end();
  });

  await t.test('names the slot on trial until the deadline', (t) => {
    const seen = deadlinesSeen();
    for (const slot of [0, 1] as const) {
      lab.setLive(slot, lab.bootSeconds + 60);
      t.equal(slotInForce(), slot);
      t.equal(lab.expired, 0);
    }
    t.equal(deadlinesSeen(), seen);
    t.end();
  });

  await t.test('a deadline that passed stores the word as expired, and the other slot is in force', (t) => {
    for (const slot of [0, 1] as const) {
      lab.expired = 0;
      const seen = deadlinesSeen();
      const word = lab.setLive(slot, lab.bootSeconds);
      t.equal(slotInForce(), slot ^ 1, 'the second of the deadline is past it');
      t.equal(lab.expired, word);
      t.equal(lab.live, word, 'the live word is user space alone');
      t.equal(deadlinesSeen(), seen + 3n, 'counted for each program that judged so');
    }
    t.end();
  });

  await t.test('a trial that runs out while packets flow ends by itself', async (t) => {
    const word = lab.setLive(1, lab.bootSeconds + 2);
    t.equal(slotInForce(), 1);
    while (lab.bootSeconds < (word & 0x3fff_ffff)) await sleep(20);
    t.equal(slotInForce(), 0);
    t.equal(lab.expired, word);
  });

  await t.test('what expired stays expired, even if its deadline were ahead', (t) => {
    const word = lab.setLive(1, lab.bootSeconds + 60);
    lab.expired = word;
    t.equal(slotInForce(), 0);
    t.end();
  });

  await t.test('another trial is not ended by what an earlier one left', (t) => {
    lab.expired = lab.setLive(1, lab.bootSeconds - 10);
    lab.setLive(1, lab.bootSeconds + 60);
    t.equal(slotInForce(), 1);
    t.end();
  });

  await t.test('a confirmed word is not undone by a late store of its trial', (t) => {
    const trial = lab.setLive(1, lab.bootSeconds + 60);
    lab.setLive(1); // confirmed
    lab.expired = trial; // a program that had met the deadline stores only now
    t.equal(slotInForce(), 1);
    t.end();
  });

  await t.test('a trial that runs out into an empty slot allows, and says so', async (t) => {
    await lab.empty(0);
    lab.setLive(1, lab.bootSeconds);
    const before = lab.total(HuskTotal.NO_GENERATION);
    t.equal(slotInForce(), 0);
    t.equal(lab.total(HuskTotal.NO_GENERATION), before + 3n);
  });
});
