// Goal: the same documents always become the same bytes, which the device's own strict parser reads back.
// Method: documents with their keys in other orders, generated values, and what JSON does not have.

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { parseJson } from '../../../agent/contract/json.ts';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { canonicalJson, writeBundle } from '../../../fleet/policy/bundle.ts';

const set = (addresses: readonly string[]): PolicyDocument => ({
  apiVersion: 'husk/v1',
  kind: 'AddressSet',
  metadata: { name: 'a' },
  spec: { addresses },
});

t.test('a bundle has the digest of its bytes, whatever the order of its keys', async (t) => {
  const one = writeBundle('acme', 'x', [set(['192.0.2.1'])]);
  const turned = Object.fromEntries(
    Object.entries(set(['192.0.2.1'])).toReversed(),
  ) as unknown as PolicyDocument;
  t.same(writeBundle('acme', 'x', [turned]), one);
  t.equal(one.digest, createHash('sha256').update(one.bytes).digest('hex'));
  t.not(writeBundle('acme', 'x', [set(['192.0.2.2'])]).digest, one.digest);
  t.not(writeBundle('acme', 'y', [set(['192.0.2.1'])]).digest, one.digest);
  t.not(writeBundle('other', 'x', [set(['192.0.2.1'])]).digest, one.digest);
  const order = writeBundle('acme', 'x', [set(['192.0.2.2', '192.0.2.1'])]).digest;
  t.not(
    order,
    writeBundle('acme', 'x', [set(['192.0.2.1', '192.0.2.2'])]).digest,
    'the order of lists is kept',
  );
  t.throws(() => writeBundle('acme', 'x', [set(['x'.repeat(25 * 1024 * 1024)])]), RangeError);
});

t.test('canonical JSON', async (t) => {
  t.equal(
    canonicalJson({ b: [1, 'é', null, true], a: { d: undefined, c: -0.5 } }),
    '{"a":{"c":-0.5},"b":[1,"é",null,true]}',
  );
  t.throws(() => canonicalJson({ a: Number.NaN }), TypeError);
  t.throws(() => canonicalJson({ a: Number.POSITIVE_INFINITY }), TypeError);
  t.throws(() => canonicalJson([() => 1]), TypeError);
  t.throws(() => canonicalJson(1n), TypeError);
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = canonicalJson(value);
      t.same(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      t.equal(canonicalJson(JSON.parse(text)), text, 'a fixed point');
    }),
  );
  const nested = canonicalJson({ a: [{ b: 'c' }] });
  t.same(parseJson(new TextEncoder().encode(nested), { bytesMax: 100 }), { a: [{ b: 'c' }] });
});
