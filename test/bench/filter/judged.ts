// What the live ingress program takes for a packet, above a program that only drops: under lists of rules, with sets,
// with connections, limits and defaults. The policies are compiled and loaded as the agent does it; nothing is
// attached. The list may be one that the checks would refuse, since some of its rules lie under others.

import type { PacketRule, PolicyDocument } from '../../../agent/contract/policy.ts';
import type { Kernel } from '../../../agent/kernel/kernel.ts';
import type { ClassifierEntry, ClassifierKey } from '../../../agent/policy/classifier/entry.ts';
import { compile } from '../../../agent/policy/compile.ts';
import type { ProgramHandle } from '../../../native/index.ts';
import { addon } from '../../../native/index.ts';
import { randomFrom } from '../../agent/policy/set-tables/samples.ts';
import { plainFacts } from '../../lab/plain-kernel.ts';
import { type ListFamily, packetOf, Random, randomPacket, ruleList, type Shape } from '../rule-lists.ts';
import { hitsOf, missesOf, type Sort, sampleSet } from '../set-samples.ts';
import { noDigest } from '../subject.ts';
import { type Player, type PlayFamily, plainFrame } from './play.ts';
import { packetPolicy, prefixTexts, rulesOf } from './policies.ts';

/** Nanoseconds a packet above the bare drop. */
export interface Judged {
  readonly of: string;
  readonly ns: number;
}
export interface Bench {
  readonly kernel: Kernel;
  readonly player: Player;
  /** husk_xdp_ingress, live. */
  readonly judge: ProgramHandle;
  readonly parse: ProgramHandle;
}

export interface RuleFigures {
  readonly family: ListFamily;
  readonly shape: Shape;
  readonly rules: number;
  readonly fromRules: number;
  readonly matchesNothing: number;
}

const counts = [10, 100, 1000, 10_000];
const keyCount = 16_384;
const seed = 20260822;

/** Puts a policy in force and returns what it takes. */
export async function enforce(
  kernel: Kernel,
  documents: readonly PolicyDocument[],
  interfaces: readonly { readonly name: string; readonly index: number }[] = [{ name: 'lo', index: 1 }],
): Promise<void> {
  const image = compile(
    documents,
    plainFacts(interfaces, (id) => kernel.ruleIndex(id)),
  );
  kernel.settle(await kernel.loadStandby({ serial: ++serials, bundleDigest: noDigest, image }));
}
let serials = 0;

export async function judgeRules(
  { kernel, player, judge }: Bench,
  shapes: readonly Shape[],
): Promise<RuleFigures[]> {
  const figures: RuleFigures[] = [];
  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const shape of shapes) {
      for (const rules of counts) {
        const entries = ruleList(shape, rules, { family });
        await enforce(kernel, packetPolicy({ rules: rulesOf(entries, 'allow') }));
        const { fromRules, others } = trafficOf(entries, family);
        const measured = [fromRules, others].map((keys) => {
          player.setPackets(family === 'ipv4' ? 4 : 6, keys);
          return player.measure([judge])[0] ?? Number.NaN;
        });
        const [first = Number.NaN, second = Number.NaN] = measured;
        figures.push({ family, shape, rules, fromRules: first, matchesNothing: second });
      }
    }
  }
  return figures;
}

function trafficOf(
  entries: readonly ClassifierEntry[],
  family: ListFamily,
): { readonly fromRules: ClassifierKey[]; readonly others: ClassifierKey[] } {
  const random = new Random(7);
  const fromRules = Array.from({ length: keyCount }, () => packetOf(random.pick(entries), random));
  // Outside the tree that the lists draw their addresses from, but for the rules that ask for any address.
  const others = Array.from({ length: keyCount }, () => randomPacket(family, random));
  return { fromRules, others };
}

export interface SetJudged {
  readonly family: PlayFamily;
  readonly prefixes: number;
  readonly hits: number;
  readonly misses: number;
  /** The same packets where the policy has no set. */
  readonly without: number;
}

const sets: readonly (readonly [PlayFamily, Sort, readonly number[]])[] = [
  [4, 'mix', [10, 1000, 100_000, 1_000_000]],
  [6, 'ipv6', [10, 1000, 100_000, 500_000]],
];

/** One rule that drops what is in a set; 65,536 random addresses of it, or of none, by turns. */
export async function judgeSets({ kernel, player, judge }: Bench): Promise<SetJudged[]> {
  const figures: SetJudged[] = [];
  for (const [family, sort, sizes] of sets) {
    for (const prefixes of sizes) {
      const ranges = sampleSet(sort, prefixes, randomFrom(seed));
      const random = randomFrom(seed);
      const hits = keysFrom(family, hitsOf(ranges, 65_536, random));
      const misses = keysFrom(family, missesOf(family, ranges, { count: 65_536, random, near: false }));
      const rule: PacketRule = { id: 'other', protocol: 'sctp', action: 'drop' };
      await enforce(kernel, packetPolicy({ rules: [rule] }));
      player.setPackets(family, misses);
      const without = player.measure([judge])[0] ?? Number.NaN;
      const drop: PacketRule = { id: 'listed', from: { set: 'listed' }, action: 'drop' };
      await enforce(kernel, packetPolicy({ rules: [drop, rule], listed: prefixTexts(ranges) }));
      const missed = player.measure([judge])[0] ?? Number.NaN;
      player.setPackets(family, hits);
      const hit = player.measure([judge])[0] ?? Number.NaN;
      figures.push({ family, prefixes, hits: hit, misses: missed, without });
    }
  }
  return figures;
}

function keysFrom(family: PlayFamily, words: Uint32Array): ClassifierKey[] {
  const to = family === 4 ? Uint32Array.of(0, 0, 0xffff, 0xc0000201) : Uint32Array.of(0x20010db8, 0, 0, 2);
  return Array.from({ length: words.length / 4 }, (_, index) =>
    keyOf(family, words.subarray(index * 4, index * 4 + 4), to),
  );
}

function keyOf(family: PlayFamily, saddr: Uint32Array, daddr: Uint32Array, dport = 443): ClassifierKey {
  return {
    ...{ family: family === 4 ? 'ipv4' : 'ipv6', saddr, daddr, ipProto: 17, hasPorts: true },
    ...{ sport: 4444, dport, zone: 0, state: 0, device: 0, fragment: 0, sets: 0 },
  };
}

const flows = 10_000;

/** Everything but rules and sets: floors, defaults, connections, limits. `egress`: husk_tc_egress. */
export async function judgeOthers(bench: Bench, egress: ProgramHandle): Promise<Judged[]> {
  const { kernel, player, judge, parse } = bench;
  const sources = Array.from({ length: flows }, (_, index) =>
    keyOf(4, Uint32Array.of(0, 0, 0xffff, 0x0a000000 + index), Uint32Array.of(0, 0, 0xffff, 0xc0000201)),
  );
  const rows: Judged[] = [];
  const add = (of: string, program: ProgramHandle = judge) =>
    rows.push({ of, ns: player.measure([program])[0] ?? Number.NaN });

  player.setPackets(4, sources);
  add('parse and drop', parse);
  await enforce(kernel, packetPolicy({ rules: [] }));
  add('no rule, default allow');
  await enforce(kernel, packetPolicy({ rules: [], default: 'drop' }));
  add('no rule, default drop');
  await enforce(
    kernel,
    packetPolicy({
      rules: [
        { id: 'limited', limit: { rate: '100000000/s', burst: 1_000_000, per: 'source' }, action: 'allow' },
      ],
    }),
  );
  add('a limit per source, 10,000 sources, within');
  await enforce(
    kernel,
    packetPolicy({
      rules: [
        { id: 'limited', limit: { rate: '1/h', burst: 1, per: 'source', over: 'drop' }, action: 'allow' },
      ],
    }),
  );
  player.measure([judge]);
  add('a limit per source, 10,000 sources, above');

  const established: PacketRule[] = [
    { id: 'established', state: ['established', 'related'], action: 'allow' },
    { id: 'new', state: 'new', protocol: 'udp', ports: { to: 443 }, action: 'allow' },
  ];
  await enforce(kernel, packetPolicy({ rules: established, default: 'drop' }));
  player.run(judge, 2, flows);
  for (const key of sources) addon.testRun(egress, replyTo(key), { ifindex: 1, cameBy: 0 });
  player.run(judge, 2, flows);
  add('an established connection among 10,000');
  const strangers = sources.map((key) => ({ ...key, dport: 444 }));
  player.setPackets(4, strangers);
  add('of no connection, looked for among 10,000, dropped');

  const dhcp = sources.map((key) => ({ ...key, sport: 67, dport: 68 }));
  player.setPackets(4, dhcp);
  await enforce(kernel, packetPolicy({ rules: [], default: 'drop' }));
  add('never dropped (DHCP)');
  return rows;
}

/** The datagram back. */
function replyTo(key: ClassifierKey): Uint8Array {
  const frame = plainFrame(4, 2);
  const view = new DataView(frame.buffer);
  view.setUint8(23, 17);
  view.setUint32(26, key.daddr[3] ?? 0);
  view.setUint32(30, key.saddr[3] ?? 0);
  view.setUint16(34, key.dport);
  view.setUint16(36, key.sport);
  return frame;
}
