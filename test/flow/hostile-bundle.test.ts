// Goal: whatever comes as desired state or as a bundle, the device takes only what a trusted key signed for
// it, whole, and newer than all before; anything else is refused with its code and changes nothing.
// Method: the test owns the broker (Mosquitto, with the controller's certificate) and in some cases the signing
// key as well, and sends forged, altered, cut, swollen, older and misdirected things one after another. After
// each: the code in the report, the policy in force by packets and calls, and at the end a good bundle.

import { createHash } from 'node:crypto';
import t from 'tap';
import type { SignedEnvelope } from '../../agent/contract/bundle.ts';
import type { RefusalCode } from '../../agent/contract/refusal.ts';
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

t.test('hostile bundles', { skip, timeout: 290_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const probe = await ParityProbe.open(site);
  const fleet = await PlayedFleet.takeOver(site, 0);
  const odd = fleet.bundle(policyText({ port: 7001 }));
  const even = fleet.bundle(policyText({ port: 7002 }));
  const firstSerial = fleet.nextSerial;
  await fleet.result(await fleet.assign(odd, { serial: firstSerial }), 'confirmed');

  /** Codes of refusals that the device told of, in order. */
  const codes = (): string[] =>
    fleet.events.flatMap(({ event }) =>
      event.kind === 'audit' && event.what === 'bundle.refused' ? [String(event.detail.code)] : [],
    );
  const refused = async (what: string, code: RefusalCode, send: () => Promise<unknown>): Promise<void> => {
    await t.test(`refuses ${what}`, async (t) => {
      const before = codes().length;
      await send();
      const told = await waitFor(() => codes()[before], { what: `the refusal of ${what}`, withinMs: 60_000 });
      t.equal(told, code);
      t.ok(site.device.program.running, 'the agent lives');
      t.equal(fleet.reported?.inForce?.serial, firstSerial, 'what was in force is in force');
      t.equal(await probe.see(), 'odd');
    });
  };
  const stranger = keySigner(generateSigningKey());
  const signed = (): SignedEnvelope => fleet.sign(fleet.assignment(even));

  // ── the envelope ──────────────────────────────────────────────────────────────────────────────────────

  await refused('what is not JSON', 'bundle.malformed', () => fleet.desire('\u0000\u0001 no'));
  await refused('JSON of another shape', 'bundle.malformed', () => fleet.desire('{"payload":[]}'));
  await refused('JSON nested without end', 'bundle.malformed', () => fleet.desire('['.repeat(8000)));
  await refused('an envelope cut in half', 'bundle.malformed', () => {
    const text = JSON.stringify(signed());
    return fleet.desire(text.slice(0, text.length / 2));
  });
  await refused('one that is larger than any may be', 'bundle.too-large', () =>
    fleet.desire(JSON.stringify({ ...signed(), padding: 'x'.repeat(20_000) })),
  );
  await refused('a key said twice', 'bundle.malformed', () => {
    const text = JSON.stringify(signed());
    return fleet.desire(text.replace('{', `{"payloadType":"x",`));
  });
  await refused('a signature by a stranger', 'bundle.signature', () =>
    fleet.desire(JSON.stringify(fleet.sign(fleet.assignment(even), stranger))),
  );
  await refused('a stranger who gives our key id', 'bundle.signature', () => {
    const envelope = fleet.sign(fleet.assignment(even), stranger);
    const signatures = envelope.signatures.map(({ sig }) => ({ keyid: fleet.signer.keyid, sig }));
    return fleet.desire(JSON.stringify({ ...envelope, signatures }));
  });
  await refused('no signature at all', 'bundle.malformed', () =>
    fleet.desire(JSON.stringify({ ...signed(), signatures: [] })),
  );
  await refused('one altered byte', 'bundle.signature', () => {
    const envelope = signed();
    const payload = Buffer.from(envelope.payload, 'base64');
    payload[payload.length - 10] ??= 0;
    payload.writeUInt8((payload[payload.length - 10] ?? 0) ^ 1, payload.length - 10);
    return fleet.desire(JSON.stringify({ ...envelope, payload: payload.toString('base64') }));
  });
  // ── the assignment, rightly signed ────────────────────────────────────────────────────────────────────

  await refused('an assignment for another device', 'bundle.not-for-us', () =>
    fleet.assign(even, { device: 'b'.repeat(26) }),
  );
  await refused('an assignment of another tenant', 'bundle.not-for-us', () =>
    fleet.assign(even, { tenant: 'other' }),
  );
  await refused('a serial used again for other content', 'bundle.serial-reused', () =>
    fleet.assign(even, { serial: firstSerial }),
  );
  await refused('a bundle said to be larger than any may be', 'bundle.too-large', () =>
    fleet.assign(even, { bytes: 25 * 1024 * 1024 }),
  );

  // Here and not among its like: a refusal that says the same as the one before is told once.
  await refused('a signature over another type of payload', 'bundle.signature', () => {
    const type = 'application/vnd.husk.confirmation.v1+json';
    const payload = Buffer.from(JSON.stringify(fleet.assignment(even)));
    const envelope = fleet.signer.sign(type, payload);
    const payloadType = 'application/vnd.husk.assignment.v1+json';
    return fleet.desire(JSON.stringify({ ...envelope, payloadType }));
  });

  // ── the bundle ────────────────────────────────────────────────────────────────────────────────────────

  await refused('bytes that are not those that were signed', 'bundle.digest', () => {
    const bytes = Buffer.from(even.bytes);
    bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20);
    return fleet.assign(fleet.offer({ bytes, digest: fakeDigest(1) }), { bytes: bytes.length });
  });
  await refused('a bundle that is no JSON', 'bundle.malformed', () =>
    fleet.assign(offerText('not a bundle')),
  );
  await refused('a bundle of another tenant', 'bundle.not-for-us', () =>
    fleet.assign(offerText('{"v":1,"tenant":"other","title":"x","documents":[]}')),
  );
  await refused('documents with a fault', 'policy.invalid', () =>
    fleet.assign(
      offerText(Buffer.from(even.bytes).toString().replace('"default":"allow"', '"default":"perhaps"')),
    ),
  );
  await refused('more large sets than there is room for', 'policy.over-limit', () => {
    const addresses = (index: number) =>
      Array.from({ length: 257 }, (_, one) => `10.${index}.${one >> 7}.${(2 * one) & 255}`);
    const rule = (index: number) => `{ id: r${index}, from: [${addresses(index)}], action: drop }`;
    const ingress = Array.from({ length: 9 }, (_, index) => rule(index));
    return fleet.assign(fleet.bundle(policyText({ port: 7002, ingress })));
  });
  await refused('a policy that asks for a better tier than the device has', 'policy.unsupported', () =>
    fleet.assign(
      fleet.bundle(`${policyText({ port: 7002 })}
---
apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: strict }
spec:
  mode: enforce
  minimumTier: A
  subject: { cgroup: stubd }
  rules: [{ id: no-call-home, connect: {}, action: deny }]
`),
    ),
  );
  await t.test('never takes more bytes than were signed, and goes on asking', async (t) => {
    const bytes = Buffer.concat([even.bytes, Buffer.alloc(4096, 32)]);
    let asked = 0;
    fleet.answers.parts = () => ++asked > 0;
    const bundle = fleet.offer({ bytes, digest: fakeDigest(3) });
    const serial = await fleet.assign(bundle, { bytes: even.bytes.length });
    await waitFor(() => asked >= 3, { what: 'it to ask again', withinMs: 60_000 });
    t.match(fleet.reported?.assignment, { serial, result: 'fetching' });
    t.equal(await probe.see(), 'odd');
  });

  await t.test('a good one still goes through', async (t) => {
    await fleet.result(await fleet.assign(even), 'confirmed');
    t.equal(await probe.see(), 'even');
  });
  await t.test('and none from before is taken back', async (t) => {
    const before = codes().length;
    await fleet.assign(odd, { serial: firstSerial });
    t.equal(
      await waitFor(() => codes()[before], { what: 'the refusal of the older', withinMs: 20_000 }),
      'bundle.serial-older',
    );
    t.equal(await probe.see(), 'even');
  });

  function offerText(text: string): { bytes: Uint8Array; digest: string } {
    const bytes = Buffer.from(text);
    return fleet.offer({ bytes, digest: createHash('sha256').update(bytes).digest('hex') });
  }
});

/** A digest that is nobody's. */
function fakeDigest(seed: number): string {
  return createHash('sha256').update(`nobody ${seed}`).digest('hex');
}
