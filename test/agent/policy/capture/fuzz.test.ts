// Goal: no file makes the readers throw anything but CaptureError, hang, or take memory that the file does not pay
// for; and whatever packets they give can be judged and put into words.
// Method: real captures of both formats with bytes changed, cut out, doubled and spliced, and with lengths made
// large on purpose, in chunks of random sizes. Seed printed; HUSK_SEED replays one.

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { CaptureError, packetBytesMax } from '../../../../agent/policy/capture/captured-packet.ts';
import { capturedPackets } from '../../../../agent/policy/capture/read-capture.ts';
import { packetWords } from '../../../../agent/policy/packet-words.ts';
import { simulate } from '../../../../agent/policy/simulate.ts';
import { blocks, join as joined } from './pcapng-blocks.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);

const fixtures = resolve(import.meta.dirname, '../../../fixtures');
const filesOf = (folder: string) =>
  readdirSync(join(fixtures, folder)).map((name) =>
    // The first packets have all there is of a format; long files would only be slow.
    new Uint8Array(readFileSync(join(fixtures, folder, name))).slice(0, 4000),
  );
const { section, enhanced, simple, obsolete, option, u64, interface: described } = blocks('big');
const rare = joined(
  joined(section(), described(1, 64, joined(option(9, Uint8Array.of(9)), option(14, u64(5n))))),
  joined(simple(new Uint8Array(64)), obsolete({ interface: 0, ticks: 5n, bytes: new Uint8Array(9) })),
  joined(section(), described(113), enhanced({ interface: 0, ticks: 5n, bytes: new Uint8Array(40) })),
);
const captures = { pcap: filesOf('pcap'), pcapng: [...filesOf('pcapng'), rare] };

/** One change; positions and lengths are shares of the file. */
type Change =
  | { readonly kind: 'byte'; readonly at: number; readonly value: number }
  | { readonly kind: 'length'; readonly at: number; readonly value: number; readonly little: boolean }
  | { readonly kind: 'cut' | 'double'; readonly at: number; readonly bytes: number };

/** Without the bias to small numbers, which would only ever spoil the file's header. */
const share = fc.noBias(fc.nat(999_999)).map((part) => part / 1_000_000);
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('byte' as const), at: share, value: fc.nat(255) }),
  fc.record({
    kind: fc.constant('length' as const),
    at: share,
    value: fc.constantFrom(0, 1, 4, 8, 12, 13, 28, 0xffff, 262_144, 262_145, 1 << 20, 0x7fffffff, 0xfffffffc),
    little: fc.boolean(),
  }),
  fc.record({ kind: fc.constantFrom('cut' as const, 'double' as const), at: share, bytes: fc.nat(200) }),
);

function changed(file: Uint8Array, changes: readonly Change[]): Uint8Array {
  let bytes: Uint8Array = file.slice();
  for (const one of changes) {
    const at = Math.floor(one.at * bytes.length);
    if (one.kind === 'byte' && bytes.length > 0) bytes[at] = one.value;
    // Lengths stand on multiples of four in both formats.
    else if (one.kind === 'length' && (at & ~3) + 4 <= bytes.length) {
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(at & ~3, one.value, one.little);
    } else if (one.kind === 'cut') {
      bytes = joined(bytes.subarray(0, at), bytes.subarray(at + one.bytes));
    } else if (one.kind === 'double') {
      bytes = joined(bytes.subarray(0, at + one.bytes), bytes.subarray(at));
    }
  }
  return bytes;
}

function* chunked(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

/** Reads all there is and says how it ended. Every packet is paid for by bytes of the file. */
function readAll(
  bytes: Uint8Array,
  sizes: readonly number[],
): { readonly packets: number; readonly end: string } {
  let packets = 0;
  let paid = 0;
  const where = { interface: () => 'wan0', direction: null };
  try {
    for (const { packet, at } of simulate([], capturedPackets(chunked(bytes, sizes)), where)) {
      if (packet.index !== packets) throw new Error(`packet ${packets} says it is ${packet.index}`);
      packets++;
      paid += packet.bytes.length;
      if (packet.bytes.length > packetBytesMax || paid > bytes.length) throw new Error('bytes from nowhere');
      if (packet.originalLength < packet.bytes.length) throw new Error('longer than it was');
      if (at !== null && packetWords(at.frame) === '') throw new Error('a packet without words');
    }
    return { packets, end: 'whole' };
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    if (error.offset < 0 || error.offset > bytes.length + 4)
      throw new Error(`${error.message}: no place in the file`);
    return { packets, end: error.kind };
  }
}

for (const [format, files] of Object.entries(captures)) {
  t.test(format, async (t) => {
    const ends = new Map<string, number>();
    let packets = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...files),
        fc.array(change, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 5 }),
        (file, changes, sizes) => {
          const bytes = changed(file, changes);
          const found = readAll(bytes, sizes);
          packets += found.packets;
          ends.set(found.end, (ends.get(found.end) ?? 0) + 1);
          const whole = readAll(bytes, [bytes.length || 1]);
          if (whole.end !== found.end || whole.packets !== found.packets) {
            throw new Error(`in chunks ${JSON.stringify(found)}, as a whole ${JSON.stringify(whole)}`);
          }
        },
      ),
      { seed, numRuns: 6000, endOnFailure: true },
    );
    t.comment(`${packets} packets; ${[...ends].map(([end, count]) => `${end} ${count}`).join(', ')}`);
    t.ok(packets > 5000, 'packets were given all the same');
    for (const end of ['whole', 'malformed', 'cut-off', 'link-type']) t.ok((ends.get(end) ?? 0) > 3, end);
  });
}

t.test('random bytes behind a right beginning', async () => {
  const heads = [
    Uint8Array.of(0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0),
    joined(section(), described(1)),
  ];
  fc.assert(
    fc.property(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 400 }), (head, rest) => {
      readAll(joined(head, rest), [97]);
    }),
    { seed, numRuns: 3000, endOnFailure: true },
  );
});

t.test('a file that promises gigabytes takes no memory for them', async (t) => {
  const before = process.memoryUsage().arrayBuffers;
  // An unknown block of 4 GB less one word, of which 64 MB come.
  const start = joined(section(), Uint8Array.of(0, 0, 0, 99, 0xff, 0xff, 0xff, 0xfc));
  const chunk = new Uint8Array(1 << 20);
  function* endless() {
    yield start;
    for (let at = 0; at < 64; at++) yield chunk;
  }
  t.throws(() => [...capturedPackets(endless())], { name: 'CaptureError', kind: 'cut-off' });
  t.ok(process.memoryUsage().arrayBuffers - before < 8 << 20, 'what is passed over is not kept');
});
