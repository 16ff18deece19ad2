// Goal: what a link puts in front of a packet is taken off as its specification says, and a header that was not
// captured as a whole is told from a packet that lies.
// Method: headers written out by hand, each in front of the same packet; every length of each.

import t from 'tap';
import { checkLinkType, decapsulate, linkTypeName } from '../../../../agent/policy/capture/link-types.ts';
import { frameFromText } from '../../../../agent/policy/cases/frame-text.ts';
import { join } from './pcapng-blocks.ts';

const frame4 = frameFromText('ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 2');
const packet4 = frame4.subarray(14);
const packet6 = frameFromText('ipv6 2001:db8::1 > 2001:db8::2 / udp 1 > 2').subarray(14);
const ip4 = { kind: 'ip', etherType: 0x0800 } as const;
const ip6 = { kind: 'ip', etherType: 0x86dd } as const;
const bytes = (...values: readonly number[]) => Uint8Array.from(values);

t.test('Ethernet and raw IP', async (t) => {
  t.strictSame(decapsulate(1, frame4), {
    packet: { kind: 'ethernet', bytes: frame4 },
    removed: 0,
    direction: null,
  });
  for (const type of [12, 14, 101]) {
    t.match(decapsulate(type, packet4), { packet: ip4, removed: 0 }, `${type}`);
    t.match(decapsulate(type, packet6), { packet: ip6, removed: 0 }, `${type}`);
    t.match(decapsulate(type, bytes(0x20)), { packet: ip4 }, 'of another version: unparseable later');
    t.match(decapsulate(type, bytes()), { packet: { kind: 'cut-short' } });
  }
  t.match(decapsulate(228, packet6), { packet: ip4 }, 'what the link says counts');
  t.match(decapsulate(229, packet6), { packet: ip6 });
});

t.test('BSD loopback in any byte order', async (t) => {
  for (const type of [0, 108]) {
    t.match(decapsulate(type, join(bytes(2, 0, 0, 0), packet4)), { packet: ip4, removed: 4 });
    t.match(decapsulate(type, join(bytes(0, 0, 0, 2), packet4)), { packet: ip4, removed: 4 });
    for (const family of [10, 24, 28, 30]) {
      t.match(decapsulate(type, join(bytes(family, 0, 0, 0), packet6)), { packet: ip6 }, `family ${family}`);
    }
    t.match(decapsulate(type, join(bytes(7, 0, 0, 0), packet6)), {
      packet: { kind: 'ethernet' },
      removed: -10,
    });
    t.match(decapsulate(type, bytes(2, 0, 0)), { packet: { kind: 'cut-short' } });
  }
});

t.test('Linux cooked', async (t) => {
  const mac = [2, 0, 0, 0, 0, 9];
  const cooked1 = (type: number, hardware: number, protocol: number) =>
    bytes(0, type, hardware >> 8, hardware & 255, 0, 6, ...mac, 0, 0, protocol >> 8, protocol & 255);
  const cooked2 = (type: number, hardware: number, protocol: number) =>
    bytes(
      protocol >> 8,
      protocol & 255,
      0,
      0,
      0,
      0,
      0,
      3,
      hardware >> 8,
      hardware & 255,
      type,
      6,
      ...mac,
      0,
      0,
    );
  for (const [linkType, header, length] of [
    [113, cooked1, 16],
    [276, cooked2, 20],
  ] as const) {
    const opened = decapsulate(linkType, join(header(0, 1, 0x0800), packet4));
    t.match(opened, { packet: { kind: 'ethernet' }, removed: length - 14, direction: 'ingress' });
    if (opened.packet.kind === 'ethernet') {
      t.strictSame([...opened.packet.bytes.subarray(0, 14)], [0, 0, 0, 0, 0, 0, ...mac, 8, 0]);
      t.strictSame([...opened.packet.bytes.subarray(14)], [...packet4]);
    }
    t.match(decapsulate(linkType, join(header(4, 1, 0x0800), packet4)).direction, 'egress');
    const broadcast = decapsulate(linkType, join(header(1, 1, 0x0806), new Uint8Array(28))).packet;
    t.ok(broadcast.kind === 'ethernet' && broadcast.bytes.subarray(0, 6).every((byte) => byte === 0xff));
    t.match(
      decapsulate(linkType, join(header(0, 65534, 0x86dd), packet6)),
      { packet: ip6, removed: length },
      'tun',
    );
    t.match(decapsulate(linkType, join(header(0, 512, 0x0800), packet4)), { packet: ip4 }, 'ppp');
    const llc = decapsulate(linkType, join(header(0, 1, 4), packet4)).packet;
    t.ok(
      llc.kind === 'ethernet' && llc.bytes[12] === 0x88 && llc.bytes[13] === 0xb6,
      'what has no EtherType',
    );
    for (let cut = 0; cut < length; cut++) {
      t.match(decapsulate(linkType, header(0, 1, 0x0800).subarray(0, cut)), {
        packet: { kind: 'cut-short' },
      });
    }
  }
});

t.test('others are refused by name', async (t) => {
  for (const type of [1, 12, 14, 101, 228, 229, 113, 276, 0, 108]) checkLinkType(type, 0);
  t.throws(() => checkLinkType(105, 20), {
    name: 'CaptureError',
    kind: 'link-type',
    message:
      'at byte 20: link type 105 (IEEE 802.11) is not read; Ethernet, raw IP, Linux cooked and BSD loopback are',
  });
  t.throws(() => checkLinkType(9999, 0), { message: /link type 9999 is not read/ });
  t.equal(linkTypeName(113), 'Linux cooked');
  t.equal(linkTypeName(127), 'IEEE 802.11 with radiotap');
  t.equal(linkTypeName(9999), 'link type 9999');
});
