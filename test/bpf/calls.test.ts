// Goal: connect, sendto, bind and socket of tasks with a subject are judged by the first rule that matches,
// and refused with EPERM; those of anyone else are left alone. The canary is judged by the slot it is told.
// Method: real calls by children in cgroups of the test's own, in an empty network namespace: what is
// allowed fails for want of a network, or succeeds; what is refused gets EPERM.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  HUSK_CALL_BIND,
  HUSK_CALL_CONNECT,
  HUSK_CALL_RULES_MAX,
  HUSK_CALL_SOCKET,
  HUSK_CGROUP_DEPTH_MAX,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_MATCH_PORTS,
  HUSK_MATCH_PROTOCOL,
  HUSK_NOT_TO,
  HUSK_RULE_NONE,
  HuskCallEvent,
  HuskHook,
  HuskMode,
  HuskReason,
  HuskTable,
  HuskTotal,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { CanaryCall } from '../../native/index.ts';
import { addressBytes } from '../lab/frame.ts';
import { type PlainCallRule, ProgramLab, programsMissing } from './lab.ts';

const EPERM = 1;
const [stream, datagram, raw] = [1, 2, 3];
const [inet, inet6, packetFamily] = [2, 10, 17];
const subject = 1n << 5n;

type Address = 'connect' | 'sendto' | 'bind';
const to = (
  call: Address,
  address: string,
  port: number,
  type = call === 'sendto' ? datagram : stream,
): CanaryCall => {
  const bytes = new Uint8Array(addressBytes(address));
  return { call, family: bytes.length === 4 ? 4 : 6, type: type ?? 0, protocol: 0, address: bytes, port };
};
const mapped = (call: Address, port: number): CanaryCall => to(call, '0:0:0:0:0:ffff:c000:201', port); // 192.0.2.1
const open = (family: number | undefined, type: number | undefined, protocol = 0): CanaryCall => ({
  call: 'socket',
  family: family ?? 0,
  type: type ?? 0,
  protocol,
});

const deny = (rule: number, conditions: PlainCallRule = {}): PlainCallRule => ({
  rule,
  verdict: HuskVerdict.DENY,
  ...conditions,
});
const allow = (rule: number, conditions: PlainCallRule = {}): PlainCallRule => ({
  rule,
  verdict: HuskVerdict.ALLOW,
  ...conditions,
});
const monitor = (rule: PlainCallRule): PlainCallRule => ({ ...rule, mode: HuskMode.MONITOR });
/** So that the socket itself may be made. */
const onConnect = { calls: HUSK_CALL_CONNECT };

t.test('calls', { skip: programsMissing() }, async (t) => {
  const lab = await ProgramLab.open();
  t.teardown(() => lab.close());
  const root = lab.callCgroup();
  const service = join(root, 'service');
  const worker = join(service, 'worker');
  const other = join(root, 'other');
  for (const path of [service, worker, other]) mkdirSync(path);
  const subjects = new Map([[lab.cgroupId(service), subject]]);
  lab.setLive(0);

  const fill = (calls: readonly PlainCallRule[], callSets: Record<string, bigint> = {}) =>
    lab.fill(0, { serial: 5n, subjects, calls, callSets });
  /** For each call: was it refused? */
  const refused = async (cgroup: string, calls: readonly CanaryCall[]): Promise<boolean[]> =>
    (await lab.addon.canary(cgroup, calls)).map((errno) => errno === EPERM);

  await t.test('a task with the subject is refused, one without is left alone', async (t) => {
    await fill([deny(1, onConnect)]);
    const call = to('connect', '192.0.2.1', 80);
    t.strictSame(await refused(service, [call]), [true]);
    t.strictSame(await refused(worker, [call]), [true], "a descendant has its ancestors' subjects");
    t.strictSame(await refused(other, [call]), [false]);
    t.strictSame(await refused(root, [call]), [false], "a subject is not the parent's");
    const [errno] = await lab.addon.canary(other, [call]);
    t.equal(errno, 101, 'ENETUNREACH, as without Husk');
  });

  await t.test('rules of other subjects are no concern', async (t) => {
    await fill([deny(1, { ...onConnect, subjects: subject << 1n })]);
    t.strictSame(await refused(service, [to('connect', '192.0.2.1', 80)]), [false]);
    await fill([deny(1, { ...onConnect, subjects: (subject << 1n) | subject })]);
    t.strictSame(await refused(service, [to('connect', '192.0.2.1', 80)]), [true]);
  });

  await t.test('a task has the subjects of all its ancestors together', async (t) => {
    const two = new Map([...subjects, [lab.cgroupId(worker), 1n]]);
    await lab.fill(0, {
      subjects: two,
      calls: [
        deny(1, { ...onConnect, subjects: 1n, portFirst: 1, portLast: 1, flags: HUSK_MATCH_PORTS }),
        deny(2, { ...onConnect, subjects: subject, portFirst: 2, portLast: 2, flags: HUSK_MATCH_PORTS }),
      ],
    });
    const calls = [
      to('connect', '192.0.2.1', 1),
      to('connect', '192.0.2.1', 2),
      to('connect', '192.0.2.1', 3),
    ];
    t.strictSame(await refused(worker, calls), [true, true, false]);
    t.strictSame(await refused(service, calls), [false, true, false]);
  });

  await t.test(
    "ancestors count down to the depth that is followed, and the task's own cgroup at any",
    async (t) => {
      const path = Array.from({ length: HUSK_CGROUP_DEPTH_MAX + 2 }, (_, level) => `level${level}`);
      const at = (depth: number) => join(root, ...path.slice(0, depth));
      for (let depth = 1; depth <= path.length; depth++) mkdirSync(at(depth));
      const call = to('connect', '192.0.2.1', 80);
      await lab.fill(0, { subjects: new Map([[lab.cgroupId(at(1)), 1n]]), calls: [deny(1, onConnect)] });
      t.strictSame(await refused(at(path.length), [call]), [true], 'a high ancestor');
      await lab.fill(0, {
        subjects: new Map([[lab.cgroupId(at(path.length)), 1n]]),
        calls: [deny(1, onConnect)],
      });
      t.strictSame(await refused(at(path.length), [call]), [true], 'its own');
      t.strictSame(await refused(at(path.length - 1), [call]), [false]);
    },
  );

  await t.test('connect and sendto over IPv4, IPv6 and IPv4 in IPv6 clothes', async (t) => {
    const calls = [
      to('connect', '192.0.2.1', 80),
      to('connect', '192.0.2.1', 80, datagram),
      mapped('connect', 80),
      to('sendto', '192.0.2.1', 80),
      mapped('sendto', 80),
      to('connect', '2001:db8::1', 80),
      to('sendto', '2001:db8::1', 80),
      to('connect', '192.0.3.1', 80),
      to('sendto', '192.0.3.1', 80),
    ];
    await fill([deny(1, { ...onConnect, to: '192.0.2.0/24' })]);
    t.strictSame(
      await refused(service, calls),
      [true, true, true, true, true, false, false, false, false],
      'a prefix of IPv4',
    );
    await fill([deny(1, { ...onConnect, to: '2001:db8::/32' })]);
    t.strictSame(
      await refused(service, calls),
      [false, false, false, false, false, true, true, false, false],
      'a prefix of IPv6',
    );
    await fill([deny(1, { ...onConnect, families: HUSK_FAMILY_IPV4 })]);
    t.strictSame(
      await refused(service, calls),
      [true, true, true, true, true, false, false, true, true],
      'the family IPv4',
    );
    await fill([deny(1, { ...onConnect, families: HUSK_FAMILY_IPV6 })]);
    t.strictSame(
      await refused(service, calls),
      [false, false, false, false, false, true, true, false, false],
      'the family IPv6',
    );
    await fill([deny(1, { ...onConnect, to: '192.0.2.0/24', flags: HUSK_NOT_TO })]);
    t.strictSame(
      await refused(service, calls),
      [false, false, false, false, false, true, true, true, true],
      'all but a prefix',
    );
    await fill([deny(1, { ...onConnect, toSets: 2n })], { '192.0.2.1/32': 2n, '2001:db8::1/128': 1n });
    t.strictSame(
      await refused(service, calls),
      [true, true, true, true, true, false, false, false, false],
      'a set',
    );
    await fill([deny(1, { ...onConnect, toSets: 1n, flags: HUSK_NOT_TO })], { '192.0.0.0/16': 1n });
    t.strictSame(
      await refused(service, calls),
      [false, false, false, false, false, true, true, false, false],
      'all but a set',
    );
  });

  await t.test('ports and protocols', async (t) => {
    const calls = [
      to('connect', '192.0.2.1', 79),
      to('connect', '192.0.2.1', 80),
      to('connect', '2001:db8::1', 81),
      to('sendto', '192.0.2.1', 80),
    ];
    await fill([deny(1, { ...onConnect, portFirst: 80, portLast: 81, flags: HUSK_MATCH_PORTS })]);
    t.strictSame(await refused(service, calls), [false, true, true, true]);
    await fill([deny(1, { ...onConnect, ipProto: 17, flags: HUSK_MATCH_PROTOCOL })]);
    t.strictSame(await refused(service, calls), [false, false, false, true]);
    await fill([deny(1, { ...onConnect, ipProto: 6, flags: HUSK_MATCH_PROTOCOL })]);
    t.strictSame(await refused(service, calls), [true, true, true, false]);
  });

  await t.test('bind', async (t) => {
    const calls = [
      to('bind', '0.0.0.0', 8080),
      to('bind', '0.0.0.0', 8081),
      to('bind', '::', 8080),
      to('bind', '0.0.0.0', 8080, datagram),
    ];
    await fill([
      deny(1, { calls: HUSK_CALL_BIND, portFirst: 8080, portLast: 8080, flags: HUSK_MATCH_PORTS }),
    ]);
    t.strictSame(await lab.addon.canary(service, calls), [EPERM, 0, EPERM, EPERM]);
    t.strictSame(await lab.addon.canary(other, calls.slice(0, 2)), [0, 0]);
    await fill([deny(1, onConnect)]);
    t.strictSame(
      await refused(service, calls),
      [false, false, false, false],
      'a rule on connect is none on bind',
    );
  });

  await t.test('sockets by family, type and protocol', async (t) => {
    const calls = [
      open(inet, stream),
      open(inet, datagram),
      open(inet, raw, 1),
      open(inet6, raw, 58),
      open(inet6, stream),
    ];
    const onSocket = { calls: HUSK_CALL_SOCKET };
    await fill([deny(1, { ...onSocket, socketTypes: 1 << 3 })]);
    t.strictSame(await lab.addon.canary(service, calls), [0, 0, EPERM, EPERM, 0], 'raw sockets');
    await fill([deny(1, { ...onSocket, socketFamilies: 1 << 10 })]);
    t.strictSame(await lab.addon.canary(service, calls), [0, 0, 0, EPERM, EPERM], 'IPv6');
    await fill([deny(1, { ...onSocket, ipProto: 1, flags: HUSK_MATCH_PROTOCOL })]);
    t.strictSame(await lab.addon.canary(service, calls), [0, 0, EPERM, 0, 0], 'ICMP');
    await fill([deny(1, onSocket)]);
    t.strictSame(await lab.addon.canary(service, calls), Array(5).fill(EPERM), 'all');
    t.strictSame(
      await lab.addon.canary(service, [open(packetFamily, raw)]),
      [0],
      'the kernel does not ask for AF_PACKET',
    );
  });

  await t.test('the first rule decides, wherever in the list; none allows', async (t) => {
    const call = to('connect', '192.0.2.1', 80);
    const filler = Array.from({ length: HUSK_CALL_RULES_MAX }, () =>
      deny(1, { ...onConnect, to: '203.0.113.9/32' }),
    );
    for (const at of [0, 63, 64, HUSK_CALL_RULES_MAX - 1]) {
      await fill(filler.with(at, deny(2, { ...onConnect, to: '192.0.2.1/32' })));
      t.strictSame(await refused(service, [call]), [true], `${at}`);
    }
    await fill(filler);
    t.strictSame(await refused(service, [call]), [false]);
    await fill([allow(1, { ...onConnect, to: '192.0.2.1/32' }), deny(2, onConnect)]);
    t.strictSame(await refused(service, [call, to('connect', '192.0.2.2', 80)]), [false, true]);
    await fill(filler.with(3, allow(1, onConnect)).with(100, deny(2, onConnect)));
    t.strictSame(await refused(service, [call]), [false], 'an allowance in the first part ends the walk');
  });

  await t.test('refusals are counted and told; so is what monitor mode would have refused', async (t) => {
    await fill([
      monitor(allow(400, onConnect)),
      monitor(deny(401, onConnect)),
      monitor(deny(402, { ...onConnect, isDefault: 1 })),
      deny(403, { ...onConnect, portFirst: 80, portLast: 80, flags: HUSK_MATCH_PORTS }),
      allow(404, { ...onConnect, isDefault: 1 }),
    ]);
    const rules = [400, 401, 402, 403, 404];
    const before = rules.map((rule) => lab.counter(rule).hits);
    const calls = lab.total(HuskTotal.CALLS);
    const events = await lab.callEvents(async () => {
      t.strictSame(await refused(worker, [mapped('connect', 80), to('sendto', '2001:db8::1', 81)]), [
        true,
        false,
      ]);
    });
    t.strictSame(
      rules.map((rule, at) => lab.counter(rule).hits - (before[at] ?? 0n)),
      [2n, 2n, 2n, 1n, 1n],
    );
    t.ok(lab.total(HuskTotal.CALLS) >= calls + 2n);
    const mine = events.filter(
      ({ cgroup, head }) => cgroup === lab.cgroupId(worker) && rules.includes(head.rule),
    );
    t.match(
      mine.map(({ head, ...call }) => ({ ...head, ...call })),
      [
        {
          rule: 401,
          mode: HuskMode.MONITOR,
          verdict: HuskVerdict.DENY,
          reason: HuskReason.RULE,
          hook: HuskHook.CONNECT,
          port: 80,
        },
        {
          rule: 403,
          mode: HuskMode.ENFORCE,
          verdict: HuskVerdict.DENY,
          reason: HuskReason.RULE,
          hook: HuskHook.CONNECT,
          port: 80,
        },
        { rule: 401, mode: HuskMode.MONITOR, hook: HuskHook.SENDMSG, port: 81 },
      ],
    );
    t.equal(mine.length, 3);
    const [, first] = mine;
    t.match(first, {
      head: { serial: 5n, kind: 2, size: HuskCallEvent.size },
      addr: new Uint8Array(addressBytes('0:0:0:0:0:ffff:c000:201')),
      socketFamily: inet6,
      socketType: stream,
      ipProto: 6,
      call: HUSK_CALL_CONNECT,
      uid: 0,
      gid: 0,
      tid: Number,
      tgid: Number,
    });
    t.ok(first !== undefined && first.comm.length > 0 && first.tgid !== process.pid, `by ${first?.comm}`);
  });

  await t.test('a denying default is told as a default', async (t) => {
    await fill([deny(405, { ...onConnect, isDefault: 1 })]);
    const events = await lab.callEvents(async () => {
      t.strictSame(await refused(service, [to('connect', '192.0.2.1', 80)]), [true]);
    });
    t.match(events.at(-1)?.head, { rule: 405, reason: HuskReason.DEFAULT });
  });

  await t.test('a slot without a table allows, and that is counted', async (t) => {
    const call = to('connect', '192.0.2.1', 80);
    const { GENERATION, SUBJECTS, CALLS, CALL_SET4, CALL_SET6 } = HuskTable;
    for (const table of [GENERATION, SUBJECTS, CALLS, CALL_SET4, CALL_SET6]) {
      await lab.fill(0, { subjects, calls: [deny(1, onConnect)], without: [table] });
      const before = lab.total(HuskTotal.NO_GENERATION);
      const isNeeded = table !== CALL_SET6;
      t.strictSame(await refused(service, [call]), [!isNeeded], `${table}`);
      t.equal(lab.total(HuskTotal.NO_GENERATION) > before, isNeeded, `${table}`);
    }
  });

  await t.test('calls follow the live word', async (t) => {
    const call = to('connect', '192.0.2.1', 80);
    await lab.fill(0, { subjects, calls: [] });
    await lab.fill(1, { subjects, calls: [deny(1, onConnect)] });
    lab.setLive(1, lab.bootSeconds + 60);
    t.strictSame(await refused(service, [call]), [true], 'on trial');
    const word = lab.setLive(1, lab.bootSeconds);
    t.strictSame(await refused(service, [call]), [false], 'run out');
    t.equal(lab.expired, word);
    lab.setLive(1);
    t.strictSame(await refused(service, [call]), [true], 'confirmed');
    lab.setLive(0);
  });

  await t.test(
    'the canary is judged by the slot and the subjects it is told, and leaves no trace',
    async (t) => {
      const canary = join(root, 'canary');
      mkdirSync(canary);
      const call = to('connect', '192.0.2.1', 80);
      await fill([]);
      await lab.fill(1, {
        subjects: new Map(),
        calls: [
          monitor(deny(410, onConnect)),
          deny(411, { ...onConnect, subjects: subject }),
          allow(412, onConnect),
        ],
      });
      const label = {
        slot: 1,
        ifindex: 0,
        canaryCgroup: lab.cgroupId(canary),
        canaryOperation: 0,
        cameBy: 0,
        state: 0,
      };
      const quiet = lab.snapshot([410, 411, 412]);
      const events = await lab.callEvents(async () => {
        lab.setLabel({ ...label, canarySubjects: subject });
        const { runs } = lab.tried;
        t.strictSame(await lab.addon.canary(canary, [call]), [EPERM]);
        t.match(lab.tried, { verdict: HuskVerdict.DENY, reason: HuskReason.RULE, rule: 411, monitored: 410 });
        t.equal(lab.tried.runs, runs + 2, 'the socket and the connect');
        t.strictSame(await refused(other, [call]), [false], 'anyone else by the live slot');

        lab.setLabel({ ...label, canarySubjects: subject << 1n });
        t.strictSame(await refused(canary, [call]), [false]);
        t.match(lab.tried, {
          verdict: HuskVerdict.ALLOW,
          reason: HuskReason.RULE,
          rule: 412,
          monitored: 410,
        });

        lab.setLabel({ ...label, canarySubjects: 0n });
        t.strictSame(await refused(canary, [call]), [false]);
        t.match(lab.tried, {
          verdict: HuskVerdict.ALLOW,
          reason: HuskReason.NO_SUBJECT,
          rule: HUSK_RULE_NONE,
          monitored: HUSK_RULE_NONE,
        });
      });
      t.equal(lab.snapshot([410, 411, 412]), quiet);
      t.equal(events.filter(({ cgroup }) => cgroup === lab.cgroupId(canary)).length, 0);

      await lab.empty(1);
      lab.setLabel({ ...label, canarySubjects: subject });
      t.strictSame(await refused(canary, [call]), [false]);
      t.match(lab.tried, { verdict: HuskVerdict.ALLOW, reason: HuskReason.NO_GENERATION });
      lab.setLabel({ ...label, slot: 0, canaryCgroup: 0n, canarySubjects: 0n });
    },
  );
});
