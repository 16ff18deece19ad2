// Goal: the policies we ship pass every check, and do what their comments say.
// Method: read and check each file, without a fault or a warning; then play some packets on a router's interfaces.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { frameFromText } from '../../agent/policy/cases/frame-text.ts';
import { type DeviceView, usualNeverDrop } from '../../agent/policy/device-view.ts';
import { PacketEvaluator } from '../../agent/policy/evaluate.ts';
import { formatFaults } from '../../agent/policy/faults.ts';
import { readAndCheck } from '../../agent/policy/read.ts';

const folder = join(import.meta.dirname, '../../firmware-integration/policies');
const read = (name: string) => readAndCheck([{ file: name, text: readFileSync(join(folder, name), 'utf8') }]);

const router: DeviceView = {
  interfaces: [
    { name: 'eth0', index: 1, link: 'ethernet', addresses: ['198.51.100.1/24'] },
    { name: 'br-lan', index: 2, link: 'ethernet', addresses: ['10.0.0.1/16'] },
    { name: 'br-guest', index: 3, link: 'ethernet', addresses: ['10.1.0.1/24'] },
  ],
  neverDrop: usualNeverDrop,
};

/** `in eth0: …` as `allow ssh`. */
function player(name: string) {
  const evaluator = new PacketEvaluator(read(name).documents, router);
  return (text: string): string => {
    const parts = /^(in|out) (\S+)(?: from (\S+))?: (.*)$/.exec(text);
    if (parts === null) throw new Error(text);
    const [, way, at = '', cameBy, packet = ''] = parts;
    const { verdict, reason, rule } = evaluator.judge({
      direction: way === 'in' ? 'ingress' : 'egress',
      interface: at,
      frame: frameFromText(packet),
      cameBy: cameBy ?? null,
    });
    return `${verdict} ${rule?.split('/')[1] ?? reason}`;
  };
}

t.test('each of them is without a fault', async (t) => {
  const names = readdirSync(folder);
  t.ok(names.length >= 2);
  for (const name of names) {
    const { documents, faults } = read(name);
    t.equal(formatFaults(faults), '', name);
    t.ok(documents.length > 0, name);
  }
});

t.test('the branch router keeps the outside out and lets the inside work', async (t) => {
  const play = player('branch-router.yaml');
  t.equal(play('in eth0: ipv4 203.0.113.9 > 198.51.100.1 / tcp 1 > 22 syn'), 'drop scans');
  t.equal(play('in eth0: ipv4 192.0.2.9 > 198.51.100.1 / tcp 1 > 22 syn'), 'allow ssh');
  t.equal(play('in eth0: ipv4 10.0.0.9 > 198.51.100.1 / tcp 1 > 22 syn'), 'drop spoofed');
  t.equal(play('in br-lan: ipv4 10.0.0.9 > 203.0.113.9 / tcp 1 > 443 syn'), 'allow lan-out');
  t.equal(
    play('out eth0 from br-lan: ipv4 198.51.100.1 > 203.0.113.9 / tcp 1 > 443 syn'),
    'allow wan:default-egress',
  );
  t.equal(play('in eth0: ipv4 203.0.113.9 > 198.51.100.1 / tcp 443 > 1 syn ack'), 'allow replies');
  t.equal(play('in eth0: ipv4 203.0.113.9 > 198.51.100.1 / udp 1 > 161'), 'drop wan:default-ingress');
  t.equal(play('in br-lan: ipv4 10.0.0.9 > 10.0.0.1 / tcp 1 > 23 syn'), 'reject lan-no');
  t.equal(play('in br-guest: ipv4 10.1.0.9 > 10.0.0.9 / tcp 1 > 80 syn'), 'reject guest-not-in');
  t.equal(play('in br-guest: ipv4 10.1.0.9 > 203.0.113.9 / tcp 1 > 80 syn'), 'allow guest-out');
  t.equal(play('out br-lan from eth0: ipv4 203.0.113.9 > 10.0.0.9 / udp 1 > 80'), 'drop lan-in');
});

t.test('control-plane protection limits what is for the device, and nothing that goes through', async (t) => {
  const play = player('control-plane.yaml');
  const verdicts = (count: number, text: string) => {
    const all = Array.from({ length: count }, () => play(text));
    return [...new Set(all)];
  };
  t.strictSame(verdicts(3000, 'in br-lan: ipv4 10.0.0.9 > 203.0.113.9 / tcp 1 > 22 syn'), ['allow through']);
  t.strictSame(verdicts(50, 'in eth0: ipv4 203.0.113.9 > 198.51.100.1 / tcp 1 > 22 syn'), [
    'allow ssh',
    'drop ssh',
  ]);
  t.equal(play('in eth0: ipv4 203.0.113.8 > 198.51.100.1 / tcp 1 > 22 syn'), 'allow ssh', 'another source');
  t.equal(play('in eth0: ipv4 203.0.113.9 > 198.51.100.1 / icmp 3 1'), 'drop stray-errors');
  t.strictSame(verdicts(2000, 'in eth0: ipv4 203.0.113.9 > 198.51.100.1 / udp 1 > 9'), [
    'allow everything-else',
    'drop everything-else',
  ]);
});
