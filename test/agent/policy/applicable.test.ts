// Goal: a shield holds where it is needed, ends only by what nobody on the device could have forged, and what is not
// known never leaves a device unprotected.
// Method: one shield, and devices that differ from the one it is for in one thing each.

import t from 'tap';
import type { FirmwareFacts } from '../../../agent/contract/firmware.ts';
import type { PolicyDocument, Shield } from '../../../agent/contract/policy.ts';
import {
  type ApplicableFacts,
  canEnd,
  documentAt,
  documentsHere,
  endedKeyOf,
  isOutdated,
} from '../../../agent/policy/applicable.ts';

const build = 'ab'.repeat(32);
const expires = '2027-06-01';
const afterwards = Date.UTC(2027, 5, 2);
const shield = (spec: Partial<Shield['spec']> = {}): Shield => ({
  apiVersion: 'husk/v1',
  kind: 'Shield',
  metadata: { name: 'cve' },
  spec: {
    cve: 'CVE-2023-1389',
    severity: 'high',
    appliesTo: {
      vendor: 'TP-Link',
      model: ['archer-ax21*', 'archer-ax20'],
      firmware: ['<1.1.4', '>=2.0 <2.3.1'],
      executable: { path: '/usr/sbin/uhttpd', sha256: [build] },
    },
    expires,
    mode: 'enforce',
    subject: { executable: '/usr/sbin/uhttpd' },
    rules: [{ id: 'r', exec: {}, action: 'deny' }],
    ...spec,
  },
});

const affected: FirmwareFacts = {
  vendor: 'tp-link',
  model: 'Archer-AX21v3',
  version: '1.1.3',
  untrusted: null,
};
function facts(firmware: Partial<FirmwareFacts> = {}, more: Partial<ApplicableFacts> = {}): ApplicableFacts {
  return {
    firmware: { ...affected, ...firmware },
    fileDigest: () => ({ sha256: build, isInImage: true }),
    time: { certainMs: null, nowMs: null },
    ended: new Set(),
    ...more,
  };
}
function here(document: PolicyDocument, of: ApplicableFacts) {
  const { documents, states } = documentsHere([document], of);
  const [state] = states;
  return { inForce: documents.length === 1, state: state?.state, why: state?.why };
}

t.test('holds on the device that it is for', async (t) => {
  t.same(here(shield(), facts()), { inForce: true, state: 'applies', why: undefined });
  const everywhere: Shield = { ...shield(), spec: { ...shield().spec, appliesTo: {} } };
  t.equal(here(everywhere, facts({ vendor: null, untrusted: 'x' })).state, 'applies');
});

t.test('is left out on others, and says why', async (t) => {
  const others: [ApplicableFacts, string][] = [
    [facts({ vendor: 'acme' }), 'the vendor is acme'],
    [facts({ model: 'archer-c7' }), 'the model is archer-c7'],
    [
      facts({}, { fileDigest: () => ({ sha256: 'cd'.repeat(32), isInImage: true }) }),
      '/usr/sbin/uhttpd is another build',
    ],
  ];
  for (const [of, why] of others)
    t.same(here(shield(), of), { inForce: false, state: 'not-applicable', why });
  const later = shield({ appliesTo: { firmware: '>=2.0 <2.3.1' } });
  t.match(here(later, facts({ version: '1.9' })), { inForce: false, state: 'not-applicable' });
});

t.test('what is not known, or could be forged, is taken for vulnerable', async (t) => {
  const unsure: [ApplicableFacts, RegExp][] = [
    [facts({ vendor: null }), /vendor not known/],
    [facts({ model: null }), /model not known/],
    [facts({ version: null }), /version not known/],
    [facts({ version: '1.1.4', untrusted: 'it is on a writable mount' }), /writable mount/],
    [facts({ model: 'other', untrusted: 'it is on a writable mount' }), /writable mount/],
    [facts({ version: 'r21234' }), /can't be compared/],
    [facts({ version: '1.1.4-hotfix' }), /can't be compared/],
    [facts({}, { fileDigest: () => ({ sha256: null, isInImage: false }) }), /can't be read/],
    [facts({}, { fileDigest: () => ({ sha256: '00', isInImage: false }) }), /writable mount/],
  ];
  for (const [of, why] of unsure) {
    const found = here(shield({ retireAutomatically: true }), of);
    t.match(found, { inForce: true, state: 'applies' });
    t.match(found.why, why);
    t.match(found.why, /taken for vulnerable/);
  }
});

t.test('a fixed firmware and an expiry propose its end, and end it where that is signed', async (t) => {
  const fixed = facts({ version: '1.1.4' });
  const late = facts({}, { time: { certainMs: afterwards, nowMs: null } });
  for (const [of, why] of [
    [fixed, 'firmware 1.1.4 is fixed'],
    [late, 'expired'],
  ] as const) {
    t.same(here(shield(), of), { inForce: true, state: 'retire-proposed', why });
    t.same(here(shield({ retireAutomatically: true }), of), { inForce: false, state: 'retired', why });
  }
  const theDay = facts({}, { time: { certainMs: Date.UTC(2027, 5, 1, 23, 59), nowMs: afterwards } });
  t.equal(here(shield(), theDay).state, 'applies', 'its last day counts to the end');
  t.equal(here(shield({ mode: 'off' }), late).state, 'off');
  t.equal(here(shield({ mode: 'learn' }), late).inForce, false);
});

t.test('time goes on without the device being asked again', async (t) => {
  const { states } = documentsHere([shield(), shield({ retireAutomatically: true })], facts());
  const now = states.map((one) => documentAt(one, { certainMs: afterwards, nowMs: null }));
  t.same(
    now.map(({ state }) => state),
    ['retire-proposed', 'retired'],
  );
  t.equal(isOutdated(states, now), true);
  t.equal(
    isOutdated(states.slice(0, 1), now.slice(0, 1)),
    false,
    'what is proposed is in force all the same',
  );
  t.same(states.map(canEnd), [false, true]);
  t.same(
    states.map((one) => documentAt(one, { certainMs: null, nowMs: afterwards })),
    states,
  );
  const [, gone] = now;
  t.same(gone && documentAt(gone, { certainMs: 0, nowMs: 0 }), gone, 'what is retired stays so');
});

t.test('other documents stay as they are', async (t) => {
  const documents = [shield()];
  t.equal(documentsHere(documents, facts()).documents, documents, 'the very array');
});

t.test('an exception holds while it is known not to be over, and never again', async (t) => {
  const exception: PolicyDocument = {
    apiVersion: 'husk/v1',
    kind: 'Exception',
    metadata: { name: 'x' },
    spec: {
      owner: 'netops',
      reason: 'a backup',
      expires,
      of: { shield: 'cve', rule: 'r' },
      exec: { paths: ['/usr/bin/tar'] },
    },
  };
  const before = Date.UTC(2027, 4, 1);
  const at = (nowMs: number | null, more: Partial<ApplicableFacts> = {}) =>
    here(exception, facts({}, { time: { certainMs: null, nowMs }, ...more }));
  t.same(at(before), { inForce: true, state: 'applies', why: undefined });
  t.match(at(null), { inForce: false, state: 'inactive' });
  t.match(at(afterwards), { inForce: false, state: 'ended' });
  const [over] = documentsHere(
    [exception],
    facts({}, { time: { certainMs: null, nowMs: afterwards } }),
  ).states;
  t.ok(over);
  if (over === undefined) return;
  t.match(at(before, { ended: new Set([endedKeyOf(over)]) }), { inForce: false, state: 'ended' });
  t.equal(documentAt(over, { certainMs: null, nowMs: before }).state, 'ended', 'a clock that is set back');
  const [holding] = documentsHere(
    [exception],
    facts({}, { time: { certainMs: null, nowMs: before } }),
  ).states;
  const later = holding === undefined ? [] : [documentAt(holding, { certainMs: null, nowMs: afterwards })];
  t.equal(later[0]?.state, 'ended');
  t.equal(isOutdated([holding ?? over], later), true);
  t.equal(canEnd(over), true);
});
