// Goal: the words of case files make the bytes they name, and what is no packet is refused with what was wrong.
// Method: frames compared byte by byte, or read back by the evaluator's parser.

import t from 'tap';
import { frameFromText } from '../../../../agent/policy/cases/frame-text.ts';
import { parsePacket } from '../../../../agent/policy/packet.ts';

const hex = (text: string) => Buffer.from(frameFromText(text)).toString('hex');

t.test('addresses of the link', async (t) => {
  t.match(hex('ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 2'), /^0200000000010200000000020800/);
  t.match(
    hex('eth 00:11:22:33:44:55 > ff:ff:ff:ff:ff:FF / arp'),
    /^ffffffffffff0011223344550806/,
    'the receiver comes first on the wire',
  );
  t.match(
    hex('eth 00:11:22:33:44:55 > 02:00:00:00:00:01 / vlan 10 / ipv6 :: > ::1'),
    /^02000000000100112233445581000*a86dd/,
  );
});

t.test('DSCP', async (t) => {
  t.equal(frameFromText('ipv4 192.0.2.1 > 192.0.2.2 dscp 46')[15], 46 << 2);
  t.strictSame([...frameFromText('ipv6 :: > ::1 dscp 46').subarray(14, 18)], [0x6b, 0x80, 0, 0]);
  t.match(parsePacket(frameFromText('ipv6 :: > ::1 dscp 63 / tcp 1 > 2')), { family: 'ipv6', protocol: 6 });
});

t.test('hex and cut', async (t) => {
  t.strictSame([...frameFromText('hex 01 02ff')], [1, 2, 255]);
  t.equal(frameFromText('arp / cut 20').length, 20);
});

t.test('what is no packet', async (t) => {
  const wrong: readonly (readonly [text: string, reason: RegExp])[] = [
    ['hex 0', /not whole bytes/],
    ['hex 0x12', /not whole bytes/],
    ['eth 00:11 > 02:00:00:00:00:01 / arp', /"00:11" is no MAC address/],
    ['eth 00:11:22:33:44:55 / arp', /no MAC address; eth needs SOURCE > DESTINATION/],
    ['ipv4 192.0.2.1 > 192.0.2.2 dscp 64', /dscp 64/],
    ['ipv4 192.0.2.1', /SOURCE > DESTINATION/],
    ['ipv4 192.0.2.300 > 192.0.2.1', /192.0.2.300/],
    ['tcp 1 > 2', /"tcp" has no EtherType/],
    ['ipv4 192.0.2.1 > 192.0.2.2 / nonsense', /"nonsense" is no header/],
    ['ipv4 192.0.2.1 > 192.0.2.2 / tcp x > 2', /"x" is no number/],
  ];
  for (const [text, reason] of wrong) t.throws(() => frameFromText(text), { message: reason }, text);
});
