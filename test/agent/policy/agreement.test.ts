// Goal: compiler, evaluator and kernel say the same of every policy and packet, not only of those we thought of.
// Method: policies, packets and calls are generated (seed printed; HUSK_SEED replays one). The evaluator is
// compared with an interpreter of the compiled tables on many, and with the twin programs and a canary
// child on fewer, where this machine has them. What the verdicts were is counted, so that a generator that
// no longer hits any rule shows.

import fc from 'fast-check';
import t from 'tap';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { evaluateCall, evaluatePacket } from '../../../agent/policy/evaluate.ts';
import type { Judgement } from '../../../agent/policy/judgement.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { subjectCgroups, subjectsOf } from '../../../agent/policy/subjects.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { judgeCall, judgePacket } from '../../cases/interpret.ts';
import { callDocuments, callMade, cgroups, interfaces, packetDocuments, packetSent } from './arbitrary.ts';
import { KernelLab, kernelMissing, labFacts } from './kernel-lab.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
const parameters = { seed, endOnFailure: true } as const;
t.comment(`seed ${seed}`);
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

t.test('packets: evaluator and tables agree', async (t) => {
  const tally = new Tally();
  fc.assert(
    fc.property(
      packetDocuments,
      fc.array(packetSent, { minLength: 40, maxLength: 40 }),
      (documents, packets) => {
        const { image, ifindexOf, idOf } = prepare(documents);
        for (const packet of packets) {
          const expected = evaluatePacket(documents, packet);
          tally.add(expected);
          same(
            judgePacket(image, idOf, { ...packet, ifindex: ifindexOf(packet.interface) }),
            expected,
            'tables',
          );
        }
      },
    ),
    { ...parameters, numRuns: 200 },
  );
  t.comment(String(tally));
  for (const kind of packetKinds) t.ok(tally.of(kind) > 20, `${kind} came up`);
});

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
      fc.array(packetSent, { minLength: 60, maxLength: 60 }),
      async (documents, packets) => {
        const { image, ifindexOf, facts } = prepare(documents);
        await lab.load(image);
        for (const packet of packets) {
          // The kernel runs a tc program on no IP header that is not whole, and on no empty packet.
          if (packet.direction === 'egress' && packet.frame.length < 54) continue;
          const expected = evaluatePacket(documents, packet);
          tally.add(expected);
          const at = { ...packet, ifindex: ifindexOf(packet.interface) };
          same(
            lab.judgePacket(at, facts.ids),
            expected,
            `kernel, ${Buffer.from(packet.frame).toString('hex')}`,
          );
        }
      },
    ),
    { ...parameters, numRuns: 30 },
  );
  t.comment(String(tally));
  t.ok(tally.total > 900, `${tally.total} packets`);
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
          value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
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
