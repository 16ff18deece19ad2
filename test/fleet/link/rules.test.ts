// Goal: at the broker everybody does what their part needs and nothing else.
// Method: a table of parties, topics and filters with what must come of each; the same topics are tried at
// a real Mosquitto in mosquitto.test.ts. Generated names see to it that no device reaches another's branch.

import fc from 'fast-check';
import t from 'tap';
import {
  denyConnect,
  denyPublish,
  denySubscribe,
  enrollingParty,
  type Party,
  partyOfCertificate,
} from '../../../fleet/link/rules.ts';

const me = 'abcdefghijklmnopqrstuvwxyz';
const other = 'zyxwvutsrqponmlkjihgfedcba';
const device: Party = { kind: 'device', tenant: 'acme', device: me };
const service: Party = { kind: 'service', tenant: 'acme', name: 'operator' };
const controller: Party = { kind: 'controller', tenant: 'acme', name: 'controller' };
const enrolling: Party = { kind: 'enrolling', tenant: 'acme', claim: 'tok', client: 'box' };
const all = { device, service, controller, enrolling };

t.test('publishing', async (t) => {
  const may: readonly (readonly [topic: string, who: readonly (keyof typeof all)[]])[] = [
    [`husk/acme/d/${me}/up/st`, ['device']],
    [`husk/acme/d/${me}/up/rep`, ['device']],
    [`husk/acme/d/${me}/up/ev`, ['device']],
    [`husk/acme/d/${me}/up/ask`, ['device']],
    [`husk/acme/d/${me}/up/rs/operator`, ['device']],
    [`husk/acme/d/${other}/up/st`, []],
    [`husk/other/d/${me}/up/st`, []],
    [`husk/acme/d/${me}/up`, []],
    [`husk/acme/d/${me}/upper/st`, []],
    [`husk/acme/d/${me}/dn/des`, ['controller']],
    [`husk/acme/d/${me}/dn/ack`, ['controller']],
    [`husk/acme/d/${me}/dn/rq`, ['controller', 'service']],
    [`husk/acme/d/${me}/dn/rq/x`, ['controller']],
    ['husk/acme/d/nobody/dn/rq', []],
    [`husk/other/d/${me}/dn/rq`, []],
    ['husk/acme/b/q', ['controller', 'service']],
    ['husk/acme/b/blob/00/1', ['controller']],
    ['husk/acme/c/tok/box/up', ['enrolling']],
    ['husk/acme/c/tok/box/dn', ['controller']],
    ['husk/acme/c/tok/other/up', []],
    ['husk/acme/c/other/box/up', []],
    ['$SYS/broker', []],
    ['', []],
    [`husk/acme/d/${me}/up/+`, []],
    [`husk/acme/d/${me}/up/#`, []],
    [`husk/acme/d/${me}/up/a b`, []],
    [`husk/acme/d/${me}/up/\u0000`, []],
    [`husk/acme/d/${me}/up/${'x'.repeat(600)}`, []],
  ];
  for (const [topic, allowed] of may) {
    for (const [name, party] of Object.entries(all)) {
      const denial = denyPublish(party, { topic, qos: 1, retain: false });
      t.equal(
        denial === null,
        allowed.includes(name as keyof typeof all),
        `${name} ${JSON.stringify(topic)}: ${denial}`,
      );
    }
  }
});

t.test('retaining, and QoS', async (t) => {
  const retained = (party: Party, topic: string) => denyPublish(party, { topic, qos: 1, retain: true });
  t.equal(retained(device, `husk/acme/d/${me}/up/st`), null);
  t.equal(retained(device, `husk/acme/d/${me}/up/rep`), null);
  t.match(retained(device, `husk/acme/d/${me}/up/ev`), /retained/);
  t.match(retained(device, `husk/acme/d/${me}/up/st/x`), /retained/);
  t.match(retained(service, 'husk/acme/b/q'), /retains nothing/);
  t.equal(retained(controller, `husk/acme/d/${me}/dn/des`), null);
  t.match(retained(enrolling, 'husk/acme/c/tok/box/up'), /retained/);
  for (const party of Object.values(all)) {
    t.match(denyPublish(party, { topic: `husk/acme/d/${me}/up/ev`, qos: 2, retain: false }), /QoS 2/);
  }
});

t.test('subscribing', async (t) => {
  const may: readonly (readonly [filter: string, who: readonly (keyof typeof all)[]])[] = [
    [`husk/acme/d/${me}/dn/#`, ['device', 'service', 'controller']],
    [`husk/acme/d/${me}/dn/des`, ['device', 'service', 'controller']],
    [`husk/acme/d/${me}/dn/+`, ['device', 'service', 'controller']],
    ['husk/acme/b/#', ['device', 'service', 'controller']],
    ['husk/acme/b/blob/00/+', ['device', 'service', 'controller']],
    [`husk/acme/d/${other}/dn/#`, ['service', 'controller']],
    ['husk/acme/d/+/dn/#', ['service', 'controller']],
    ['husk/acme/d/+/up/st', ['service', 'controller']],
    ['husk/acme/#', ['service', 'controller']],
    ['husk/other/#', []],
    ['husk/+/#', []],
    ['+/acme/#', []],
    ['#', []],
    ['$SYS/#', []],
    [`$share/g/husk/acme/d/${me}/dn/#`, []],
    ['husk/acme/c/tok/box/dn', ['enrolling', 'service', 'controller']],
    ['husk/acme/c/tok/+/dn', ['service', 'controller']],
    ['husk/acme/c/tok/box/#', ['service', 'controller']],
    [`husk/acme/d/${me}/dn/x#`, []],
    [`husk/acme/d/${me}/dn/#/x`, []],
    [`husk/acme/d/${me}/dn/x+`, []],
  ];
  for (const [filter, allowed] of may) {
    for (const [name, party] of Object.entries(all)) {
      const denial = denySubscribe(party, filter);
      t.equal(denial === null, allowed.includes(name as keyof typeof all), `${name} ${filter}: ${denial}`);
    }
  }
});

t.test('connecting', async (t) => {
  const connect = (
    party: Party,
    clientId: string,
    will: { topic?: string; qos?: number; bytes?: number } | null = null,
  ) =>
    denyConnect(party, {
      clientId,
      username: null,
      will: will === null ? null : { topic: `husk/acme/d/${me}/up/st`, qos: 1, bytes: 10, ...will },
    });
  t.equal(connect(device, me, {}), null);
  t.equal(connect(device, me), null);
  t.match(connect(device, other), /client id/);
  t.match(connect(device, ''), /client id/);
  t.match(connect(device, me, { topic: `husk/acme/d/${other}/up/st` }), /will/);
  t.match(connect(device, me, { topic: `husk/acme/d/${me}/up/rep` }), /will/);
  t.match(connect(device, me, { qos: 2 }), /QoS 2/);
  t.match(connect(device, me, { bytes: 5000 }), /longer/);
  t.equal(connect(service, 'any'), null);
  t.match(connect(service, 'any', {}), /only a device/);
  t.match(connect(enrolling, 'box', {}), /only a device/);
});

t.test('who somebody is stands in the certificate', async (t) => {
  const who = (organization: unknown, unit: unknown, commonName: unknown) =>
    partyOfCertificate({ organization, unit, commonName }, 'acme');
  t.same(who('acme', 'device', me), device);
  t.same(who('acme', 'service', 'operator'), service);
  t.same(who('acme', 'controller', 'controller'), controller);
  t.match(who('other', 'device', me), /another tenant/);
  t.match(who(['acme', 'other'], 'device', me), /another tenant/, 'two organizations are none');
  t.match(who('acme', 'device', 'operator'), /not a device id/);
  t.match(who('acme', 'device', me.toUpperCase()), /not a device id/);
  t.match(who('acme', 'device', [me, other]), /no single common name/);
  t.match(who('acme', 'service', me), /not a service name/, 'a service cannot have the name of a device');
  t.match(who('acme', 'service', 'a/b'), /not a service name/);
  t.match(who('acme', 'server', 'gw'), /neither/);
  t.match(who('acme', undefined, me), /neither/);
  const box = (username: string | null, clientId: string) =>
    enrollingParty({ username, clientId, will: null }, 'acme');
  t.same(box('tok', 'box'), enrolling);
  t.match(box(null, 'box'), /claim/);
  t.match(box('t/k', 'box'), /claim/);
  t.match(box('tok', '+'), /client id/);
});

t.test('no topic of another device is within reach, whatever it is called', async (t) => {
  const id = fc.string({
    unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz234567'),
    minLength: 26,
    maxLength: 26,
  });
  const level = fc.constantFrom('up', 'dn', 'd', 'b', 'c', '+', '#', 'husk', 'acme', me, '', 'st', '..', 'x');
  fc.assert(
    fc.property(id, fc.array(level, { maxLength: 6 }), (victim, tail) => {
      if (victim === me) return true;
      const topic = ['husk', 'acme', 'd', victim, ...tail].join('/');
      return (
        denyPublish(device, { topic, qos: 0, retain: false }) !== null &&
        denySubscribe(device, topic) !== null
      );
    }),
  );
  fc.assert(
    fc.property(fc.array(level, { maxLength: 8 }), (levels) => {
      const filter = levels.join('/');
      const isOwn = filter.startsWith(`husk/acme/d/${me}/dn/`) || filter.startsWith('husk/acme/b/');
      return isOwn || denySubscribe(device, filter) !== null;
    }),
    { numRuns: 2000 },
  );
  t.pass('none found');
});
