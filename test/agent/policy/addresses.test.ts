// Goal: what is read as an address is that address and nothing else is; what is written is what was read.
// Method: tables of right and wrong texts; node's own reader of addresses as a second opinion on generated
// texts; formatting and reading again over generated addresses.

import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import {
  formatAddress,
  formatRange,
  parseAddress,
  prefixLength,
  readRange,
} from '../../../agent/policy/addresses.ts';

const read = (text: string): string => {
  const words = new Uint32Array(8);
  const family = readRange(text, words);
  return typeof family === 'string' ? family : `${family}: ${formatRange(words, 0)}`;
};

t.test('reads addresses, prefixes and ranges', async (t) => {
  const right: Readonly<Record<string, string>> = {
    '192.0.2.1': '4: 192.0.2.1',
    '0.0.0.0': '4: 0.0.0.0',
    '255.255.255.255': '4: 255.255.255.255',
    '0.0.0.0/0': '4: 0.0.0.0/0',
    '192.0.2.0/24': '4: 192.0.2.0/24',
    '192.0.2.1/32': '4: 192.0.2.1',
    '192.0.2.0-192.0.2.255': '4: 192.0.2.0/24',
    '192.0.2.1-192.0.2.9': '4: 192.0.2.1-192.0.2.9',
    '128.0.0.0-255.255.255.255': '4: 128.0.0.0/1',
    '::': '6: ::',
    '::1': '6: ::1',
    '1::': '6: 1::',
    '2001:DB8:0:0:8:800:200C:417A': '6: 2001:db8::8:800:200c:417a',
    '2001:db8:0:1:1:1:1:1': '6: 2001:db8:0:1:1:1:1:1',
    '2001:0:0:1:0:0:0:1': '6: 2001:0:0:1::1',
    '2001:db8:0:0:1:0:0:1': '6: 2001:db8::1:0:0:1',
    '::13.1.68.3': '6: ::d01:4403',
    '64:ff9b::192.0.2.33': '6: 64:ff9b::c000:221',
    '::/0': '6: ::/0',
    '2001:db8::/32': '6: 2001:db8::/32',
    '2001:db8::-2001:db8::ffff': '6: 2001:db8::/112',
    '2001:db8::1-2001:db8:1::': '6: 2001:db8::1-2001:db8:1::',
    '0:0:0:0:0:0:0:0/128': '6: ::',
  };
  for (const [text, expected] of Object.entries(right)) t.equal(read(text), expected, text);
});

t.test('says what is wrong with everything else', async (t) => {
  const notOne = 'is not an IPv4 or IPv6 address';
  const wrong: Readonly<Record<string, string>> = {
    '': 'is empty where an address should be',
    '1.2.3': notOne,
    '1.2.3.4.5': notOne,
    '1.2.3.256': notOne,
    '1.2.3.04': notOne,
    '0x1.2.3.4': notOne,
    '1.2.3.4 ': notOne,
    ' 1.2.3.4': notOne,
    '1.2.3.-4': notOne,
    '16909060': notOne,
    '1..2.3': notOne,
    ':': notOne,
    ':::': notOne,
    '1:2:3:4:5:6:7': notOne,
    '1:2:3:4:5:6:7:8:9': notOne,
    '1::2::3': notOne,
    '1:2:3:4:5:6:7:8::': notOne,
    '::1:2:3:4:5:6:7:8': notOne,
    '12345::': notOne,
    'fe80::1%eth0': notOne,
    '1:2:3:4:5:6:7:1.2.3.4': notOne,
    '::1.2.3': notOne,
    '1.2.3.4::': notOne,
    '2001:db8:': notOne,
    ':2001:db8::1': notOne,
    '::g': notOne,
    '192.0.2.0/33': '/33 is not a prefix length of IPv4',
    '192.0.2.0/': '/ is not a prefix length of IPv4',
    '192.0.2.0/08': '/08 is not a prefix length of IPv4',
    '192.0.2.0/2/4': '/2/4 is not a prefix length of IPv4',
    '192.0.2.0/255.255.255.0': '/255.255.255.0 is not a prefix length of IPv4',
    '::/129': '/129 is not a prefix length of IPv6',
    '192.0.2.1/24': 'has bits set behind its prefix length; the prefix is 192.0.2.0/24',
    '2001:db8::1/64': 'has bits set behind its prefix length; the prefix is 2001:db8::/64',
    '192.0.2.9-192.0.2.1': 'wraps: it ends before it starts; the other way round it is 192.0.2.1-192.0.2.9',
    '192.0.2.9-::1': 'goes from one family to the other',
    '192.0.2.9-': 'is empty where an address should be',
    '1.2.3.4-1.2.3.5-1.2.3.6': notOne,
    '1.2.3.0/24-1.2.4.0/24': notOne,
    '::ffff:192.0.2.1': 'is an IPv4-mapped address; write it as IPv4, as in 192.0.2.1',
    '::ffff:0:0/96': 'is an IPv4-mapped address; write it as IPv4, as in 0.0.0.0',
    '::ffff:1.2.3.4/120': 'is an IPv4-mapped address; write it as IPv4, as in 1.2.3.0',
    '::ffff:1.2.3.4-::ffff:1.2.3.5': 'is written with IPv4-mapped addresses; write them as IPv4',
    ['1'.repeat(200)]: 'too long for an address',
  };
  for (const [text, expected] of Object.entries(wrong)) t.equal(read(text), expected, text);
});

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
/** With long runs of zeros, as addresses have them. */
const sparse = fc
  .tuple(bytes16, fc.uint8Array({ minLength: 8, maxLength: 8, max: 1 }))
  .map(([bytes, kept]) => bytes.map((byte, index) => byte * (kept[index >> 1] ?? 0)));

t.test('what is written is read as the same address, and as node reads it', async () => {
  fc.assert(
    fc.property(fc.oneof(bytes16, sparse), (bytes) => {
      const words = new Uint32Array(4);
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      words.forEach((_, index) => {
        words[index] = view.getUint32(index * 4);
      });
      const text = formatAddress(words, 0);
      const back = Buffer.from(parseAddress(text)).toString('hex');
      if (back !== Buffer.from(bytes).toString('hex')) throw new Error(`${text} is read as ${back}`);
      if (!isIPv6(text) && !isIPv4(text)) throw new Error(`node does not know ${text}`);
      // The URL standard writes IPv6 as RFC 5952 does.
      if (isIPv6(text) && new URL(`http://[${text}]/`).hostname !== `[${text}]`)
        throw new Error(`${text} is not canonical`);
    }),
    { numRuns: 2000 },
  );
});

t.test('takes what node takes for an address, and no more', async () => {
  const piece = fc.constantFrom(':', '::', '.', '0', '1', 'ff', 'FFFF', '255', '256', '10', 'g', '%', '00');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 16 }), (pieces) => {
      const text = pieces.join('');
      let taken = true;
      try {
        parseAddress(text);
      } catch {
        taken = false;
      }
      // A zone index is part of an address to node, and not to us.
      const expected = (isIPv4(text) || isIPv6(text)) && !text.includes('%');
      if (taken !== expected) throw new Error(`"${text}": taken ${taken}, node says ${expected}`);
    }),
    { numRuns: 20_000 },
  );
});

t.test('a prefix is known as one, and a range that is none is not', async () => {
  const brute = (first: bigint, last: bigint) => {
    for (let length = 128n; length >= 0n; length--) {
      const size = 1n << (128n - length);
      if (last - first + 1n === size && first % size === 0n) return Number(length);
    }
    return -1;
  };
  const toWords = (value: bigint) =>
    [96n, 64n, 32n, 0n].map((shift) => Number((value >> shift) & 0xffffffffn));
  const edge = fc
    .tuple(fc.integer({ min: 0, max: 128 }), fc.integer({ min: -2, max: 2 }))
    .map(([shift, off]) => {
      const value = (1n << BigInt(shift)) + BigInt(off);
      return value < 0n ? 0n : value > (1n << 128n) - 1n ? (1n << 128n) - 1n : value;
    });
  fc.assert(
    fc.property(edge, edge, (a, b) => {
      const [first, last] = a < b ? [a, b] : [b, a];
      const words = Uint32Array.from([...toWords(first), ...toWords(last)]);
      if (prefixLength(words, 0) !== brute(first, last)) throw new Error(`${first}-${last}`);
    }),
    { numRuns: 5000 },
  );
});
