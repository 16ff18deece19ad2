// Goal: pcapng is read as its specification says: sections and interfaces of their own, three kinds of packet
// blocks, all clock resolutions, both byte orders; every other block is passed over; lies are refused with their place.
// Method: files made block by block, and the fixtures, which other programs wrote, against classic copies of them.

import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { capturedPackets, readCapture } from '../../../../agent/policy/capture/read-capture.ts';
import { blocks, join } from './pcapng-blocks.ts';

const fixtures = resolve(import.meta.dirname, '../../../fixtures');
const fixture = (name: string) => new Uint8Array(readFileSync(`${fixtures}/${name}`));
const one = Uint8Array.of(1, 2, 3, 4, 5);
const two = new Uint8Array(64).fill(2);
const text = (value: string) => new TextEncoder().encode(value);

for (const byteOrder of ['little', 'big'] as const) {
  const make = blocks(byteOrder);
  const { section, enhanced, simple, obsolete, block, option, u32, u64 } = make;

  t.test(`${byteOrder}: packets of every kind, what is between them passed over`, async (t) => {
    const end = option(0, new Uint8Array(0));
    const file = join(
      section(join(option(3, text('Linux')), end)),
      make.interface(1, 0, join(option(2, text('wan0')), option(11, text('\0tcp')), end)),
      block(4, u32(0)),
      make.interface(101, 100, option(9, Uint8Array.of(9))),
      enhanced({ interface: 0, ticks: 1_700_000_000_000_001n, bytes: one, original: 9 }),
      block(5, u32(0), u64(7n)),
      enhanced(
        { interface: 1, ticks: 1_700_000_000_000_000_001n, bytes: two },
        join(option(1, text('a comment')), option(2, u32(2)), end),
      ),
      simple(one),
      block(0xbad, new Uint8Array(100)),
      obsolete({ interface: 0, ticks: 3n, bytes: one }, option(2, u32(1))),
    );
    const { packets, fault } = readCapture(file);
    t.equal(fault, null);
    t.strictSame(
      packets.map(({ bytes, ...rest }) => ({ ...rest, length: bytes.length })),
      [
        {
          ...{ index: 0, timeNs: 1_700_000_000_000_001_000n, linkType: 1, originalLength: 9 },
          ...{ interface: 'wan0', direction: null, length: 5 },
        },
        {
          ...{ index: 1, timeNs: 1_700_000_000_000_000_001n, linkType: 101, originalLength: 64 },
          ...{ interface: null, direction: 'egress', length: 64 },
        },
        {
          ...{ index: 2, timeNs: null, linkType: 1, originalLength: 5 },
          ...{ interface: 'wan0', direction: null, length: 5 },
        },
        {
          ...{ index: 3, timeNs: 3000n, linkType: 1, originalLength: 5 },
          ...{ interface: 'wan0', direction: 'ingress', length: 5 },
        },
      ],
    );
    t.strictSame([...(packets[0]?.bytes ?? [])], [...one]);
    for (const size of [1, 5, 12, 33]) {
      t.strictSame(
        [...capturedPackets(chunksOf(file, size))].map(({ timeNs }) => timeNs),
        packets.map(({ timeNs }) => timeNs),
      );
    }
  });

  t.test(`${byteOrder}: clocks`, async (t) => {
    const timeOf = (options: Uint8Array, ticks: bigint) =>
      readCapture(
        join(section(), make.interface(1, 0, options), enhanced({ interface: 0, ticks, bytes: one })),
      ).packets[0]?.timeNs;
    t.equal(timeOf(new Uint8Array(0), 5n), 5000n, 'microseconds unless it is said');
    t.equal(timeOf(option(9, Uint8Array.of(0)), 5n), 5_000_000_000n, 'seconds');
    t.equal(timeOf(option(9, Uint8Array.of(0x8a)), 512n), 500_000_000n, '1/1024 s');
    t.equal(timeOf(option(9, Uint8Array.of(12)), 5_999n), 5n, 'picoseconds are cut');
    t.equal(timeOf(option(9, Uint8Array.of(0x7f)), 0xffff_ffff_ffff_ffffn), 0n, 'as fine as a byte can say');
    t.equal(timeOf(option(14, u64(-2n)), 3_000_000n), 1_000_000_000n, 'an offset in seconds, also backwards');
  });

  t.test(`${byteOrder}: sections`, async (t) => {
    const other = blocks(byteOrder === 'little' ? 'big' : 'little');
    const file = join(
      join(section(), make.interface(1), enhanced({ interface: 0, ticks: 1n, bytes: one })),
      join(other.section(), other.interface(101), other.enhanced({ interface: 0, ticks: 2n, bytes: two })),
      section(),
      enhanced({ interface: 0, ticks: 1n, bytes: one }),
    );
    const { packets, fault } = readCapture(file);
    t.strictSame(
      packets.map(({ linkType }) => linkType),
      [1, 101],
      'each has its byte order and its interfaces',
    );
    t.match(fault, { kind: 'malformed', message: /packet 2 is of interface 0, which is not there/ });
  });

  t.test(`${byteOrder}: simple packets are as long as the snapshot lets them be`, async (t) => {
    const { packets } = readCapture(join(section(), make.interface(1, 8), simple(two.subarray(0, 8), 64)));
    t.match(packets, [{ bytes: { length: 8 }, originalLength: 64 }]);
  });

  t.test(`${byteOrder}: lies`, async (t) => {
    const start = join(section(), make.interface(1));
    const good = enhanced({ interface: 0, ticks: 1n, bytes: one });
    const at = start.length + good.length;
    const bad = (change: (view: DataView) => void, bytes = good) => {
      const copy = bytes.slice();
      change(new DataView(copy.buffer));
      return copy;
    };
    const little = byteOrder === 'little';
    const lies: readonly (readonly [what: string, block: Uint8Array, fault: object])[] = [
      [
        'a captured length beyond the block',
        bad((view) => view.setUint32(20, 900, little)),
        { message: /said to have 900 bytes, where there is room for 8/ },
      ],
      ['a length that is no multiple of 4', bad((view) => view.setUint32(4, 41, little)), { offset: at + 4 }],
      ['a length below any', bad((view) => view.setUint32(4, 8, little)), { offset: at + 4 }],
      [
        'a length for the whole memory',
        bad((view) => view.setUint32(4, 0xffff_fffc, little)),
        { message: /more than the 1048576/ },
      ],
      [
        'two lengths',
        bad((view) => view.setUint32(good.length - 4, 44, little)),
        { offset: at + good.length - 4 },
      ],
      [
        'an option beyond the block',
        enhanced({ interface: 0, ticks: 1n, bytes: one }, join(make.u16(1), make.u16(99))),
        { message: /an option of 99 bytes/ },
      ],
      [
        'an interface nobody described',
        enhanced({ interface: 9, ticks: 1n, bytes: one }),
        { message: /interface 9/ },
      ],
      [
        'a section without its magic',
        bad((view) => view.setUint32(8, 0), section()),
        { message: /byte-order magic/ },
      ],
      [
        'a section of another version',
        bad((view) => view.setUint16(12, 2, little), section()),
        { message: /version 2\.0/ },
      ],
      [
        'an unknown block that never ends',
        bad((view) => view.setUint32(4, 0xffff_fffc, little), block(99)),
        { kind: 'cut-off' },
      ],
    ];
    for (const [what, last, fault] of lies) {
      const found = readCapture(join(start, good, last));
      t.match(found, { packets: { length: 1 }, fault: { kind: 'malformed', ...fault } }, what);
    }
  });

  t.test(`${byteOrder}: a link that is not read is refused at its first packet`, async (t) => {
    const file = join(
      section(),
      make.interface(1),
      make.interface(249),
      enhanced({ interface: 0, ticks: 1n, bytes: one }),
    );
    t.match(readCapture(file), { packets: { length: 1 }, fault: null }, 'nobody minds its interface');
    const { fault } = readCapture(join(file, enhanced({ interface: 1, ticks: 1n, bytes: one })));
    t.match(fault, { kind: 'link-type', message: /link type 249 \(USBPcap\) is not read/ });
  });
}

t.test('files of other programs', async (t) => {
  const found = Object.fromEntries(
    readdirSync(`${fixtures}/pcapng`).map((name) => {
      const { packets, fault } = readCapture(fixture(`pcapng/${name}`));
      t.equal(fault, null, name);
      return [name, packets.length];
    }),
  );
  t.strictSame(found, {
    'BgpPackets.pcapng': 8,
    'GrePackets.pcapng': 7,
    'IcmpPackets.pcapng': 15,
    'ipv4-malformed.pcapng': 2,
    'ipv6_options.pcapng': 6,
    'ssh_packets.pcapng': 5,
  });
  for (const name of ['GrePackets', 'IcmpPackets', 'ipv4-malformed', 'ipv6_options']) {
    const frames = (file: string) =>
      readCapture(fixture(file)).packets.map(({ bytes }) => Buffer.from(bytes).toString('hex'));
    t.strictSame(
      frames(`pcapng/${name}.pcapng`),
      frames(`pcap/${name}.pcap`),
      `${name} is what its classic copy is`,
    );
  }
});

function* chunksOf(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
