// Goal: a permit that the fleet signs is one that a device takes, and it stays on record.
// Method: signed over a store in memory, taken by the device's own code.

import t from 'tap';
import { trustKeys } from '../../agent/trust/keys.ts';
import { verifyPermit } from '../../agent/trust/verify.ts';
import { signPermit } from '../../fleet/sign-permit.ts';
import { generateSigningKey, keySigner } from '../../fleet/signer/key-signer.ts';
import { openStore } from '../../fleet/store/open.ts';

t.test('it says what was ordered, and the audit log says so too', async (t) => {
  const signer = keySigner(generateSigningKey());
  const store = openStore(':memory:');
  t.teardown(() => store.close());
  const parts = { tenant: 'test', signer, store, clock: { now: () => 1_800_000_000_000 } };
  const device = 'a'.repeat(26);
  const order = { device, purpose: 'return', boot: '1-2', validSeconds: 60, who: 'somebody' } as const;
  const { permit, envelope } = signPermit(parts, order);
  t.strictSame(verifyPermit(envelope, trustKeys([signer.publicKey]), { tenant: 'test', device }), permit);
  t.match(permit, { device, purpose: 'return', boot: '1-2', notAfter: 1_800_000_060 });
  t.not(signPermit(parts, order).permit.id, permit.id, 'each is another');
  const [entry] = store.audit
    .tail(10)
    .filter(({ detail }) => (detail as { permit?: string }).permit === permit.id);
  t.match(entry, { who: 'somebody', what: 'device.permit', object: device });
});
