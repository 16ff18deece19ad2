// Goal: whatever the fleet's side does in a trial, it ends as exactly one thing: a newer assignment ends it as
// superseded, an answer at the deadline confirms or does not, and an answer that is not the signed one for
// this very trial confirms nothing.
// Method: Mosquitto stands where the controller stood and the test answers through it, late, twice, with the
// wrong nonce or never. Each end is seen by packets and calls and by the device's report, which must agree.

import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { readDocuments } from '../../agent/policy/read.ts';
import { generateSigningKey, keySigner } from '../../fleet/signer/key-signer.ts';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { mosquittoMissing, PlayedFleet } from '../lab/played-fleet.ts';
import { openSite } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { ParityProbe, policyText } from './parity.ts';

// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || executablesMissing() || mosquittoMissing();
/** Deadlines around which an answer is sent, in milliseconds before them. */
const margins = [2200, 1700, 1400, 1100, 900, 700, 500, 300, 0];

t.test('a fleet that is played', { skip, timeout: 290_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const probe = await ParityProbe.open(site);
  const fleet = await PlayedFleet.takeOver(site, 0);
  const good = fleet.answers.confirmation;
  const odd = fleet.bundle(policyText({ port: 7001 }));
  const even = fleet.bundle(policyText({ port: 7002 }));

  let turned = 0;

  await fleet.result(await fleet.assign(odd), 'confirmed');
  t.equal(await probe.see(), 'odd', 'a good answer over Mosquitto confirms');

  await t.test('the question comes over a connection that was opened under the new policy', async (t) => {
    const births = () => fleet.presence.filter((body) => (body as { state?: string }).state === 'up').length;
    const before = births();
    let atQuestion = before;
    fleet.answers.confirmation = (asked) => {
      atQuestion = births();
      return good(asked);
    };
    await fleet.result(await fleet.assign(even), 'confirmed');
    t.ok(atQuestion > before, 'it was born again before it asked');
    fleet.answers.confirmation = good;
    await fleet.result(await fleet.assign(odd), 'confirmed');
  });

  await t.test(
    'a bundle whose delivery is interrupted is fetched to its end, not from its beginning',
    async (t) => {
      const addresses = Array.from(
        { length: 120_000 },
        (_, index) => `100.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
      );
      const set = {
        apiVersion: 'husk/v1',
        kind: 'AddressSet',
        metadata: { name: 'many' },
        spec: { addresses },
      } as const;
      const { documents } = readDocuments(policyText({ port: 7001 }), 'policy');
      const large = fleet.bundleOf([set, ...documents]);
      const from: number[] = [];
      fleet.answers.parts = (asked) => {
        from.push(asked.from);
        return from.length === 1;
      };
      const serial = await fleet.assign(large);
      await waitFor(() => from.length > 1, { what: 'the second window to be asked for', withinMs: 20_000 });
      await fleet.close();
      await fleet.open();
      const interrupted = from.length;
      fleet.answers.parts = (asked) => from.push(asked.from) > 0;
      await fleet.result(serial, 'confirmed', 60_000);
      t.ok(
        from.slice(interrupted).every((first) => first > 0),
        `asked from part ${from.join(', ')}`,
      );
      t.equal(await probe.see(), 'odd');
    },
  );

  await t.test('no answer confirms nothing', async (t) => {
    fleet.answers.confirmation = async () => null;
    const report = await fleet.result(await fleet.assign(even, { trialSeconds: 3 }), 'returned');
    t.equal(report.assignment?.reason, 'no-confirmation');
    t.equal(await probe.see(), 'odd');
  });

  const wrong: Readonly<Record<string, typeof good>> = {
    'another nonce': async (asked) => fleet.confirm({ ...asked, nonce: '0'.repeat(64) }),
    'another serial': async (asked) => fleet.confirm({ ...asked, serial: asked.serial - 1 }),
    'another digest': async (asked) => fleet.confirm({ ...asked, digest: 'f'.repeat(64) }),
    'another device': async (asked) => fleet.confirm(asked, { device: 'a'.repeat(26) }),
    'a key that is not trusted': async (asked) =>
      keySigner(generateSigningKey()).sign(
        'application/vnd.husk.confirmation.v1+json',
        Buffer.from(fleet.confirm(asked).payload, 'base64'),
      ),
    'another type of payload': async (asked) => {
      const payload = Buffer.from(fleet.confirm(asked).payload, 'base64');
      return fleet.signer.sign('application/vnd.husk.assignment.v1+json', payload);
    },
    'the answer of the trial before': async () => {
      const before = fleet.asked.find((one) => one.serial < (fleet.asked.at(-1)?.serial ?? 0));
      return before === undefined ? null : fleet.confirm(before);
    },
  };
  for (const [what, answer] of Object.entries(wrong)) {
    await t.test(`an answer with ${what} confirms nothing`, async (t) => {
      fleet.answers.confirmation = answer;
      const asked = fleet.asked.length;
      await fleet.result(await fleet.assign(even, { trialSeconds: 2 }), 'returned');
      t.ok(fleet.asked.length > asked, 'it was asked for and given');
      t.equal(await probe.see(), 'odd');
    });
  }

  await t.test('a newer assignment ends a trial as superseded', async (t) => {
    fleet.answers.confirmation = async () => null;
    const first = await fleet.assign(even, { trialSeconds: 50 });
    await fleet.result(first, 'trial');
    const second = await fleet.assign(even, { trialSeconds: 50 });
    await fleet.result(second, 'trial');
    fleet.answers.confirmation = good;
    await fleet.result(second, 'confirmed');
    t.equal(await probe.see(), 'even');
    const ends = fleet.events.flatMap(({ event }) =>
      event.kind === 'audit' && event.detail.serial === first ? [event.what] : [],
    );
    t.strictSame(ends, ['bundle.superseded'], 'and that is what became of the one before');
  });

  await t.test('of many that arrive in a trial, only the newest is tried', async (t) => {
    fleet.answers.confirmation = async () => null;
    await fleet.result(await fleet.assign(odd, { trialSeconds: 50 }), 'trial');
    fleet.answers.confirmation = good;
    const asked = fleet.asked.length;
    let last = 0;
    for (let count = 0; count < 5; count++) last = await fleet.assign(count % 2 === 0 ? even : odd);
    await fleet.result(last, 'confirmed');
    t.equal(await probe.see(), 'even');
    const tried = new Set(fleet.asked.slice(asked).map((one) => one.serial));
    t.ok(tried.size <= 2, `tried of five: ${[...tried].join(', ')}`);
  });

  await t.test('an answer at the deadline confirms or does not, and all agree on which', async (t) => {
    const ends: string[] = [];
    for (const margin of margins) {
      const trialSeconds = 3;
      // The deadline is in whole seconds of boot time, so the answer falls anywhere around it.
      const { bundle, parity } = ends.at(-1) === 'confirmed' || ends.length === 0 ? turn() : turn(true);
      fleet.answers.confirmation = async (asked) => {
        if (fleet.asked.filter((one) => one.serial === asked.serial).length > 1) return null;
        await sleep(trialSeconds * 1000 - margin);
        return fleet.confirm(asked);
      };
      const before = await probe.see();
      const serial = await fleet.assign(bundle, { trialSeconds });
      const report = await Promise.any([
        fleet.result(serial, 'confirmed', 15_000),
        fleet.result(serial, 'returned', 15_000),
      ]);
      const end = report.assignment?.result ?? '';
      ends.push(end);
      const seen = await probe.see();
      t.equal(seen, end === 'confirmed' ? parity : before, `${margin} ms before: ${end}`);
      await sleep(1500);
      t.equal(await probe.see(), seen, 'and so it stays');
      t.equal(fleet.reported?.assignment?.result, end);
      t.equal(fleet.reported?.inForce?.serial === serial, end === 'confirmed', 'the report agrees');
    }
    t.comment(ends.join(' '));
    t.ok(ends.includes('confirmed') && ends.includes('returned'), 'both ends were met');
  });

  /** The bundle that is not in force, or the same again after it was not taken. */
  function turn(again = false): { bundle: typeof odd; parity: 'odd' | 'even' } {
    if (!again) turned++;
    return turned % 2 === 1 ? { bundle: odd, parity: 'odd' } : { bundle: even, parity: 'even' };
  }
});
