// Goal: a packet reads as people say it, and what cannot be read says so.
// Method: frames as text in, words out.

import t from 'tap';
import { frameFromText } from '../../../agent/policy/cases/frame-text.ts';
import { endpointWords, packetWords } from '../../../agent/policy/packet-words.ts';

t.test('packets', async (t) => {
  const words: readonly (readonly [text: string, words: string])[] = [
    ['ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 22 syn ack', 'tcp 192.0.2.1:1 → 192.0.2.2:22 syn ack'],
    ['vlan 5 / ipv6 2001:db8::1 > ::1 / udp 5 > 53', 'udp [2001:db8::1]:5 → [::1]:53'],
    ['ipv4 192.0.2.1 > 192.0.2.2 / icmp 8 0', 'icmp 192.0.2.1 → 192.0.2.2 type 8 code 0'],
    ['ipv4 192.0.2.1 > 192.0.2.2 offset 9 / udp 1 > 2', 'udp 192.0.2.1 → 192.0.2.2 later fragment'],
    ['ipv4 192.0.2.1 > 192.0.2.2 more / udp 1 > 2', 'udp 192.0.2.1:1 → 192.0.2.2:2 first fragment'],
    ['ipv4 192.0.2.1 > 192.0.2.2 / protocol 99', 'protocol 99 192.0.2.1 → 192.0.2.2'],
    ['arp', 'arp'],
    ['ethertype 0x88cc', 'EtherType 0x88cc'],
    ['ethertype 60', '802.3 frame of 60 bytes'],
    ['ipv4 192.0.2.1 > 192.0.2.2 words 4 / tcp 1 > 2', 'unreadable, 54 bytes'],
    ['hex 00', 'unreadable, 1 bytes'],
  ];
  for (const [text, expected] of words) t.equal(packetWords(frameFromText(text)), expected, text);
  t.equal(endpointWords('::1', null), '::1');
});
