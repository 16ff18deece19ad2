// Goal: for every case file, the evaluator, the compiled tables and the kernel give the verdicts written in
// it, and a policy with faults gets exactly those faults.
// Method: read test/cases/policy/*.case. The evaluator and an interpreter of the tables judge everywhere;
// the twin programs and a canary child where this machine has the addon, the BPF objects and root.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import { type Case, readCase, verdictText } from '../../agent/policy/cases/read-case.ts';
import { compareVerdicts, judgePackets } from '../../agent/policy/cases/run-case.ts';
import { compile } from '../../agent/policy/compile.ts';
import { evaluateCall, evaluateOperation } from '../../agent/policy/evaluate.ts';
import { formatFault } from '../../agent/policy/faults.ts';
import { plainPaths } from '../../agent/policy/plain-paths.ts';
import { readAndCheck } from '../../agent/policy/read.ts';
import { subjectCgroups, subjectsOf } from '../../agent/policy/subjects.ts';
import { KernelLab, kernelMissing, labFacts } from '../agent/policy/kernel-lab.ts';
import { judgeCall } from './interpret.ts';
import { judgeOperation } from './interpret-operations.ts';
import { renderImage } from './render-image.ts';

const folder = join(import.meta.dirname, 'policy');
const cases = readdirSync(folder)
  .filter((name) => name.endsWith('.case'))
  .map((name) => join(folder, name))
  .map((file) => readCase(readFileSync(file, 'utf8'), file));
const missing = kernelMissing();
const lab = missing === null ? await KernelLab.open() : null;
t.teardown(() => lab?.close());
/** Index of an interface no device has: for those the case keeps out of every zone. */
const unknownIfindex = 1;

t.test('there are cases, and their packets, calls, faults and tables', async (t) => {
  const count = (of: (one: Case) => number) => cases.reduce((sum, one) => sum + of(one), 0);
  t.ok(cases.length >= 12, `${cases.length} cases`);
  t.ok(count((one) => one.packets.length) > 150, 'packets');
  t.ok(count((one) => one.calls.length) > 25, 'calls');
  t.ok(count((one) => one.operations.length) > 100, 'operations');
  t.ok(count((one) => one.faults.length) > 30, 'faults');
  t.ok(count((one) => one.tables?.length ?? 0) > 30, 'lines of tables');
});

for (const one of cases) {
  t.test(basename(one.file), async (t) => {
    const { documents, faults } = readAndCheck([{ file: '', text: one.policy }]);
    t.strictSame(
      faults.map(formatFault).map((fault) => fault.replace(/^:/, '')),
      one.faults,
      'faults',
    );
    const interfaces = [...new Set(one.packets.map((packet) => packet.interface))];
    if (documents.length > 0) await judge(t, one, documents, interfaces);
    else t.ok(one.faults.length > 0 && interfaces.length === 0, 'a refused policy judges nothing');
  });
}

async function judge(
  t: Test,
  one: Case,
  documents: Parameters<typeof compile>[0],
  interfaces: readonly string[],
): Promise<void> {
  const judgements = judgePackets(one, documents);
  one.packets.forEach((packet, index) => {
    const judgement = judgements[index];
    const failure = judgement === undefined ? null : compareVerdicts(packet, judgement, 'evaluator');
    t.equal(
      failure?.found ?? verdictText(packet.expect),
      verdictText(packet.expect),
      `${packet.line}: ${packet.text}`,
    );
  });
  judgeOperations(t, one, documents);
  // Hardening programs have no twin: what their tables come to in a kernel is tried in a guest (test/device).
  if (one.operations.length > 0) return;

  // What goes from one packet to the next, and what a device adds, the tables and twins of this test do not know.
  if (one.device !== null) return;

  const facts = labFacts(interfaces);
  const image = compile(documents, facts);
  const idOf = (index: number) => facts.ids[index] ?? null;
  if (one.tables !== null) {
    t.strictSame(
      renderImage(image, (index) => idOf(index) ?? `index ${index}`),
      one.tables,
      'table image',
    );
  }
  if (lab !== null) await lab.load(image);

  for (const [index, packet] of one.packets.entries()) {
    const ifindex = facts.interfaces.find(({ name }) => name === packet.interface)?.index ?? unknownIfindex;
    // The kernel's test run takes no packet without anything behind the link header at egress.
    if (lab === null || (packet.direction === 'egress' && packet.frame.length < 35)) continue;
    const { direction, frame } = packet;
    const state = judgements[index]?.state ?? null;
    const found = lab.judgePacket(
      { direction, frame, ifindex, link: 'ethernet', cameBy: 0, state },
      facts.ids,
    );
    t.equal(verdictText(found), verdictText(packet.expect), `kernel: ${packet.text}`);
  }

  const cgroups = subjectCgroups(documents);
  for (const { cgroup, call, expect, text } of one.calls) {
    const subjects = subjectsOf(cgroups, cgroup);
    t.strictSame(evaluateCall(documents, { cgroup, call }), expect, text);
    t.strictSame(judgeCall(image, idOf, subjects, call), expect, `tables: ${text}`);
    if (lab === null) continue;
    t.strictSame(await lab.judgeCall(subjects, call, facts.ids), expect, `kernel: ${text}`);
  }
  if (lab === null) t.comment(`kernel left out: ${missing}`);
}

function judgeOperations(t: Test, one: Case, documents: Parameters<typeof compile>[0]): void {
  const paths = plainPaths(one.applets);
  const cgroups = subjectCgroupNames(documents);
  const cgroupId = (path: string) => (cgroups.includes(path) ? BigInt(cgroups.indexOf(path) + 1) : null);
  const facts = labFacts([]);
  const image = one.operations.length === 0 ? null : compile(documents, { ...facts, paths, cgroupId });
  for (const operation of one.operations) {
    const found = evaluateOperation(documents, operation, one);
    t.equal(verdictText(found), verdictText(operation.expect), operation.text);
    if (image === null) continue;
    const byTables = judgeOperation(image, (index) => facts.ids[index] ?? null, operation, {
      paths,
      cgroupId,
    });
    t.equal(verdictText(byTables), verdictText(operation.expect), `tables: ${operation.text}`);
  }
}

const subjectCgroupNames = (documents: Parameters<typeof compile>[0]) =>
  documents.flatMap((one) => (one.kind === 'HardeningPolicy' ? (one.spec.subject.cgroup ?? []) : []));
