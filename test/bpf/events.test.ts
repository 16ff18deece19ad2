// Goal: the packet ring carries drops and would-be drops, with what was known of the packet; never more than
// the budget; and every event that is not there was counted, of packets and of calls.
// Method: the live programs under TEST_RUN, calls by children in a cgroup of the test's own, the ring read after.

import t from 'tap';
import {
  HUSK_CALL_CONNECT,
  HUSK_CALL_RING_BYTES,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HUSK_FOLLOWS_ALL,
  HUSK_LINK_ETHERNET,
  HUSK_PACKET_RING_BYTES,
  HUSK_RULE_NONE,
  HUSK_ZONE_ENFORCES,
  HuskCallEvent,
  HuskControl,
  HuskHook,
  HuskMode,
  HuskPacketEvent,
  HuskReason,
  HuskTotal,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { CanaryCall } from '../../native/index.ts';
import { addressBytes } from '../lab/frame.ts';
import { ethernet, etherType, from6, ipv4, ipv6, protocol, tagged, tcp, to6, udp } from './frames.ts';
import { ProgramLab, programsMissing, testRunIfindex } from './lab.ts';
import type { PlainRule } from './plain-tables.ts';

const EPERM = 1;
/** Within what one canary takes. */
const callsAtOnce = 200;
const ssh6 = ipv6(protocol.tcp, tcp({ flags: 0x12 }));

t.test('packet events', { skip: programsMissing() }, async (t) => {
  const lab = await ProgramLab.open();
  t.teardown(() => lab.close());
  lab.setLive(0);
  const zones = { [testRunIfindex]: {} };
  const dropAll = { rule: 9, verdict: HuskVerdict.DROP };
  const run = (frame: Uint8Array, direction: 'ingress' | 'egress' = 'ingress') =>
    lab.packetEvents(() => {
      lab.isDropped(direction, frame);
    });

  await t.test('a drop tells what was known of the packet', async (t) => {
    await lab.fill(0, { serial: 77n, zones, ingress: [dropAll], egress: [dropAll] });
    const frame = tagged(ssh6, etherType.qinq, etherType.vlan);
    const before = lab.addon.bootNs();
    const [event] = await run(frame);
    if (event === undefined) throw new Error('no event');
    const { head, ...packet } = event;
    t.ok(head.bootNs >= before && head.bootNs <= lab.addon.bootNs(), 'boot time');
    t.match(head, {
      serial: 77n,
      rule: 9,
      kind: 1,
      size: HuskPacketEvent.size,
      hook: HuskHook.XDP_INGRESS,
      verdict: HuskVerdict.DROP,
      mode: HuskMode.ENFORCE,
      reason: HuskReason.RULE,
    });
    t.strictSame(packet, {
      saddr: new Uint8Array(addressBytes(from6)),
      daddr: new Uint8Array(addressBytes(to6)),
      ifindex: testRunIfindex,
      length: frame.length,
      sport: 40000,
      dport: 22,
      etherType: etherType.ipv6,
      ipProto: protocol.tcp,
      tcpFlags: 0x12,
      family: HUSK_FAMILY_IPV6,
      fragment: 0,
      state: 0,
      icmpType: 0,
      icmpCode: 0,
      link: HUSK_LINK_ETHERNET,
      outerVlan: 0x1005,
      dataLength: 64,
      cameBy: 0,
      data: new Uint8Array(frame.subarray(0, 64)),
    });
    const [other] = await run(ethernet(0x88cc, Buffer.alloc(46)), 'egress');
    t.match(other, {
      head: { hook: HuskHook.TC_EGRESS },
      etherType: 0x88cc,
      family: HUSK_FAMILY_OTHER,
      sport: 0,
      dport: 0,
    });
    const [later] = await run(ipv4(protocol.udp, udp(), { fragment: 5 }));
    t.match(later, { ipProto: 17, sport: 0, dport: 0, fragment: 2 });
  });

  await t.test('monitor mode is said to be monitor mode; a default is a default', async (t) => {
    await lab.fill(0, {
      zones: { [testRunIfindex]: { ingressDefault: HuskVerdict.DROP, ingressDefaultRule: 8 } },
      ingress: [{ ...dropAll, mode: HuskMode.MONITOR }],
    });
    const events = await run(ssh6);
    t.match(
      events.map(({ head }) => ({ ...head })),
      [
        { rule: 9, mode: HuskMode.MONITOR, verdict: HuskVerdict.DROP, reason: HuskReason.RULE },
        { rule: 8, mode: HuskMode.ENFORCE, verdict: HuskVerdict.DROP, reason: HuskReason.DEFAULT },
      ],
    );
  });

  await t.test('an unparseable packet that was dropped is told', async (t) => {
    await lab.fill(0, { zones, unparseable: HuskVerdict.DROP });
    const [event] = await run(ipv4(protocol.tcp, tcp(), { totalLength: 9999 }));
    t.match(event?.head, { rule: HUSK_RULE_NONE, reason: HuskReason.UNPARSEABLE, verdict: HuskVerdict.DROP });
    t.equal(event?.etherType, etherType.ipv4);
  });

  await t.test('what comes in under an own address is told, dropped or not', async (t) => {
    const own = lab.map('own_addresses');
    lab.addon.update(own, addressBytes(from6), new Uint8Array(4));
    t.teardown(() => lab.addon.remove(own, addressBytes(from6)));
    const connections = { isFollowed: HUSK_FOLLOWS_ALL };
    const head = { rule: HUSK_RULE_NONE, verdict: HuskVerdict.DROP, reason: HuskReason.OWN_SOURCE };
    const dropped = lab.total(HuskTotal.OWN_SOURCE);
    await lab.fill(0, { zones: { [testRunIfindex]: { flags: HUSK_ZONE_ENFORCES } }, connections });
    const stopped = await run(ssh6);
    t.match(stopped, [{ head: { ...head, mode: HuskMode.ENFORCE } }]);
    t.equal(lab.total(HuskTotal.OWN_SOURCE), dropped + 1n);

    await lab.fill(0, { zones, connections });
    const passed = await run(ssh6);
    t.match(passed, [{ head: { ...head, mode: HuskMode.MONITOR } }]);
    t.equal(lab.total(HuskTotal.OWN_SOURCE), dropped + 1n, 'not stopped');

    await lab.fill(0, { zones: { [testRunIfindex]: { flags: HUSK_ZONE_ENFORCES } } });
    t.strictSame(await run(ssh6), [], 'no rule asks for connections');
  });

  await t.test('allows are not told, of whatever mode', async (t) => {
    const allow = { rule: 9, verdict: HuskVerdict.ALLOW };
    await lab.fill(0, {
      zones,
      unparseable: HuskVerdict.ALLOW,
      ingress: [{ ...allow, mode: HuskMode.MONITOR }, allow],
    });
    t.strictSame(await run(ssh6), []);
    t.strictSame(await run(ipv4(protocol.tcp, tcp(), { totalLength: 9999 })), []);
  });

  await t.test('no more in a second than the budget; the rest is counted', async (t) => {
    await lab.fill(0, { zones, ingress: [dropAll] });
    lab.words.store(HuskControl.offset.packetEventsPerSecond, 0);
    const before = lab.total(HuskTotal.PACKET_EVENTS_SUPPRESSED);
    t.strictSame(await run(ssh6), [], 'a budget of none');
    t.equal(lab.total(HuskTotal.PACKET_EVENTS_SUPPRESSED), before + 1n);

    lab.words.store(HuskControl.offset.packetEventsPerSecond, 5);
    const packets = 4000;
    const start = lab.bootSeconds;
    const events = await lab.packetEvents(() => {
      lab.addon.testRun(lab.program('husk_xdp_ingress'), ssh6, { repeat: packets });
    });
    const seconds = lab.bootSeconds - start + 1;
    t.ok(
      events.length >= 1 && events.length <= 5 * seconds * lab.addon.possibleCpus(),
      `${events.length} in ${seconds} s`,
    );
    t.equal(lab.total(HuskTotal.PACKET_EVENTS_SUPPRESSED), before + 1n + BigInt(packets - events.length));

    lab.spendPacketEvents(5);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    t.equal((await run(ssh6)).length, 1, 'the next second has room again');
    lab.words.store(HuskControl.offset.packetEventsPerSecond, 0xffff_ffff);
  });

  await t.test('one in so many where a rule says so, the first among them', async (t) => {
    let unused = 20;
    const told = async (rule: PlainRule, packets: number) => {
      const fresh = unused++;
      await lab.fill(0, { zones, ingress: [{ ...rule, rule: fresh }] });
      const events = await lab.packetEvents(() => {
        lab.addon.testRun(lab.program('husk_xdp_ingress'), ssh6, { repeat: packets });
      });
      t.ok(events.every(({ head }) => head.rule === fresh));
      return events.length;
    };
    for (const [name, rule] of Object.entries({
      'an allow': { verdict: HuskVerdict.ALLOW },
      'a log': { verdict: HuskVerdict.LOG },
      'a drop': { verdict: HuskVerdict.DROP },
      'a reject': { verdict: HuskVerdict.REJECT },
      'a drop in monitor mode': { verdict: HuskVerdict.DROP, mode: HuskMode.MONITOR },
    })) {
      t.equal(await told({ ...rule, logSample: 10 }, 31), 4, name);
      t.equal(await told({ ...rule, logSample: 1 }, 7), 7, `${name}, each`);
    }
  });

  await t.test('what a full ring has no room for is counted as lost', async (t) => {
    const before = lab.total(HuskTotal.PACKET_EVENTS_LOST);
    // Each record takes its size and a head of 8 bytes.
    const packets = Math.ceil(HUSK_PACKET_RING_BYTES / (HuskPacketEvent.size + 8)) + 1000;
    const events = await lab.packetEvents(() => {
      lab.addon.testRun(lab.program('husk_xdp_ingress'), ssh6, { repeat: packets });
    });
    const lost = lab.total(HuskTotal.PACKET_EVENTS_LOST) - before;
    t.ok(lost > 0n, `${lost} lost`);
    t.equal(BigInt(events.length) + lost, BigInt(packets));
  });

  await t.test('a refused call that a full ring has no room for is counted as lost', async (t) => {
    const cgroup = lab.callCgroup();
    const deny = { rule: 3, calls: HUSK_CALL_CONNECT, verdict: HuskVerdict.DENY };
    await lab.fill(0, { subjects: new Map([[lab.cgroupId(cgroup), 1n]]), calls: [deny] });
    const call: CanaryCall = {
      call: 'connect',
      family: 4,
      type: 2,
      protocol: 0,
      address: new Uint8Array(addressBytes('192.0.2.1')),
      port: 9,
    };
    const before = lab.total(HuskTotal.CALL_EVENTS_LOST);
    const room = Math.ceil(HUSK_CALL_RING_BYTES / (HuskCallEvent.size + 8));
    let refused = 0;
    const events = await lab.callEvents(async () => {
      while (refused < room + 200) {
        const errnos = await lab.addon.canary(cgroup, new Array<CanaryCall>(callsAtOnce).fill(call));
        refused += errnos.filter((errno) => errno === EPERM).length;
        if (refused === 0) throw new Error('no call was refused');
      }
    });
    const lost = lab.total(HuskTotal.CALL_EVENTS_LOST) - before;
    t.ok(lost > 0n, `${lost} lost`);
    t.equal(BigInt(events.length) + lost, BigInt(refused));
  });
});
