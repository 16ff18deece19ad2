// Goal: compiler, evaluator and kernel say the same of every policy and packet, not only of those we thought of.
// Method: policies, packets and calls are generated (seed printed; HUSK_SEED replays one). Packets go through the
// evaluator and all twin programs, each for itself and with its state given (agreement-live.test.ts has sequences); calls
// through an interpreter of the compiled tables and, fewer, a canary child. What the verdicts were is counted, so that
// a generator that no longer hits any rule shows.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { evaluateCall, evaluatePacket } from '../../../agent/policy/evaluate.ts';
import type { Judgement, PacketAt } from '../../../agent/policy/judgement.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { subjectCgroups, subjectsOf } from '../../../agent/policy/subjects.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { judgeCall } from '../../cases/interpret.ts';
import { readCapture } from '../../lab/pcap.ts';
import { callDocuments, callMade, cgroups, interfaces, packetDocuments, packetSent } from './arbitrary.ts';
import { languageDevice, languageDocuments, packetSequence } from './arbitrary-language.ts';
import { KernelLab, kernelMissing, labFacts } from './kernel-lab.ts';
import { factsOf } from './live-play.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
const parameters = { seed, endOnFailure: true } as const;
t.comment(`seed ${seed}`);
t.setTimeout(300_000);
const missing = kernelMissing();
const skip = missing === null ? false : missing;

/** How often each kind of judgement came up. */
class Tally {
  readonly #counts = new Map<string, number>();
  total = 0;
  add(one: Judgement): void {
    this.total++;
    for (const key of [`${one.verdict} ${one.reason}`, one.monitored === null ? '' : 'monitored']) {
      if (key !== '') this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    }
  }
  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }
  toString(): string {
    return `${this.total}: ${[...this.#counts].map(([key, count]) => `${key} ${count}`).join(', ')}`;
  }
}

const packetKinds = [
  'allow rule',
  'drop rule',
  'allow default',
  'drop default',
  'drop unparseable',
  'allow never-drop',
  'allow unzoned',
  'monitored',
];
const languageKinds = [
  'allow rule',
  'drop rule',
  'reject rule',
  'allow default',
  'drop default',
  'reject default',
  'allow never-drop',
  'allow unzoned',
  'allow deferred',
  'monitored',
];
const conditionNames = [
  'family',
  'from',
  'to',
  'protocol',
  'ports',
  'tcpFlags',
  'icmp',
  'state',
  'toDevice',
  'origin',
  'interface',
  'vlan',
  'etherType',
  'mac',
  'dscp',
  'length',
  'fragment',
  'limit',
];
const callKinds = [
  'allow rule',
  'deny rule',
  'allow default',
  'deny default',
  'allow no-subject',
  'monitored',
];

function prepare(documents: readonly PolicyDocument[]) {
  const facts = labFacts(interfaces.filter((name) => name !== 'none0'));
  const image = compile(documents, facts);
  const ifindexOf = (name: string) => facts.interfaces.find((one) => one.name === name)?.index ?? 1;
  return { facts, image, ifindexOf, idOf: (index: number) => facts.ids[index] ?? null };
}

const same = (found: Judgement, expected: Judgement, what: string) => {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${what}: ${JSON.stringify(found)}, the evaluator says ${JSON.stringify(expected)}`);
  }
};

t.test('calls: evaluator and tables agree', async (t) => {
  const tally = new Tally();
  fc.assert(
    fc.property(
      callDocuments,
      fc.array(fc.tuple(fc.constantFrom(...cgroups), callMade), { minLength: 30, maxLength: 30 }),
      (documents, calls) => {
        const { image, idOf } = prepare(documents);
        for (const [cgroup, call] of calls) {
          const expected = evaluateCall(documents, { cgroup, call });
          tally.add(expected);
          const subjects = subjectsOf(subjectCgroups(documents), cgroup);
          same(judgeCall(image, idOf, subjects, call), expected, 'tables');
        }
      },
    ),
    { ...parameters, numRuns: 200 },
  );
  t.comment(String(tally));
  for (const kind of callKinds) t.ok(tally.of(kind) > 20, `${kind} came up`);
});

t.test('packets: evaluator and twin programs agree', { skip, timeout: 120_000 }, async (t) => {
  const lab = await KernelLab.open();
  t.teardown(() => lab.close());
  const tally = new Tally();
  await fc.assert(
    fc.asyncProperty(
      packetDocuments,
      fc.array(packetSent, { minLength: 100, maxLength: 100 }),
      async (documents, packets) => {
        const { image, ifindexOf, facts } = prepare(documents);
        await lab.load(image);
        for (const packet of packets) {
          if (!isRun(packet)) continue;
          const expected = evaluatePacket(documents, { ...packet, givenState: null });
          tally.add(expected);
          const { direction, frame } = packet;
          const ifindex = ifindexOf(packet.interface);
          const found = lab.judgePacket(
            { direction, frame, ifindex, link: 'ethernet', cameBy: 0, state: null },
            facts.ids,
          );
          same(found, stateless(expected), `kernel, ${Buffer.from(frame).toString('hex')}`);
        }
      },
    ),
    { ...parameters, numRuns: 40 },
  );
  t.comment(String(tally));
  for (const kind of packetKinds) t.ok(tally.of(kind) > 20, `${kind} came up`);
});

const states = ['new', 'established', 'related', 'invalid', null] as const;
const linkOf = (name: string) =>
  languageDevice.interfaces.find((one) => one.name === name)?.link === 'ip' ? 'ip' : 'ethernet';
const indexOf = (name: string) => languageDevice.interfaces.find((one) => one.name === name)?.index ?? 1;

/** The kernel runs a tc program on no IP header that is not whole, and on no empty packet. */
function isRun({ direction, frame }: Pick<PacketAt, 'direction' | 'frame'>): boolean {
  if (frame.length < 14) return false;
  const type = (frame[12] ?? 0) * 256 + (frame[13] ?? 0);
  const least = 14 + (type === 0x0800 ? 20 : type === 0x86dd ? 40 : 1);
  return direction === 'ingress' || frame.length >= least;
}
const stateless = ({ verdict, reason, rule, monitored }: Judgement): Judgement => ({
  verdict,
  reason,
  rule,
  monitored,
});

/** Judges by both, and adds what came up to the tally. The state is given, since a twin follows no connection. */
function compareTwin(
  lab: KernelLab,
  documents: readonly PolicyDocument[],
  at: PacketAt,
  ids: readonly string[],
  tally: Tally,
): void {
  const link = linkOf(at.interface);
  if (!isRun(link === 'ip' ? { ...at, direction: 'egress' } : at)) return;
  const expected = evaluatePacket(documents, at, languageDevice);
  tally.add(expected);
  const found = lab.judgePacket(
    {
      direction: at.direction,
      frame: at.frame,
      ifindex: indexOf(at.interface),
      link,
      cameBy: at.cameBy == null ? 0 : indexOf(at.cameBy),
      state: at.givenState ?? null,
    },
    ids,
  );
  const what = `${at.interface} ${at.direction} ${at.cameBy} ${at.givenState} ${Buffer.from(at.frame).toString('hex')}`;
  same(found, stateless(expected), what);
}

t.test('packets: the whole language, evaluator and twins agree', { skip, timeout: 120_000 }, async (t) => {
  const lab = await KernelLab.open();
  t.teardown(() => lab.close());
  await lab.become(languageDevice);
  const tally = new Tally();
  await fc.assert(
    fc.asyncProperty(
      languageDocuments,
      fc.array(fc.tuple(packetSequence, fc.constantFrom(...states)), { minLength: 4, maxLength: 4 }),
      async (documents, sequences) => {
        const facts = factsOf(languageDevice);
        await lab.load(compile(documents, facts));
        for (const [packets, givenState] of sequences) {
          for (const { timeNs: _, ...at } of packets)
            compareTwin(lab, documents, { ...at, givenState }, facts.ids, tally);
        }
      },
    ),
    { ...parameters, numRuns: 60 },
  );
  t.comment(String(tally));
  for (const kind of languageKinds) t.ok(tally.of(kind) > 10, `${kind} came up`);
});

t.test('captures: evaluator and twins agree under every condition', { skip, timeout: 120_000 }, async (t) => {
  const lab = await KernelLab.open();
  t.teardown(() => lab.close());
  await lab.become(languageDevice);
  const folder = join(import.meta.dirname, '../../fixtures/pcap');
  const frames = readdirSync(folder).flatMap((file) => {
    const capture = readCapture(readFileSync(join(folder, file)));
    return capture.linkType === 1 ? capture.frames.slice(0, 24) : [];
  });
  const tally = new Tally();
  // Policies of a seed of their own: a dozen that state every condition between them.
  const policies = fc.sample(languageDocuments, { seed: 7, numRuns: 12 });
  const text = JSON.stringify(policies);
  for (const name of conditionNames) t.ok(text.includes(`"${name}":`), `${name} is asked for`);
  for (const [index, documents] of policies.entries()) {
    const facts = factsOf(languageDevice);
    await lab.load(compile(documents, facts));
    for (const [at, frame] of frames.entries()) {
      const givenState = states[(at + index) % states.length] ?? null;
      const rest = { givenState, frame };
      const name = at % 2 === 0 ? 'wan0' : 'lan0';
      compareTwin(lab, documents, { ...rest, interface: name, direction: 'ingress' }, facts.ids, tally);
      const cameBy = at % 3 === 0 ? 'lan0' : null;
      compareTwin(
        lab,
        documents,
        { ...rest, interface: name, direction: 'egress', cameBy },
        facts.ids,
        tally,
      );
      const bare = { ...rest, frame: frame.subarray(14), interface: 'ppp0' };
      compareTwin(lab, documents, { ...bare, direction: 'ingress' }, facts.ids, tally);
    }
  }
  t.comment(String(tally));
  t.ok(tally.total > 5000, `${tally.total} packets`);
});

/** Whether the canary gets so far: the kernel sends nothing to port 0, and the socket has to be made first. */
const isSeen = (
  documents: readonly PolicyDocument[],
  cgroup: string,
  call: Parameters<typeof evaluateCall>[1]['call'],
) => {
  if (call.call === 'socket') return true;
  if (call.call === 'sendto' && call.port === 0) return false;
  const family = call.family === 4 ? 2 : 10;
  const socket = { call: 'socket' as const, family, type: call.type, protocol: call.protocol };
  return evaluateCall(documents, { cgroup, call: socket }).verdict === 'allow';
};

t.test('calls: evaluator and canary agree', { skip, timeout: 120_000 }, async (t) => {
  const lab = await KernelLab.open();
  t.teardown(() => lab.close());
  const tally = new Tally();
  await fc.assert(
    fc.asyncProperty(
      callDocuments,
      fc.array(fc.tuple(fc.constantFrom(...cgroups), callMade), { minLength: 12, maxLength: 12 }),
      async (documents, calls) => {
        const { image, facts } = prepare(documents);
        await lab.load(image);
        for (const [cgroup, call] of calls) {
          const subjects = subjectsOf(subjectCgroups(documents), cgroup);
          if (!isSeen(documents, cgroup, call)) continue;
          const expected = evaluateCall(documents, { cgroup, call });
          tally.add(expected);
          same(await lab.judgeCall(subjects, call, facts.ids), expected, `kernel, ${JSON.stringify(call)}`);
        }
      },
    ),
    { ...parameters, numRuns: 20 },
  );
  t.comment(String(tally));
  t.ok(tally.total > 100, `${tally.total} calls`);
});

t.test('compiling twice gives the same bytes', async () => {
  fc.assert(
    fc.property(fc.oneof(packetDocuments, callDocuments), (documents) => {
      const images = [prepare(documents).image, prepare(structuredClone(documents)).image];
      const [one, other] = images.map((image) =>
        JSON.stringify(image, (_, value) =>
          value instanceof Uint8Array
            ? Buffer.from(value).toString('hex')
            : typeof value === 'bigint'
              ? String(value)
              : value,
        ),
      );
      if (one !== other) throw new Error('the images differ');
    }),
    { ...parameters, numRuns: 100 },
  );
});

t.test('generated documents have the shape of documents', async () => {
  fc.assert(
    fc.property(fc.oneof(packetDocuments, callDocuments), (documents) => {
      const { faults } = parseDocuments(documents);
      if (faults.length > 0)
        throw new Error(faults.map(({ path, message }) => `${path}: ${message}`).join('\n'));
    }),
    { ...parameters, numRuns: 100 },
  );
});

t.test('tries: a rule that goes untried is one that no packet or call at hand reaches', async (t) => {
  let tried = 0;
  let missed = 0;
  const count = (documents: readonly PolicyDocument[], reached: readonly Judgement[]) => {
    const { facts, image } = prepare(documents);
    const tries = makeTries(documents, facts);
    const ids = (judgements: readonly Judgement[]) =>
      judgements.flatMap(({ rule, monitored }) => [rule, monitored]);
    const named = new Set(ids([...tries.packets, ...tries.calls].map(({ expect }) => expect)));
    for (const { id } of image.rules) {
      if (named.has(id)) tried++;
      else if (!tries.untried.includes(id)) throw new Error(`${id} is neither tried nor untried`);
    }
    // Defaults in monitor mode are named by any packet that gets to them.
    const found = new Set(ids(reached).filter((id) => id !== null && tries.untried.includes(id)));
    missed += found.size;
  };
  fc.assert(
    fc.property(
      packetDocuments,
      fc.array(packetSent, { minLength: 200, maxLength: 200 }),
      (documents, packets) => {
        count(
          documents,
          packets.map((packet) => evaluatePacket(documents, packet)),
        );
      },
    ),
    { ...parameters, numRuns: 100 },
  );
  t.comment(`packets: ${tried} tried, ${missed} missed`);
  fc.assert(
    fc.property(
      callDocuments,
      fc.array(fc.tuple(fc.constantFrom(...cgroups), callMade), { minLength: 200, maxLength: 200 }),
      (documents, calls) => {
        const seen = calls.filter(([cgroup, call]) => isSeen(documents, cgroup, call));
        // A rule is tried in its own subject, where more rules may stand in its way in the subjects below.
        count(
          documents,
          seen
            .filter(([cgroup]) => subjectCgroups(documents).includes(cgroup))
            .map(([cgroup, call]) => evaluateCall(documents, { cgroup, call })),
        );
      },
    ),
    { ...parameters, numRuns: 100 },
  );
  t.comment(`and calls: ${tried} tried, ${missed} missed`);
  t.ok(tried > 500, 'rules were tried');
  t.ok(missed <= tried / 50, 'next to none was missed');
});
