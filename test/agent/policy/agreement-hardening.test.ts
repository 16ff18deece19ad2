// Goal: compiler and evaluator say the same of every hardening policy and operation, not only of those in cases.
// Method: policies and operations are generated (seed printed; HUSK_SEED replays one). The tables are read as the
// programs read them (test/cases/interpret-operations.ts). What the verdicts were is counted, so that a generator that
// no longer hits any rule shows. More rules are kept than programs keep: what those do beyond is not the evaluator's. A second device has several file systems: there rules are named by other folders
// than a policy writes, so that verdicts are compared.

import fc from 'fast-check';
import t from 'tap';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { compile, compilePaths } from '../../../agent/policy/compile.ts';
import { evaluateOperation, type OperationAt } from '../../../agent/policy/evaluate.ts';
import type { Judgement } from '../../../agent/policy/judgement.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { plainPaths } from '../../../agent/policy/plain-paths.ts';
import type { DevicePaths } from '../../../agent/policy/table-image.ts';
import { tryOperations } from '../../../agent/policy/try-operations.ts';
import { judgeOperation } from '../../cases/interpret-operations.ts';
import {
  applets,
  cgroupPaths,
  exceptedDocuments,
  hardeningDocuments,
  mountPoints,
  operationMade,
} from './arbitrary-hardening.ts';
import { labFacts } from './kernel-lab.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);
t.setTimeout(300_000);
const nobody = { lineage: [], lineageKnown: true, user: 0, cgroup: null };
const cgroupId = (path: string) =>
  cgroupPaths.includes(path) ? BigInt(cgroupPaths.indexOf(path) + 7) : null;

const mounted: DevicePaths = {
  ...plainPaths(applets),
  placeOf: (path) => {
    const mount = mountPoints.findLast((at) => at === '/' || path === at || path.startsWith(`${at}/`)) ?? '/';
    const within = mount === '/' ? path : path.slice(mount.length);
    return { device: mountPoints.indexOf(mount) + 1, path: within === '' ? '/' : within };
  },
  placesMountedBelow: (path) =>
    mountPoints
      .map((at, index) => ({ at, device: index + 1 }))
      .filter(({ at }) => at !== path && (path === '/' || at.startsWith(`${path}/`)))
      .map(({ device }) => ({ device, path: '/' })),
};

function prepare(documents: readonly PolicyDocument[], paths: DevicePaths) {
  const { faults } = parseDocuments(documents);
  if (faults.length > 0) throw new Error(`the generator made ${faults[0]?.path} ${faults[0]?.message}`);
  const facts = labFacts([]);
  const image = compile(documents, { ...facts, paths, cgroupId });
  const judge = (at: OperationAt) =>
    judgeOperation(image, (index) => facts.ids[index] ?? null, at, { paths, cgroupId, kept: 64 });
  return { image, judge, ids: facts.ids };
}

const same = (found: Judgement, expected: Judgement, at: OperationAt) => {
  if (JSON.stringify(found) === JSON.stringify(expected)) return;
  throw new Error(
    `${JSON.stringify(at)}: ${JSON.stringify(found)}, the evaluator says ${JSON.stringify(expected)}`,
  );
};

/** Tables do not tell a task of no subject from one whose subjects say nothing. */
const withoutReason = (judgement: Judgement): Judgement => ({
  ...judgement,
  reason: judgement.reason === 'no-subject' ? 'default' : judgement.reason,
});

t.test('on one file system, to the rule that is named', async (t) => {
  const tally = new Map<string, number>();
  const count = (key: string) => tally.set(key, (tally.get(key) ?? 0) + 1);
  fc.assert(
    fc.property(
      hardeningDocuments,
      fc.array(operationMade, { minLength: 80, maxLength: 80, size: 'max' }),
      (documents, operations) => {
        const { judge } = prepare(documents, plainPaths(applets));
        for (const at of operations) {
          const expected = evaluateOperation(documents, at, { applets });
          count(`${expected.verdict} ${expected.reason}`);
          if (expected.monitored !== null) count('monitored');
          if (expected.kills === true) count('kills');
          same(withoutReason(judge(at)), withoutReason(expected), at);
        }
      },
    ),
    { seed, endOnFailure: true, numRuns: 250 },
  );
  t.comment(JSON.stringify(Object.fromEntries(tally)));
  for (const kind of [
    'deny rule',
    'deny default',
    'allow rule',
    'allow default',
    'allow no-subject',
    'monitored',
    'kills',
  ]) {
    t.ok((tally.get(kind) ?? 0) > 100, `${kind} came up`);
  }
});

t.test('with exceptions, to the rule that is named', async (t) => {
  let lifted = 0;
  fc.assert(
    fc.property(
      exceptedDocuments,
      fc.array(operationMade, { minLength: 80, maxLength: 80, size: 'max' }),
      (documents, operations) => {
        const { judge } = prepare(documents, plainPaths(applets));
        const without = documents.filter(({ kind }) => kind !== 'Exception');
        for (const at of operations) {
          const expected = evaluateOperation(documents, at, { applets });
          if (expected.rule !== evaluateOperation(without, at, { applets }).rule) lifted++;
          same(withoutReason(judge(at)), withoutReason(expected), at);
        }
      },
    ),
    { seed, endOnFailure: true, numRuns: 120 },
  );
  t.ok(lifted > 30, `${lifted} times another rule decides, or none`);
});

t.test('on several file systems, to the verdict', async (t) => {
  let denied = 0;
  fc.assert(
    fc.property(
      hardeningDocuments,
      fc.array(operationMade, { minLength: 80, maxLength: 80, size: 'max' }),
      (documents, operations) => {
        const { judge, image } = prepare(documents, mounted);
        for (const at of operations) {
          // A folder that something is mounted on is found below the mount, and its own fs's root has no other name.
          if (at.operation === 'rename') continue;
          const expected = evaluateOperation(documents, at, { applets });
          const found = judge(at);
          if (expected.verdict === 'deny') denied++;
          if (found.verdict !== expected.verdict || (found.kills ?? false) !== (expected.kills ?? false)) {
            same(found, expected, at);
          }
        }
        const again = compilePaths(image, { paths: mounted });
        const kinds = again.map(({ kind }) => kind);
        const before = image.tables.filter(({ kind }) => kinds.includes(kind));
        if (
          JSON.stringify(again.map(({ keys }) => [...keys])) !==
          JSON.stringify(before.map(({ keys }) => [...keys]))
        ) {
          throw new Error('followed to other keys than compiled');
        }
      },
    ),
    { seed, endOnFailure: true, numRuns: 80 },
  );
  t.ok(denied > 400, `${denied} denied`);
});

t.test('what the canary is to try', async (t) => {
  let tried = 0;
  let rules = 0;
  fc.assert(
    fc.property(fc.oneof(hardeningDocuments, exceptedDocuments), (documents) => {
      const { image, ids } = prepare(documents, plainPaths(applets));
      const { tries, untried } = tryOperations(documents, { applets });
      tried += tries.length;
      rules += image.rules.filter(({ at }) => at === 'operation').length;
      for (const { subjects, name, object, expect } of tries) {
        const at: OperationAt = { task: nobody, operation: name, object };
        const device = { paths: plainPaths(applets), cgroupId, kept: 64 };
        const found = judgeOperation(image, (index) => ids[index] ?? null, at, device, subjects);
        same(withoutReason(found), withoutReason(expect), at);
      }
      const known = new Set(image.rules.map(({ id }) => id));
      const strange = untried.find((id) => !known.has(id));
      if (strange !== undefined) throw new Error(`${strange} is no rule`);
    }),
    { seed, endOnFailure: true, numRuns: 100 },
  );
  t.ok(tried > rules / 2, `${tried} tries of ${rules} rules, most of which others decide for`);
});
