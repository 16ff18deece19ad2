// Goal: whatever comes in over MQTT becomes a type or is refused; nothing throws, nothing slips through.
// Method: messages as they should be, each changed in one way; then random bytes, random JSON and random
// edits of good messages; and a stream of packets against the limit on their length.

import fc from 'fast-check';
import t from 'tap';
import { envelopeBytesMax, partBytes, payloadBytesMax } from '../../../agent/contract/limits.ts';
import { deviceTopics } from '../../../agent/contract/topics.ts';
import { FrameLimit } from '../../../agent/link/frame-limit.ts';
import { readMessage } from '../../../agent/link/inbox.ts';

const topics = deviceTopics('acme', 'abcdefghijklmnopqrstuvwxyz');
const blobBase = 'husk/acme/b/blob/';
const digest = 'ab'.repeat(32);

function read(topic: string, payload: unknown) {
  const bytes =
    payload instanceof Uint8Array
      ? payload
      : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
  return readMessage(topic, bytes, topics, blobBase);
}

const query = { id: 'q1', who: 'ops', view: 'events', args: { count: 5 }, withinMs: 1000 };
const asked = (body: unknown) => ({ v: 1, k: 'rq.query', body });

t.test('questions', async (t) => {
  t.strictSame(read(topics.request, asked(query)), { kind: 'query', query });
  const full = { ...asked(query), sid: 0, boot: '', seq: 1, mono: 5, ts: null, tq: 'none' };
  t.equal(read(topics.request, full).kind, 'query', 'with the whole envelope too');

  const refused: readonly (readonly [string, unknown, string])[] = [
    ['an unknown view', { ...query, view: 'shell' }, 'query.unknown-view'],
    ['a view that every object has', { ...query, view: 'constructor' }, 'query.unknown-view'],
    ['no time to wait', { ...query, withinMs: 0 }, 'query.malformed'],
    ['a day to wait', { ...query, withinMs: 86_400_000 }, 'query.malformed'],
    ['a field more', { ...query, run: 'rm' }, 'query.malformed'],
    ['arguments in a list', { ...query, args: [1] }, 'query.malformed'],
  ];
  for (const [name, body, code] of refused) {
    t.match(
      read(topics.request, asked(body)),
      { kind: 'bad-query', id: 'q1', who: 'ops', refusal: { code } },
      name,
    );
  }
  const unanswerable: readonly (readonly [string, unknown])[] = [
    ['an asker that is a wildcard', asked({ ...query, who: '+' })],
    ['an asker that is a path', asked({ ...query, who: '../x' })],
    ['an id of a megabyte', asked({ ...query, id: 'x'.repeat(1000) })],
    ['an id with a line break', asked({ ...query, id: 'a\nb' })],
    ['another version', { ...asked(query), v: 2 }],
    ['another kind', { ...asked(query), k: 'ack.spool' }],
    ['a list', [asked(query)]],
    ['too much', `${JSON.stringify(asked(query))}${' '.repeat(40_000)}`],
    ['nothing', ''],
  ];
  for (const [name, payload] of unanswerable) t.equal(read(topics.request, payload).kind, 'unreadable', name);
});

t.test('acknowledgements and confirmations', async (t) => {
  const acknowledgement = { stream: 'alert', upTo: 7 };
  t.strictSame(read(topics.acknowledge, { v: 1, k: 'ack.spool', body: acknowledgement }), {
    kind: 'spooled',
    acknowledgement,
  });
  const confirmation = { payloadType: 'x', payload: 'e30=', signatures: [{ keyid: 'k', sig: 's' }] };
  t.strictSame(read(topics.acknowledge, { v: 1, k: 'ack.trial', body: { confirmation } }), {
    kind: 'confirmed',
    confirmation,
  });
  for (const body of [
    { stream: 'alert', upTo: -1 },
    { stream: 'alert', upTo: 1.5 },
    { stream: 'all', upTo: 1 },
    { stream: 'alert', upTo: 1, more: 1 },
    null,
  ]) {
    const { kind } = read(topics.acknowledge, { v: 1, k: 'ack.spool', body });
    t.equal(kind, 'unreadable', JSON.stringify(body));
  }
  const huge = { ...confirmation, payload: 'A'.repeat(envelopeBytesMax + 1) };
  t.equal(
    read(topics.acknowledge, { v: 1, k: 'ack.trial', body: { confirmation: huge } }).kind,
    'unreadable',
  );
});

t.test('parts', async (t) => {
  const bytes = Buffer.from('part');
  t.match(read(`${blobBase}${digest}/3`, bytes), { kind: 'part', digest, part: 3 });
  for (const topic of [
    `${blobBase}${digest}/03`,
    `${blobBase}${digest}/-1`,
    `${blobBase}${digest}/9999999`,
    `${blobBase}${digest}`,
    `${blobBase}${digest.toUpperCase()}/3`,
    `${blobBase}${digest}/3/4`,
  ]) {
    t.equal(read(topic, bytes).kind, 'unreadable', topic);
  }
  t.equal(read(`${blobBase}${digest}/3`, Buffer.alloc(0)).kind, 'unreadable', 'an empty one');
  t.equal(read(`${blobBase}${digest}/3`, Buffer.alloc(partBytes + 1)).kind, 'unreadable', 'a large one');
});

t.test('desired state', async (t) => {
  t.match(read(topics.desired, 'anything'), { kind: 'desired', bytes: Buffer.from('anything') });
  t.strictSame(read(topics.desired, ''), { kind: 'desired', bytes: null }, 'cleared');
  t.equal(read(topics.desired, Buffer.alloc(payloadBytesMax + 1)).kind, 'unreadable');
  t.equal(read('husk/acme/d/other/dn/des', 'x').kind, 'unreadable', 'of another device');
});

t.test('nothing that comes in throws', async (t) => {
  const where = fc.constantFrom(
    topics.desired,
    topics.request,
    topics.acknowledge,
    `${blobBase}${digest}/0`,
    blobBase,
  );
  const good = JSON.stringify(asked(query));
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value))),
    fc.jsonValue().map((body) => Buffer.from(JSON.stringify(asked(body)))),
    fc
      .tuple(fc.nat(good.length), fc.nat(4), fc.string({ maxLength: 6 }))
      .map(([at, cut, put]) => Buffer.from(good.slice(0, at) + put + good.slice(at + cut))),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(where, payload, (topic, bytes) => {
        const message = readMessage(topic, bytes, topics, blobBase);
        if (message.kind === 'query') return /^[a-z0-9][a-z0-9-]{0,62}$/.test(message.query.who);
        return true;
      }),
      { numRuns: 3000 },
    ),
  );
});

t.test('a packet longer than the limit is seen in its first bytes, however they are cut', async (t) => {
  // MQTT 3.1.1 §3.3: type, remaining length, topic `x`, payload.
  const publish = (bytes: number) => {
    const length: number[] = [];
    for (let rest = bytes + 3; rest > 0; rest = Math.floor(rest / 128)) {
      length.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    }
    return Buffer.concat([Buffer.from([0x30, ...length, 0, 1, 0x78]), Buffer.alloc(bytes)]);
  };
  const limit = 1000;
  fc.assert(
    fc.property(
      fc.array(fc.nat(limit - 10), { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 400 }),
      fc.boolean(),
      (sizes, step, isOver) => {
        const stream = Buffer.concat([...sizes.map(publish), ...(isOver ? [publish(limit + 1)] : [])]);
        const guard = new FrameLimit(limit);
        let fault: string | null = null;
        for (let at = 0; at < stream.length && fault === null; at += step) {
          fault = guard.read(stream.subarray(at, at + step));
        }
        return (fault !== null) === isOver;
      },
    ),
    { numRuns: 500 },
  );
  t.match(new FrameLimit(10).read(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff])), /more than four bytes/);
  const early = new FrameLimit(limit);
  t.match(early.read(publish(5000).subarray(0, 3)), /5003 bytes/, 'before any of its content');
});
