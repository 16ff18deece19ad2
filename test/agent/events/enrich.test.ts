// Goal: events say in words what records say in numbers, and what cannot be named is said by its number.
// Method: records with known fields; addresses against Node's own parser and formatter; processes are real
// children in real cgroups, looked up while they live, after they died, and under a number given again.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { SocketAddress } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { HuskEvent } from '../../../agent/contract/event.ts';
import { addressText, ipv6Text } from '../../../agent/events/addresses.ts';
import { makeAudit } from '../../../agent/events/audit.ts';
import { walkCalls, walkPackets } from '../../../agent/events/decode.ts';
import { describeCall, describePackets, type Names } from '../../../agent/events/enrich.ts';
import { InterfaceNames } from '../../../agent/events/interface-names.ts';
import { newLosses } from '../../../agent/events/losses.ts';
import { Processes, pathCharactersMax, shortPath } from '../../../agent/events/processes.ts';
import { payloadBytesMax } from '../../../agent/events/record.ts';
import { bootMsFromProc } from '../../../agent/os/clock.ts';
import {
  decodeHuskCallEvent,
  decodeHuskPacketEvent,
  HUSK_RULE_NONE,
  HuskCallEvent,
  HuskPacketEvent,
} from '../../../bpf/abi/layout.gen.ts';
import { parseDeviceMessage } from '../../../fleet/inbox/message.ts';
import { TestClock } from '../../lab/test-clock.ts';
import {
  batchOf,
  type CallFields,
  callRecord,
  inEnvelope,
  type PacketFields,
  packetRecord,
  temporaryFolder,
} from './lab.ts';

const names: Names = {
  ruleName: (index) => (index === 5 ? 'branch-wan/listed' : null),
  interfaceName: (ifindex) => (ifindex === 3 ? 'wan0' : null),
};

function packets(fields: PacketFields = {}) {
  const record = packetRecord(fields);
  const first = decodeHuskPacketEvent(new DataView(record.buffer), 0);
  return describePackets({ first, count: 3, bytes: 180 }, names);
}

function call(fields: CallFields = {}, processes = new Processes({ bootMs: bootMsFromProc })) {
  const record = callRecord(fields);
  return describeCall(decodeHuskCallEvent(new DataView(record.buffer), 0), names, processes);
}

t.test('packets', async (t) => {
  t.strictSame(packets(), {
    kind: 'packet',
    rule: 'branch-wan/listed',
    verdict: 'drop',
    mode: 'enforce',
    reason: 'rule',
    hook: 'xdp_ingress',
    serial: 7,
    interface: 'wan0',
    family: 'ipv4',
    etherType: 0x0800,
    from: '192.0.2.1',
    to: '198.51.100.1',
    protocol: 6,
    fromPort: 40000,
    toPort: 23,
    tcpFlags: 2,
    count: 3,
    bytes: 180,
  });
  t.match(packets({ ifindex: 9, head: { rule: 6, mode: 1, hook: 2, reason: 2 } }), {
    rule: 'rule 6',
    interface: 'if9',
    mode: 'monitor',
    hook: 'tc_egress',
    reason: 'default',
  });
  t.equal(packets({ head: { rule: HUSK_RULE_NONE, reason: 4 } }).rule, null);
  t.equal(packets({ head: { reason: 4 } }).reason, 'unparseable');
  t.equal(packets({ head: { reason: 11 } }).reason, 'own-source');
  t.match(packets({ family: 4, etherType: 0x88cc }), { family: 'other', from: '', to: '' });
});

t.test('addresses of any value are what Node writes for them', async (t) => {
  const groups = fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(groups, (values) => {
      const bytes = Uint8Array.from(values.flatMap((value) => [value >> 8, value & 0xff]));
      const written = ipv6Text(bytes);
      const long = values.map((value) => value.toString(16)).join(':');
      const node = new SocketAddress({ address: long, family: 'ipv6' }).address;
      // Node writes ::a.b.c.d for the IPv4-compatible addresses that RFC 4291 has deprecated; we do not.
      if (!/^::[\d.]+\.\d+$/.test(node) && written !== node) throw new Error(`${written} is not ${node}`);
      if (new SocketAddress({ address: written, family: 'ipv6' }).address !== node) throw new Error(written);
    }),
    { numRuns: 2000 },
  );
  t.equal(addressText(Uint8Array.from([...Array(12).fill(0), 10, 0, 0, 1]), 1), '10.0.0.1');
});

t.test('calls', async (t) => {
  t.test('of a process that is not there', async (t) => {
    const event = call({ head: { rule: 5 } });
    t.strictSame(event, {
      kind: 'call',
      class_uid: 4001,
      activity_id: 1,
      severity_id: 3,
      disposition_id: 2,
      rule: 'branch-wan/listed',
      policy: { name: 'branch-wan' },
      verdict: 'deny',
      mode: 'enforce',
      serial: 7,
      tier: 'C',
      process: {
        pid: 4_000_000,
        tid: 4_000_000,
        name: 'uhttpd',
        startMono: null,
        file: { path: null },
        user: { uid: 33 },
        group: { uid: 33 },
        cgroup: 'cgroup 4711',
        ancestry: [],
        ancestryIsWhole: false,
      },
      call: 'connect',
      command: 'uhttpd',
      executable: null,
      pid: 4_000_000,
      uid: 33,
      gid: 33,
      cgroup: 'cgroup 4711',
      family: 'inet',
      type: 'stream',
      protocol: 6,
      address: '203.0.113.9',
      port: 4444,
      dst_endpoint: { ip: '203.0.113.9', port: 4444 },
      count: 1,
    });
  });

  t.test('sockets without an address, and numbers without a word', async (t) => {
    t.match(call({ call: 4, socketFamily: 17, socketType: 3, head: { hook: 6 } }), {
      call: 'socket',
      family: 'packet',
      type: 'raw',
      address: '',
    });
    t.match(call({ socketFamily: 40, socketType: 9 }), { family: 'family 40', type: 'type 9', address: '' });
    t.match(call({ call: 2, socketFamily: 10 }), { call: 'bind', address: '::ffff:203.0.113.9' });
  });

  t.test('text that no JSON parser would take becomes text that each takes', async (t) => {
    const record = callRecord();
    record.set([0xff, 0xfe, 0xed, 0xa0, 0x80, 0x22, 0x0a, 0], 80);
    const raw = decodeHuskCallEvent(new DataView(record.buffer), 0);
    const { command } = describeCall(raw, names, new Processes({ bootMs: bootMsFromProc }));
    t.ok(command.isWellFormed());
    t.equal(JSON.parse(JSON.stringify({ command })).command, command);
  });
});

t.test('processes', async (t) => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  t.teardown(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  let now = bootMsFromProc();
  const processes = new Processes({ bootMs: () => now });
  const sleep = spawnSync(
    'readlink',
    ['-f', spawnSync('which', ['sleep'], { encoding: 'utf8' }).stdout.trim()],
    {
      encoding: 'utf8',
    },
  ).stdout.trim();

  t.test('executable and cgroup of one that runs', async (t) => {
    now = bootMsFromProc() + 20;
    const facts = processes.facts(pid, 'sleep', now);
    t.equal(facts.executable, sleep);
    t.equal(facts.cgroup, /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? null);
  });

  t.test('one that started after the event is not the one', async (t) => {
    t.strictSame(processes.facts(pid, 'sleep', 1), {
      executable: null,
      cgroup: null,
      startMs: null,
      parent: null,
    });
    t.strictSame(new Processes({ bootMs: () => now }).facts(pid, 'sleep', 1), {
      executable: null,
      cgroup: null,
      startMs: null,
      parent: null,
    });
  });

  t.test('one that has just gone is remembered, for a second', async (t) => {
    child.kill('SIGKILL');
    await ended;
    t.equal(processes.facts(pid, 'sleep', now).executable, sleep);
    t.equal(processes.facts(pid, 'other', now).executable, null, 'but not under another name');
    now += 2000;
    t.equal(processes.facts(pid, 'sleep', now).executable, null);
  });

  t.test('a name with parentheses and spaces does not lead astray', async (t) => {
    const path = join(temporaryFolder(t), 'a) S 0 (b');
    copyFileSync(sleep, path);
    const odd = spawn(path, ['1000'], { stdio: 'ignore' });
    t.teardown(() => odd.kill('SIGKILL'));
    await once(odd, 'spawn');
    const at = bootMsFromProc() + 20;
    t.equal(new Processes({ bootMs: () => at }).facts(odd.pid ?? 0, 'a) S 0 (b', at).executable, path);
  });

  t.test('the table is bounded', async (t) => {
    const folder = temporaryFolder(t);
    const many = new Processes({ proc: folder, bootMs: () => 10_000 });
    for (let n = 1; n <= 600; n++) {
      mkdirSync(join(folder, String(n)));
      writeFileSync(join(folder, String(n), 'stat'), `${n} (x) S ${'0 '.repeat(18)}7 0`);
      writeFileSync(join(folder, String(n), 'cgroup'), '0::/x\n');
      t.equal(many.facts(n, 'x', 10_000).cgroup === '/x', true, `process ${n}`);
    }
    writeFileSync(join(folder, '1', 'cgroup'), '0::/moved\n');
    writeFileSync(join(folder, '600', 'cgroup'), '0::/moved\n');
    t.equal(many.facts(1, 'x', 10_000).cgroup, '/moved', 'the oldest was forgotten and is read again');
    t.equal(many.facts(600, 'x', 10_000).cgroup, '/x', 'the newest is remembered');
  });
});

t.test('cgroups', async (t) => {
  const mount = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((line) => line.includes(' - cgroup2 '))
    ?.split(' ')[4];
  const skip = mount === undefined || process.getuid?.() !== 0 ? 'needs root and a cgroup2 mount' : false;
  t.test('a path by its id, with a good hint, a wrong one and none', { skip }, async (t) => {
    const name = `husk-events-${process.pid}`;
    const path = join(mount ?? '', name, 'inner one');
    mkdirSync(path, { recursive: true });
    t.teardown(() => {
      rmdirSync(path);
      rmdirSync(join(path, '..'));
    });
    const id = statSync(path, { bigint: true }).ino;
    let now = 0;
    const fresh = () => new Processes({ bootMs: () => now });
    t.equal(fresh().cgroupPath(id, `/${name}/inner one`), `/${name}/inner one`);
    t.equal(fresh().cgroupPath(id, '/'), `/${name}/inner one`);
    t.equal(fresh().cgroupPath(id, null), `/${name}/inner one`);
    t.equal(fresh().cgroupPath(statSync(mount ?? '', { bigint: true }).ino, null), '/');

    const one = fresh();
    t.equal(one.cgroupPath(2n ** 60n, null), null);
    t.equal(one.cgroupPath(id, null), null, 'no second search at once');
    now += 1000;
    t.equal(one.cgroupPath(id, null), `/${name}/inner one`);
    t.equal(one.cgroupPath(id, null), `/${name}/inner one`, 'and then it is known');
  });
});

t.test('paths that travel are short and whole characters', async (t) => {
  t.equal(shortPath('/bin/sh'), '/bin/sh');
  const long = shortPath(`/${'x'.repeat(pathCharactersMax - 2)}\u{1f600}${'y'.repeat(10)}`);
  t.ok(long.isWellFormed());
  t.equal(long.length, pathCharactersMax);
});

t.test('interfaces are named while they are there, and a while longer', async (t) => {
  const clock = new TestClock();
  let there = [{ name: 'wan0', index: 3 }];
  let looks = 0;
  const interfaces = new InterfaceNames(() => {
    looks += 1;
    return there;
  }, clock);
  t.equal(interfaces.nameOf(3), 'wan0');
  t.equal(interfaces.nameOf(4), null);
  t.equal(looks, 1, 'one look a second');
  there = [{ name: 'ppp0', index: 4 }];
  await clock.advance(1000);
  t.equal(interfaces.nameOf(4), 'ppp0');
  t.equal(interfaces.nameOf(3), 'wan0');
  there = [{ name: 'ppp1', index: 3 }];
  await clock.advance(1000);
  t.equal(interfaces.nameOf(3), 'ppp1');
});

t.test('losses', async (t) => {
  const first = newLosses(
    {},
    { PACKET_EVENTS_LOST: 5n, PACKET_EVENTS_SUPPRESSED: 0n, CALL_EVENTS_LOST: 2n, INGRESS: 9n },
  );
  t.strictSame(first.losses, [
    { stream: 'packet', where: 'ring', lost: 5 },
    { stream: 'alert', where: 'ring', lost: 2 },
  ]);
  t.strictSame(newLosses({}, { OBSERVED_SUPPRESSED: 6n }).losses, [
    { stream: 'alert', where: 'suppressed', lost: 6 },
  ]);
  const second = newLosses(first.told, {
    PACKET_EVENTS_LOST: 5n,
    PACKET_EVENTS_SUPPRESSED: 7n,
    CALL_EVENTS_LOST: 3n,
  });
  t.strictSame(second.losses, [
    { stream: 'packet', where: 'suppressed', lost: 7 },
    { stream: 'alert', where: 'ring', lost: 1 },
  ]);
  t.strictSame(
    newLosses(second.told, { PACKET_EVENTS_LOST: 1n }).losses,
    [{ stream: 'packet', where: 'ring', lost: 1 }],
    'new maps count from zero',
  );
  t.strictSame(
    newLosses({ PACKET_EVENTS_LOST: 'x' as never, CALL_EVENTS_LOST: 7 as never }, { CALL_EVENTS_LOST: 1n })
      .losses,
    [{ stream: 'alert', where: 'ring', lost: 1 }],
    'what the disk holds is not believed',
  );
});

t.test('whatever a record holds, the controller takes the event made of it', async (t) => {
  const processes = new Processes({ bootMs: bootMsFromProc });
  const record = (template: Uint8Array) =>
    fc.uint8Array({ minLength: template.length, maxLength: template.length }).map((noise) => {
      // Any field may hold anything but those that the decoder asks for.
      noise.set(template.subarray(16, 32), 16);
      noise[15] = 0;
      noise[14] = (noise[14] ?? 0) & 0x1f;
      return noise;
    });
  const events: HuskEvent[] = [];
  const packetsAndCalls = fc.record({
    packet: record(packetRecord()),
    call: record(callRecord()),
    family: fc.nat(2),
  });
  fc.assert(
    fc.property(packetsAndCalls, ({ packet, call, family }) => {
      packet[HuskPacketEvent.offset.family] = 1 << family;
      packet[HuskPacketEvent.offset.state] = family;
      packet[HuskPacketEvent.offset.link] = family & 1;
      packet.set([family * 32, 0, 0, 0], HuskPacketEvent.offset.dataLength);
      call[HuskCallEvent.offset.call] = 1 << family;
      walkPackets(batchOf(packet), (view, at) => {
        events.push(describePackets({ first: decodeHuskPacketEvent(view, at), count: 1, bytes: 60 }, names));
      });
      walkCalls(batchOf(call), (raw) => events.push(describeCall(raw, names, processes)));
    }),
    { numRuns: 100 },
  );
  t.equal(events.length, 200, 'all were decodable');
  const spooled = events.map((event, index) => ({
    seq: index + 1,
    mono: 1,
    ts: null,
    tq: 'none' as const,
    event,
  }));
  const bytes = Buffer.from(JSON.stringify(inEnvelope({ stream: 'alert', events: spooled })));
  const message = parseDeviceMessage('ev', bytes);
  t.strictSame(message.kind === 'events' && message.envelope.body.events, spooled);
});

t.test('an audit event fits, whatever is in it', async (t) => {
  t.strictSame(makeAudit('bundle.refused', { code: 'policy.invalid', serial: 4, ok: false, none: null }), {
    kind: 'audit',
    what: 'bundle.refused',
    detail: { code: 'policy.invalid', serial: 4, ok: false, none: null },
  });
  const huge = makeAudit(
    'x',
    Object.fromEntries(Array.from({ length: 99 }, (_, n) => [`k${n}`, '\u0001'.repeat(5000)])),
  );
  t.ok(Buffer.byteLength(JSON.stringify(huge)) < payloadBytesMax - 200);
  t.equal(makeAudit('x', { text: '\ud800' }).detail.text, '\ufffd');
  t.equal(String(makeAudit('x', { text: 'y'.repeat(2000) }).detail.text).length, 1024);
});
