// Goal: what parseJson takes is exactly what JSON.parse makes of it, and what two parsers could read
// differently is refused.
// Method: texts by hand for each rule and its opposite, then generated values and broken texts
// (fast-check) against JSON.parse as the reference, and one large bundle against the clock.

import fc from 'fast-check';
import t, { type Test } from 'tap';
import { JsonError, parseJson } from '../../../agent/contract/json.ts';

const limits = { bytesMax: 1024, depthMax: 4 };
const bytes = (text: string) => new TextEncoder().encode(text);
const parse = (text: string) => parseJson(bytes(text), limits);
const refuses = (t: Test, text: string, what: RegExp) =>
  t.throws(() => parse(text), { name: 'JsonError', message: what }, text);

t.test('takes what JSON is', async (t) => {
  for (const text of [
    '{}',
    '[]',
    'null',
    'true',
    'false',
    '""',
    '0',
    '-0',
    '-1.5e-3',
    '1E+2',
    ' { "a" : [ 1 , 2 ] } \r\n\t',
    '"\\u00e9\\n\\/\\"\\\\"',
    '"é 🦔"',
    '"\\ud83e\\udd94"',
    '{"a":{"b":[{}]}}',
    '9007199254740991',
    '-9007199254740991',
    '{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}',
    '0.1234567890123456789',
  ]) {
    t.same(parse(text), JSON.parse(text), text);
  }
});

t.test('refuses what is not JSON', async (t) => {
  refuses(t, '', /value expected, but the text ends/);
  refuses(t, '{"a":1,}', /key expected/);
  refuses(t, '[1,]', /value expected/);
  refuses(t, '[1 2]', /"," or "\]" expected/);
  refuses(t, '{"a" 1}', /":" expected/);
  refuses(t, '{a:1}', /key expected/);
  refuses(t, '{"a":1 "b":2}', /"," or "}" expected/);
  refuses(t, "'a'", /value expected/);
  refuses(t, '01', /text after the value/);
  refuses(t, '1.', /digit expected/);
  refuses(t, '-', /digit expected/);
  refuses(t, '1e', /digit expected/);
  refuses(t, '+1', /value expected/);
  refuses(t, 'NaN', /value expected/);
  refuses(t, 'nul', /value expected/);
  refuses(t, '{} {}', /text after the value/);
  refuses(t, '"abc', /a string without its end/);
  refuses(t, '"a\nb"', /control character/);
  refuses(t, '"\\x41"', /escape that JSON does not have/);
  refuses(t, '"\\', /escape that JSON does not have/);
  refuses(t, '"\\u12g4"', /four hex digits/);
  refuses(t, '\ufeff{}', /value expected/);
  refuses(t, '{"a":1/* */}', /expected/);
});

t.test('refuses what parsers read differently', async (t) => {
  refuses(t, '{"a":1,"a":2}', /key "a" twice, at 7/);
  refuses(t, '{"a":1,"\\u0061":2}', /key "a" twice/);
  refuses(t, '{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"10":1,"3":2}', /key "3" twice/);
  t.same(parse('[{"a":1},{"a":2}]'), [{ a: 1 }, { a: 2 }], 'the same key in two objects is no duplicate');
  refuses(t, '{"__proto__":{}}', /__proto__/);
  refuses(t, '{"__pr\\u006fto__":{}}', /__proto__/);
  refuses(t, '"\\ud83e"', /lone surrogate/);
  refuses(t, '"\\udd94"', /lone surrogate/);
  refuses(t, '"\\ud83e\\ud83e"', /lone surrogate/);
  refuses(t, '"\\ud83ex\\udd94"', /lone surrogate/);
  refuses(t, '9007199254740992', /above 2\^53-1/);
  refuses(t, '-9007199254740993', /above 2\^53-1/);
  refuses(t, '1e16', /above 2\^53-1/);
  refuses(t, '1e999', /above 2\^53-1/);
  t.throws(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), limits), /not UTF-8/);
  t.throws(
    () => parseJson(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), limits),
    /not UTF-8/,
    'a raw surrogate',
  );
  t.throws(() => parseJson(Uint8Array.of(0x22, 0xc0, 0x80, 0x22), limits), /not UTF-8/, 'an overlong NUL');
});

t.test('holds to its limits before it reads', async (t) => {
  t.ok(parse('[[[[1]]]]'));
  refuses(t, '[[[[[1]]]]]', /nested deeper than 4/);
  refuses(t, '{"a":{"a":{"a":{"a":{}}}}}', /nested deeper than 4/);
  t.ok(parse(`"${'x'.repeat(1022)}"`));
  t.throws(() => parse(`"${'x'.repeat(1023)}"`), /1025 bytes, 1024 allowed/);
  t.throws(
    () => parseJson(bytes('['.repeat(100_000)), { bytesMax: 1e6 }),
    /nested deeper than 32/,
    'the default depth',
  );
});

t.test('agrees with JSON.parse on whatever is generated', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue({ depthSize: 'small' }), fc.nat(4), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      let ours: unknown;
      try {
        ours = parseJson(bytes(text), { bytesMax: 1e6, depthMax: 64 });
      } catch (error) {
        // Allowed reasons to refuse what JSON.stringify writes.
        return error instanceof JsonError && /2\^53-1|__proto__/.test(error.message);
      }
      t.same(ours, JSON.parse(text));
      return true;
    }),
    { numRuns: 500 },
  );
});

t.test('never takes a text that JSON.parse refuses, and throws nothing but JsonError', async (t) => {
  const alphabet = fc.constantFrom(
    ...'{}[]",:\\u0019aeE+-. \ntrfn/',
    '\\u',
    'true',
    'null',
    '"a"',
    '\ud83e',
    'dd94',
  );
  let taken = 0;
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 24 }), (pieces) => {
      const text = pieces.join('');
      try {
        parseJson(bytes(text), { bytesMax: 1e6 });
      } catch (error) {
        return error instanceof JsonError;
      }
      taken += 1;
      JSON.parse(new TextDecoder().decode(bytes(text)));
      return true;
    }),
    { numRuns: 5000 },
  );
  t.ok(taken > 10, `${taken} of the texts were JSON`);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (raw) => {
      try {
        parseJson(raw, { bytesMax: 32 });
        return raw.length <= 32;
      } catch (error) {
        return error instanceof JsonError;
      }
    }),
  );
});

t.test('reads a bundle of 2 MB quickly', async (t) => {
  const addresses = Array.from(
    { length: 120_000 },
    (_, i) => `198.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`,
  );
  const rules = Array.from({ length: 2_000 }, (_, i) => ({
    id: `rule-${i}`,
    from: { set: 'a' },
    ports: { to: i },
    action: 'drop',
  }));
  const text = bytes(JSON.stringify({ v: 1, documents: [{ spec: { addresses } }, { spec: { rules } }] }));
  t.ok(text.length > 1.9e6);
  parseJson(text, { bytesMax: 16e6 });
  const start = performance.now();
  parseJson(text, { bytesMax: 16e6 });
  const took = performance.now() - start;
  t.comment(`${text.length} bytes in ${took.toFixed(1)} ms`);
  // Far above what it takes, so that a busy machine does not fail it; a quadratic scanner would.
  t.ok(took < 1000);
});
