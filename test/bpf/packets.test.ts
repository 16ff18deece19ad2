// Goal: a packet gets the verdict of the first rule in force that matches, else its zone's default; monitor
// mode, never-drop, unzoned interfaces and missing tables as bpf/README.md says.
// Method: hand-written tables, frames through the twins and the live programs under BPF_PROG_TEST_RUN. Each
// condition is tried on frames it must match and on frames it must not.

import t from 'tap';
import {
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HUSK_NEVER_DROP_ARP,
  HUSK_NEVER_DROP_DHCP_CLIENT,
  HUSK_NEVER_DROP_DHCP_SERVER,
  HUSK_NEVER_DROP_NEIGHBOURS,
  HUSK_RULE_NONE,
  HuskMode,
  HuskReason,
  HuskTable,
  HuskTotal,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import { ethernet, etherType, icmp, ipv4, ipv6, protocol, sctp, tagged, tcp, udp } from './frames.ts';
import {
  directions,
  type PlainGeneration,
  type PlainRule,
  ProgramLab,
  programsMissing,
  testRunIfindex,
} from './lab.ts';

const skip = programsMissing();
const ssh4 = ipv4(protocol.tcp, tcp());
const ssh6 = ipv6(protocol.tcp, tcp());
const dns4 = ipv4(protocol.udp, udp());
const dns6 = ipv6(protocol.udp, udp());
const ping4 = ipv4(protocol.icmp, icmp(8));
const lldp = ethernet(0x88cc, Buffer.alloc(46));

/** The same rules both ways, on the interface of TEST_RUN. */
const both = (rules: readonly PlainRule[], rest: PlainGeneration = {}): PlainGeneration => ({
  zones: { [testRunIfindex]: {} },
  ingress: rules,
  egress: rules,
  ...rest,
});
const drop = (rule: number, conditions: PlainRule = {}): PlainRule => ({
  rule,
  verdict: HuskVerdict.DROP,
  ...conditions,
});
const allow = (rule: number, conditions: PlainRule = {}): PlainRule => ({
  rule,
  verdict: HuskVerdict.ALLOW,
  ...conditions,
});
const monitor = (rule: PlainRule): PlainRule => ({ ...rule, mode: HuskMode.MONITOR });

t.test('packets', { skip }, async (t) => {
  const lab = await ProgramLab.open();
  t.teardown(() => lab.close());

  const conditions: readonly {
    readonly name: string;
    readonly rule: PlainRule;
    readonly sets?: Record<string, readonly string[]>;
    readonly matches: readonly Uint8Array[];
    readonly passes: readonly Uint8Array[];
  }[] = [
    { name: 'no condition', rule: {}, matches: [ssh4, ssh6, dns4, ping4, lldp], passes: [] },
    {
      name: 'the source prefix',
      rule: { from: '192.0.2.0/25' },
      matches: [ssh4, ipv4(protocol.tcp, tcp(), { from: '192.0.2.127' })],
      passes: [ipv4(protocol.tcp, tcp(), { from: '192.0.2.128' }), ssh6, lldp],
    },
    {
      name: 'the destination prefix',
      rule: { to: '198.51.100.1/32' },
      matches: [ssh4],
      passes: [ipv4(protocol.tcp, tcp(), { to: '198.51.100.0' }), ssh6],
    },
    {
      name: 'an IPv6 prefix across the middle of the address',
      rule: { from: '2001:db8::/67' },
      matches: [ssh6, ipv6(protocol.tcp, tcp(), { from: '2001:db8::1fff:0:0:1' })],
      passes: [ipv6(protocol.tcp, tcp(), { from: '2001:db8::2000:0:0:1' }), ssh4],
    },
    {
      name: 'an IPv6 destination',
      rule: { to: '2001:db8:1::1/128' },
      matches: [ssh6],
      passes: [ipv6(protocol.tcp, tcp(), { to: '2001:db8:1::2' })],
    },
    {
      name: 'not from',
      rule: { from: { not: '192.0.2.0/24' } },
      matches: [ipv4(6, tcp(), { from: '192.0.3.1' }), ssh6],
      passes: [ssh4, lldp],
    },
    {
      name: 'not to',
      rule: { to: { not: '198.51.100.0/24' } },
      matches: [ipv4(6, tcp(), { to: '198.51.101.1' })],
      passes: [ssh4],
    },
    {
      name: 'a source set',
      rule: { from: { set: 'meant' } },
      sets: { other: ['192.0.2.64/26'], meant: ['192.0.2.0/26', '2001:db8::/64'] },
      matches: [ssh4, ssh6],
      passes: [ipv4(6, tcp(), { from: '192.0.2.65' }), ipv4(6, tcp(), { from: '192.0.3.1' }), lldp],
    },
    {
      name: 'a destination set',
      rule: { to: { set: 'meant' } },
      sets: { meant: ['198.51.100.1', '2001:db8:1::1'], other: ['203.0.113.0/24'] },
      matches: [ssh4, ssh6],
      passes: [ipv4(6, tcp(), { to: '198.51.100.2' }), ipv4(6, tcp(), { to: '203.0.113.1' })],
    },
    {
      name: 'the last of as many sets as there may be',
      rule: { from: { set: 'h' } },
      sets: { a: [], b: ['::/0'], c: [], d: [], e: [], f: [], g: ['0.0.0.0/0'], h: ['192.0.2.1'] },
      matches: [ssh4],
      passes: [ssh6],
    },
    {
      name: 'not from a set',
      rule: { from: { set: 'meant', not: true } },
      sets: { meant: ['192.0.2.0/24'] },
      matches: [ssh6, ipv4(6, tcp(), { from: '192.0.3.1' })],
      passes: [ssh4],
    },
    {
      name: 'one set as source and another, negated, as destination',
      rule: { from: { set: 'near' }, to: { set: 'far', not: true } },
      sets: { near: ['192.0.2.0/24'], far: ['198.51.100.1'] },
      matches: [ipv4(6, tcp(), { to: '198.51.100.2' })],
      passes: [ssh4, ssh6, ipv4(6, tcp(), { from: '192.0.3.1', to: '198.51.100.2' }), lldp],
    },
    {
      name: 'a set of which the other side is none',
      rule: { to: { set: 'meant' } },
      sets: { meant: ['192.0.2.0/24'] },
      matches: [ipv4(6, tcp(), { to: '192.0.2.9' })],
      passes: [ssh4],
    },
    { name: 'the family IPv4', rule: { families: HUSK_FAMILY_IPV4 }, matches: [ssh4], passes: [ssh6, lldp] },
    { name: 'the family IPv6', rule: { families: HUSK_FAMILY_IPV6 }, matches: [ssh6], passes: [ssh4, lldp] },
    {
      name: 'an IPv4 prefix, and not the same address mapped into an IPv6 packet',
      rule: { from: '192.0.2.0/24', families: HUSK_FAMILY_IPV4 },
      matches: [ssh4],
      passes: [ipv6(6, tcp(), { from: '0:0:0:0:0:ffff:c000:201' })],
    },
    {
      name: 'any other EtherType',
      rule: { families: HUSK_FAMILY_OTHER },
      matches: [lldp, ethernet(46, Buffer.alloc(46))],
      passes: [ssh4, ssh6],
    },
    {
      name: 'the protocol',
      rule: { protocols: [17] },
      matches: [dns4, dns6],
      passes: [ssh4, ssh6, ping4],
    },
    {
      name: 'protocol 0, which nothing here has',
      rule: { protocols: [0] },
      matches: [],
      passes: [ssh4, dns6],
    },
    {
      name: 'a range of destination ports',
      rule: { dports: [22, 53] },
      matches: [ssh4, dns6, ipv4(protocol.sctp, sctp({ toPort: 40 }))],
      passes: [ipv4(6, tcp({ toPort: 21 })), ipv4(6, tcp({ toPort: 54 })), ping4, lldp],
    },
    {
      name: 'the last source port',
      rule: { sports: [65535, 65535] },
      matches: [ipv4(6, tcp({ fromPort: 65535 }))],
      passes: [ipv4(6, tcp({ fromPort: 65534 })), ipv4(6, tcp({ fromPort: 0 }))],
    },
    {
      name: 'port 0',
      rule: { dports: [0, 0] },
      matches: [ipv4(17, udp({ toPort: 0 }))],
      passes: [dns4, ping4],
    },
    {
      name: 'both port ranges at once',
      rule: { sports: [1024, 65535], dports: [22, 22] },
      matches: [ssh4],
      passes: [ipv4(6, tcp({ fromPort: 1023 })), ipv4(6, tcp({ toPort: 23 }))],
    },
    {
      name: 'TCP flags: SYN and not ACK',
      rule: { tcpFlags: { mask: 0x12, value: 0x02 } },
      matches: [ssh4, ipv4(6, tcp({ flags: 0xc2 }))],
      passes: [ipv4(6, tcp({ flags: 0x12 })), ipv4(6, tcp({ flags: 0x10 })), dns4],
    },
    {
      name: 'no TCP flag at all, which no other protocol matches',
      rule: { tcpFlags: { mask: 0xff, value: 0 } },
      matches: [ipv4(6, tcp({ flags: 0 }))],
      passes: [ssh4, dns4, ping4, lldp],
    },
    {
      name: 'all conditions together',
      rule: {
        from: '192.0.2.0/24',
        to: '198.51.100.0/24',
        protocols: [6],
        dports: [22, 22],
      },
      matches: [ssh4],
      passes: [
        ipv4(17, udp({ toPort: 22 })),
        ipv4(6, tcp(), { from: '192.0.3.1' }),
        ipv4(6, tcp(), { to: '198.51.101.1' }),
      ],
    },
  ];
  for (const { name, rule, sets, matches, passes } of conditions) {
    await t.test(`a rule matches by ${name}`, async (t) => {
      await lab.fill(0, both([drop(7, rule)], sets === undefined ? {} : { sets }));
      for (const direction of directions) {
        for (const [at, frame] of matches.entries()) {
          const said = lab.judge(direction, 0, frame);
          t.match(
            said,
            { verdict: HuskVerdict.DROP, reason: HuskReason.RULE, rule: 7 },
            `${direction}, matching ${at}`,
          );
        }
        for (const [at, frame] of passes.entries()) {
          const said = lab.judge(direction, 0, frame);
          t.match(
            said,
            { verdict: HuskVerdict.ALLOW, reason: HuskReason.DEFAULT },
            `${direction}, passing ${at}`,
          );
        }
      }
    });
  }

  await t.test('the first rule that matches decides, wherever in the list', async (t) => {
    const zone = { ingressDefault: HuskVerdict.DROP, egressDefault: HuskVerdict.DROP };
    // A word of the vectors, the small, the medium and the large table, and their last entries.
    for (const [count, places] of [
      [64, [0, 1, 62, 63]],
      [3900, [0, 64, 511, 512, 3899]],
      [10_000, [0, 4096, 9999]],
    ] as const) {
      const filler = Array.from({ length: count }, (_, at) =>
        drop(1, { from: `203.0.${at % 113}.${at % 251}` }),
      );
      for (const at of places) {
        const rules = filler.with(at, allow(100 + at, { from: '192.0.2.1/32' }));
        await lab.fill(0, both(rules, { zones: { [testRunIfindex]: zone } }));
        for (const direction of directions) {
          const said = lab.judge(direction, 0, ssh4);
          t.match(
            said,
            { verdict: HuskVerdict.ALLOW, rule: 100 + at },
            `${direction}, rule ${at} of ${count}`,
          );
          t.match(lab.judge(direction, 0, ssh6), { verdict: HuskVerdict.DROP, reason: HuskReason.DEFAULT });
        }
      }
    }
    await lab.fill(0, both([allow(1, { from: '192.0.2.0/24' }), drop(2), allow(3)]));
    t.match(lab.judge('ingress', 0, ssh4), { verdict: HuskVerdict.ALLOW, rule: 1 });
    t.match(lab.judge('ingress', 0, ssh6), { verdict: HuskVerdict.DROP, rule: 2 });
  });

  await t.test(
    'a rule holds in its zones only, and each direction has its own list and default',
    async (t) => {
      await lab.fill(0, {
        zones: {
          [testRunIfindex]: {
            zone: 3,
            ingressDefaultRule: 40,
            egressDefault: HuskVerdict.DROP,
            egressDefaultRule: 41,
          },
          77: { zone: 15, ingressDefault: HuskVerdict.DROP, ingressDefaultRule: 42 },
        },
        ingress: [
          drop(1, { zones: 1 << 3, from: '192.0.2.0/24' }),
          allow(2, { zones: 1 << 15, from: '192.0.2.0/24' }),
        ],
        egress: [allow(3, { zones: 1 << 3, from: '192.0.2.0/24' })],
      });
      t.match(lab.judge('ingress', 0, ssh4), { verdict: HuskVerdict.DROP, rule: 1 });
      t.match(lab.judge('ingress', 0, ssh6), {
        verdict: HuskVerdict.ALLOW,
        reason: HuskReason.DEFAULT,
        rule: 40,
      });
      t.match(lab.judge('ingress', 0, ssh4, 77), { verdict: HuskVerdict.ALLOW, rule: 2 });
      t.match(lab.judge('ingress', 0, ssh6, 77), {
        verdict: HuskVerdict.DROP,
        reason: HuskReason.DEFAULT,
        rule: 42,
      });
      t.match(lab.judge('egress', 0, ssh4), { verdict: HuskVerdict.ALLOW, rule: 3 });
      t.match(lab.judge('egress', 0, ssh6), {
        verdict: HuskVerdict.DROP,
        reason: HuskReason.DEFAULT,
        rule: 41,
      });
    },
  );

  await t.test('an interface in no zone is not judged', async (t) => {
    await lab.fill(0, both([drop(1)], { zones: { 77: {} } }));
    lab.setLive(0);
    const before = lab.total(HuskTotal.UNZONED);
    for (const direction of directions) {
      t.match(lab.judge(direction, 0, ssh4), {
        verdict: HuskVerdict.ALLOW,
        reason: HuskReason.UNZONED,
        rule: HUSK_RULE_NONE,
      });
      t.notOk(lab.isDropped(direction, ssh4));
    }
    t.equal(lab.total(HuskTotal.UNZONED), before + 3n);
  });

  await t.test('monitor mode is noted and not acted on, and judging goes on', async (t) => {
    await lab.fill(
      0,
      both([
        monitor(drop(1)),
        monitor(allow(2)),
        monitor(drop(3, { from: '203.0.113.0/24' })),
        drop(4, { from: '192.0.2.0/24' }),
      ]),
    );
    t.match(lab.judge('ingress', 0, ssh4), { verdict: HuskVerdict.DROP, rule: 4, monitored: 1 });
    t.match(lab.judge('egress', 0, ssh6), {
      verdict: HuskVerdict.ALLOW,
      reason: HuskReason.DEFAULT,
      monitored: 1,
    });
  });

  await t.test('a default in monitor mode allows and is noted', async (t) => {
    const zone = { ingressDefault: HuskVerdict.DROP, ingressDefaultRule: 50, ingressMode: HuskMode.MONITOR };
    await lab.fill(
      0,
      both([monitor(drop(1, { from: '192.0.2.0/24' }))], { zones: { [testRunIfindex]: zone } }),
    );
    t.match(lab.judge('ingress', 0, ssh6), {
      verdict: HuskVerdict.ALLOW,
      reason: HuskReason.DEFAULT,
      rule: 50,
      monitored: 50,
    });
    t.match(lab.judge('ingress', 0, ssh4), {
      verdict: HuskVerdict.ALLOW,
      reason: HuskReason.DEFAULT,
      rule: 50,
      monitored: 1,
    });
  });

  await t.test(
    'every rule in monitor mode that matches counts once, from the first to the last',
    async (t) => {
      const many = 300;
      const rules = Array.from({ length: many - 1 }, (_, at) => monitor(drop(200 + at)));
      await lab.fill(0, both([...rules, drop(199)]));
      lab.setLive(0);
      const numbers = Array.from({ length: many }, (_, at) => 199 + at);
      const before = numbers.map((rule) => lab.counter(rule).hits);
      t.ok(lab.isDropped('ingress', ssh4));
      t.strictSame(
        numbers.map((rule) => lab.counter(rule).hits),
        before.map((hits) => hits + 1n),
      );
      const events = await lab.packetEvents(() => {
        t.ok(lab.isDropped('egress', ssh4));
      });
      const mine = events.slice(-many);
      t.strictSame(
        mine.map((event) => event.head.rule),
        [...rules.map((rule) => rule.rule), 199],
        'in list order',
      );
    },
  );

  await t.test('what a device cannot do without is never dropped', async (t) => {
    const dhcp = (fromPort: number, toPort: number) => udp({ fromPort, toPort });
    const all4 = { to: '255.255.255.255' };
    const all6 = { to: 'ff02::1:2' };
    const nd = (type: number, hopLimit = 255, code = 0) =>
      ipv6(protocol.icmpv6, icmp(type, code), { hopLimit });
    await lab.fill(0, both([drop(1)], { zones: { [testRunIfindex]: { ingressDefault: HuskVerdict.DROP } } }));
    const never = {
      ARP: ethernet(etherType.arp, Buffer.alloc(28)),
      'ARP behind a tag': tagged(ethernet(etherType.arp, Buffer.alloc(28)), etherType.vlan),
      'DHCPv4 to a server': ipv4(17, dhcp(68, 67), all4),
      'DHCPv4 to a client': ipv4(17, dhcp(67, 68), all4),
      'DHCPv6 to a server': ipv6(17, dhcp(546, 547), all6),
      'DHCPv6 to a client': ipv6(17, dhcp(547, 546), all6),
      'router solicitation': nd(133),
      'router advertisement': nd(134),
      'neighbour solicitation': nd(135),
      'neighbour advertisement': nd(136),
      redirect: nd(137),
    };
    const dropped = {
      'DHCPv4 between relay and server': ipv4(17, dhcp(67, 67)),
      'DHCPv4 ports over TCP': ipv4(6, tcp({ fromPort: 68, toPort: 67 })),
      'DHCPv4 ports over IPv6': ipv6(17, dhcp(68, 67)),
      'DHCPv6 ports over IPv4': ipv4(17, dhcp(546, 547)),
      'one DHCPv4 port': ipv4(17, dhcp(40000, 67)),
      'one DHCPv6 port': ipv6(17, dhcp(547, 40000)),
      'DHCPv6 ports one off': ipv6(17, dhcp(545, 547)),
      'neighbour solicitation that crossed a router': nd(135, 254),
      'neighbour solicitation with a code': nd(135, 255, 1),
      'the types around': nd(132),
      'and above': nd(138),
      'an echo request': nd(128),
      'ICMPv6 in IPv4': ipv4(58, icmp(135), { ttl: 255 }),
      'a later fragment of DHCP': ipv4(17, dhcp(68, 67), { ...all4, fragment: 8 }),
    };
    for (const direction of directions) {
      for (const [name, frame] of Object.entries(never)) {
        t.match(
          lab.judge(direction, 0, frame),
          { verdict: HuskVerdict.ALLOW, reason: HuskReason.NEVER_DROP },
          `${direction} ${name}`,
        );
      }
      for (const [name, frame] of Object.entries(dropped)) {
        t.match(
          lab.judge(direction, 0, frame),
          { verdict: HuskVerdict.DROP, rule: 1 },
          `${direction} ${name}`,
        );
      }
    }
    const before = lab.total(HuskTotal.NEVER_DROP);
    t.notOk(lab.isDropped('ingress', never.ARP));
    t.equal(lab.total(HuskTotal.NEVER_DROP), before + 1n);
  });

  await t.test('each item of never-drop holds where the interface has it, and on its way only', async (t) => {
    const dhcp = (fromPort: number, toPort: number) =>
      ipv4(17, udp({ fromPort, toPort }), { to: '255.255.255.255' });
    const items: readonly [name: string, bit: number, frame: Uint8Array, ways: readonly string[]][] = [
      ['ARP', HUSK_NEVER_DROP_ARP, ethernet(etherType.arp, Buffer.alloc(28)), ['in', 'out']],
      [
        'neighbours',
        HUSK_NEVER_DROP_NEIGHBOURS,
        ipv6(protocol.icmpv6, icmp(135), { hopLimit: 255 }),
        ['in', 'out'],
      ],
      ['the client asks', HUSK_NEVER_DROP_DHCP_CLIENT, dhcp(68, 67), ['out']],
      ['the client is answered', HUSK_NEVER_DROP_DHCP_CLIENT, dhcp(67, 68), ['in']],
      ['the server is asked', HUSK_NEVER_DROP_DHCP_SERVER, dhcp(68, 67), ['in']],
      ['the server answers', HUSK_NEVER_DROP_DHCP_SERVER, dhcp(67, 68), ['out']],
    ];
    for (const [name, bit, frame, ways] of items) {
      for (const neverDrop of [bit, 31 & ~bit]) {
        await lab.fill(0, both([drop(1)], { zones: { [testRunIfindex]: { neverDrop } } }));
        for (const direction of directions) {
          const isOnItsWay = ways.includes(direction === 'egress' ? 'out' : 'in');
          // Client and server are asked for the same two packets, each the other way round.
          const isDhcp = bit >= HUSK_NEVER_DROP_DHCP_CLIENT;
          const isNever = neverDrop === bit ? isOnItsWay : isDhcp && !isOnItsWay;
          const reason = isNever ? HuskReason.NEVER_DROP : HuskReason.RULE;
          t.equal(lab.judge(direction, 0, frame).reason, reason, `${name}, ${direction}, ${neverDrop}`);
        }
      }
    }
  });

  await t.test('a slot without a table allows, and that is counted', async (t) => {
    const zones = { [testRunIfindex]: { ingressDefault: HuskVerdict.DROP, egressDefault: HuskVerdict.DROP } };
    lab.setLive(0);
    const { GENERATION, ZONES, INGRESS, INGRESS_EXTRA, INGRESS_CLASSES, BIG4 } = HuskTable;
    const { EGRESS, EGRESS_EXTRA, EGRESS_CLASSES } = HuskTable;
    const of = {
      ingress: [INGRESS, INGRESS_EXTRA, INGRESS_CLASSES],
      tcIngress: [INGRESS, INGRESS_EXTRA, INGRESS_CLASSES],
      egress: [EGRESS, EGRESS_EXTRA, EGRESS_CLASSES],
    } as const;
    for (const kind of [GENERATION, ZONES, ...of.ingress, ...of.egress]) {
      const rule = drop(1, { from: { set: 'all' }, extra: {} });
      await lab.fill(0, both([rule], { zones, sets: { all: ['0.0.0.0/0'] }, without: [kind] }));
      const before = lab.total(HuskTotal.NO_GENERATION);
      let missed = 0n;
      for (const direction of directions) {
        const needed: readonly number[] = [GENERATION, ZONES, ...of[direction]];
        const isNeeded = needed.includes(kind);
        const said = lab.judge(direction, 0, ssh4);
        const reason = isNeeded ? HuskReason.NO_GENERATION : HuskReason.RULE;
        t.equal(said.reason, reason, `${direction} without ${kind}`);
        t.equal(lab.isDropped(direction, ssh4), !isNeeded);
        if (isNeeded) missed++;
      }
      t.equal(lab.total(HuskTotal.NO_GENERATION), before + missed, `${kind}`);
    }
    // A big set may have no addresses of a family, and then has no table.
    await lab.fill(
      0,
      both([drop(1, { from: { set: 'all' } })], { sets: { all: ['0.0.0.0/0'] }, without: [BIG4] }),
    );
    t.match(lab.judge('ingress', 0, ssh4), { verdict: HuskVerdict.ALLOW, reason: HuskReason.DEFAULT });
    await lab.empty(0);
    t.match(lab.judge('ingress', 0, ssh4), { verdict: HuskVerdict.ALLOW, reason: HuskReason.NO_GENERATION });
    t.notOk(lab.isDropped('ingress', ssh4));
  });

  await t.test('each slot has its own generation', async (t) => {
    await lab.fill(0, both([drop(1)], { serial: 10n }));
    await lab.fill(
      1,
      both([allow(2)], { serial: 11n, zones: { [testRunIfindex]: { ingressDefault: HuskVerdict.DROP } } }),
    );
    t.match(lab.judge('ingress', 0, ssh4), { verdict: HuskVerdict.DROP, rule: 1 });
    t.match(lab.judge('ingress', 1, ssh4), { verdict: HuskVerdict.ALLOW, rule: 2 });
    lab.setLive(0);
    t.ok(lab.isDropped('ingress', ssh4));
    lab.setLive(1);
    t.notOk(lab.isDropped('ingress', ssh4));
    t.match(
      lab.judge('ingress', 0, ssh4),
      { verdict: HuskVerdict.DROP },
      'a twin judges by the slot it is told',
    );
    lab.setLive(0);
  });

  await t.test('rules and defaults count hits and bytes; twins count nothing', async (t) => {
    const zones = { [testRunIfindex]: { ingressDefault: HuskVerdict.DROP, ingressDefaultRule: 300 } };
    await lab.fill(
      0,
      both(
        [
          drop(301, { from: '192.0.2.0/24' }),
          monitor(drop(302)),
          allow(303, { families: HUSK_FAMILY_OTHER }),
        ],
        { zones },
      ),
    );
    lab.setLive(0);
    const numbers = [300, 301, 302, 303];
    const quiet = lab.snapshot(numbers);
    const events = await lab.packetEvents(() => {
      for (const frame of [ssh4, ssh6, lldp]) lab.judge('ingress', 0, frame);
      t.equal(lab.snapshot(numbers), quiet, 'twins leave no trace');
    });
    t.equal(events.filter((event) => numbers.includes(event.head.rule)).length, 0, 'nor an event');
    const before = numbers.map((rule) => lab.counter(rule));
    const seen = lab.total(HuskTotal.INGRESS);
    for (const frame of [ssh4, ssh4, ssh6, lldp]) lab.isDropped('ingress', frame);
    const added = numbers.map((rule, at) => {
      const now = lab.counter(rule);
      return [now.hits - (before[at]?.hits ?? 0n), now.bytes - (before[at]?.bytes ?? 0n)];
    });
    t.strictSame(added, [
      [1n, BigInt(ssh6.length)],
      [2n, BigInt(ssh4.length * 2)],
      [2n, BigInt(ssh6.length + lldp.length)],
      [1n, BigInt(lldp.length)],
    ]);
    t.equal(lab.total(HuskTotal.INGRESS), seen + 4n);
  });

  await t.test('a default in monitor mode is counted once', async (t) => {
    await lab.fill(
      0,
      both([], {
        zones: {
          [testRunIfindex]: {
            ingressDefault: HuskVerdict.DROP,
            ingressDefaultRule: 310,
            ingressMode: HuskMode.MONITOR,
          },
        },
      }),
    );
    const before = lab.counter(310).hits;
    t.notOk(lab.isDropped('ingress', ssh4));
    t.equal(lab.counter(310).hits, before + 1n);
  });

  await t.test('a counter index past the end is no harm', async (t) => {
    await lab.fill(0, both([drop(1 << 20, { from: '192.0.2.0/24' }), monitor(drop(HUSK_RULE_NONE))]));
    t.ok(lab.isDropped('ingress', ssh4));
    t.notOk(lab.isDropped('ingress', ssh6));
  });
});
