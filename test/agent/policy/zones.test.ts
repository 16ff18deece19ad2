// Goal: zones are found by name and by interface, and what stands for one is in it.
// Method: a policy with patterns, one that is off, and one with rules in one direction only.

import t from 'tap';
import { readAndCheck } from '../../../agent/policy/read.ts';
import { policyZones, zoneOfInterface } from '../../../agent/policy/zones.ts';

const policy = (name: string, mode: string, zone: string, interfaces: string) => `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: ${name} }
spec:
  mode: ${mode}
  zones: { ${zone}: { interfaces: ${interfaces} } }
  ingress: [{ zone: ${zone}, default: drop, rules: [] }]
  egress: []
`;

t.test('zones', async (t) => {
  const text = [policy('a', 'enforce', 'wan', '["wwan*", eth0]'), policy('b', 'off', 'lan', '[br-lan]')].join(
    '---\n',
  );
  const { documents, faults } = readAndCheck([{ file: '', text }]);
  t.strictSame(faults, []);
  const zones = policyZones(documents);
  t.strictSame(zones, [
    { document: 'a', zone: 'wan', interface: 'wwan0', interfaces: ['wwan*', 'eth0'], judged: ['ingress'] },
  ]);
  for (const zone of zones) t.equal(zoneOfInterface(zones, zone.interface), zone);
  t.equal(zoneOfInterface(zones, 'wwan17')?.zone, 'wan');
  t.equal(zoneOfInterface(zones, 'br-lan'), null, 'what is off judges nothing');
});
