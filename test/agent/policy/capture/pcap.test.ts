// Goal: classic captures are read in both byte orders and both clock units, in chunks of any size, and written
// so that they come back as they were; what is cut off or lies is refused with its place, and what came before is kept.
// Method: files written by our writer and by hand; the fixtures, which other programs wrote, counted.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { CaptureError, packetBytesMax } from '../../../../agent/policy/capture/captured-packet.ts';
import { pcapHeader, pcapRecord, writePcap } from '../../../../agent/policy/capture/pcap.ts';
import {
  captureBytesMax,
  capturedPackets,
  readCapture,
} from '../../../../agent/policy/capture/read-capture.ts';

const fixtures = resolve(import.meta.dirname, '../../../fixtures/pcap');
const fixture = (name: string) => new Uint8Array(readFileSync(`${fixtures}/${name}`));
const packets = [
  { timeNs: 1_700_000_000_123_456_789n, bytes: new Uint8Array(60).fill(1) },
  { timeNs: 4_294_967_295_999_999_999n, bytes: new Uint8Array(0), originalLength: 1500 },
  { timeNs: 0n, bytes: new Uint8Array(1514).fill(2) },
];

t.test('what is written is read', async (t) => {
  for (const byteOrder of ['little', 'big'] as const) {
    for (const unit of ['microseconds', 'nanoseconds'] as const) {
      const file = writePcap(packets, { linkType: 101, byteOrder, unit });
      const { packets: found, fault } = readCapture(file);
      t.equal(fault, null);
      t.strictSame(
        found.map(({ index, timeNs, linkType, originalLength }) => ({
          index,
          timeNs,
          linkType,
          originalLength,
        })),
        packets.map(({ timeNs, bytes, originalLength = bytes.length }, index) => ({
          index,
          timeNs: unit === 'nanoseconds' ? timeNs : timeNs - (timeNs % 1000n),
          linkType: 101,
          originalLength,
        })),
        `${byteOrder} ${unit}`,
      );
      t.ok(found.every(({ bytes }, index) => Buffer.compare(bytes, packets[index]?.bytes ?? bytes) === 0));
    }
  }
  t.throws(() => pcapRecord({ timeNs: -1n, bytes: new Uint8Array(1) }, { linkType: 1 }), RangeError);
  t.throws(() => pcapRecord({ timeNs: 1n << 63n, bytes: new Uint8Array(1) }, { linkType: 1 }), RangeError);
  const long = new Uint8Array(packetBytesMax + 1);
  t.throws(() => pcapRecord({ timeNs: 0n, bytes: long }, { linkType: 1 }), RangeError);
});

t.test('files of other programs', async (t) => {
  const dns = readCapture(fixture('DnsPackets.pcap'));
  t.match(dns, { fault: null, packets: { length: 464 } });
  t.match(dns.packets[0], {
    timeNs: 1_413_054_930_198_203_000n,
    linkType: 1,
    originalLength: 74,
    interface: null,
  });
  const big = readCapture(fixture('nanosecs_big_endian.pcap'));
  t.match(big, { fault: null, packets: { length: 10 } });
  t.equal(big.packets[0]?.timeNs, 1_766_361_926_167_647_291n);
  const raw = readCapture(fixture('four_ipv6_http_streams.pcap'));
  t.match(raw, { fault: null, packets: { length: 81 } });
  t.equal(raw.packets[0]?.linkType, 12);
  const cut = readCapture(fixture('MplsPackets.pcap')).packets[0];
  t.match(cut, { originalLength: 365, bytes: { length: 361 } });
});

t.test('chunks of any size give the same packets', async (t) => {
  const file = fixture('one_tcp_stream.pcap');
  const whole = readCapture(file).packets;
  for (const size of [1, 3, 7, 16, 24, 1000, 65_536]) {
    const found = [...capturedPackets(chunksOf(file, size))];
    t.strictSame(found.map(plain), whole.map(plain), `${size} bytes each`);
  }
});

t.test('a reader that is left closes its source', async (t) => {
  let closed = false;
  function* source() {
    try {
      yield* chunksOf(fixture('DnsPackets.pcap'), 1000);
    } finally {
      closed = true;
    }
  }
  for (const _ of capturedPackets(source())) break;
  t.ok(closed);
});

t.test('every cut keeps what came before and says where it is', async (t) => {
  const file = writePcap(packets, { linkType: 1 });
  const ends = [24, 24 + 76, 24 + 76 + 16, file.length];
  for (let length = 1; length < file.length; length++) {
    const { packets: found, fault } = readCapture(file.subarray(0, length));
    const whole = ends.filter((end) => end <= length).length - 1;
    t.equal(found.length, Math.max(0, whole));
    if (ends.includes(length)) t.equal(fault, null);
    else t.match(fault, { kind: 'cut-off', message: /the file ends in/ }, `${length} bytes`);
    if (fault !== null) t.ok(fault.offset <= length);
  }
});

t.test('lies and other files', async (t) => {
  const lying = writePcap(packets, { linkType: 1 });
  new DataView(lying.buffer).setUint32(24 + 76 + 8, 0xffff_fff0, true);
  t.match(readCapture(lying), {
    packets: { length: 1 },
    fault: { kind: 'malformed', offset: 24 + 76 + 8, message: /packet 1 is said to have 4294967280 bytes/ },
  });
  const less = writePcap([{ timeNs: 0n, bytes: new Uint8Array(60), originalLength: 10 }], { linkType: 1 });
  t.equal(
    readCapture(less).packets[0]?.originalLength,
    60,
    'the original is no shorter than what is there (§5)',
  );

  const refused: readonly (readonly [bytes: Uint8Array, fault: object])[] = [
    [new Uint8Array(0), { kind: 'malformed', message: /the file is empty/ }],
    [new Uint8Array(3), { kind: 'cut-off', message: /first four bytes/ }],
    [
      new Uint8Array(64),
      { kind: 'malformed', offset: 0, message: /not a capture file: it begins with 00000000/ },
    ],
    [Uint8Array.of(0x1f, 0x8b, 8, 0), { kind: 'malformed', message: /gzip: unpack it first/ }],
    [withU32(pcapHeader({ linkType: 1 }), 0, 0xa1b2cd34), { kind: 'malformed', message: /modified pcap/ }],
    [withU32(pcapHeader({ linkType: 1 }), 4, 3), { kind: 'malformed', offset: 4, message: /version 3\.0/ }],
    [
      pcapHeader({ linkType: 127 }),
      { kind: 'link-type', offset: 20, message: /127 \(IEEE 802.11 with radiotap\)/ },
    ],
    [pcapHeader({ linkType: 4711 }), { kind: 'link-type', message: /link type 4711 is not read; Ethernet/ }],
  ];
  for (const [bytes, fault] of refused) {
    const found = readCapture(bytes);
    t.ok(found.fault instanceof CaptureError);
    t.match(found, { packets: { length: 0 }, fault });
  }
  t.match(
    readCapture(withU32(pcapHeader({ linkType: 1 }), 20, 0x2400_0001)),
    { fault: null },
    'a length of FCS is none of the type',
  );
  t.match(readCapture({ length: captureBytesMax + 1 } as Uint8Array), { fault: { kind: 'too-long' } });
});

const plain = ({ bytes, ...rest }: { readonly bytes: Uint8Array }) => ({
  ...rest,
  bytes: Buffer.from(bytes).toString('hex'),
});

function* chunksOf(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function withU32(bytes: Uint8Array, at: number, value: number): Uint8Array {
  new DataView(bytes.buffer).setUint32(at, value, true);
  return bytes;
}
