// husk policy test: cases, which say what packets and calls must come to under a policy, and whether they do.

import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { type Case, CaseError, readCase } from '../../agent/policy/cases/read-case.ts';
import {
  type CaseFailure,
  compareVerdicts,
  judgePackets,
  runCase,
} from '../../agent/policy/cases/run-case.ts';
import { runShieldTest } from '../../agent/policy/cases/shield-test.ts';
import { formatFault, sourceOf } from '../../agent/policy/faults.ts';
import { readPolicyFiles } from '../policy/documents.ts';
import { FileError, readTextWithin } from '../policy/read-file.ts';
import { type CommandFile, collect, withJson } from './common.ts';
import { Failure, type Io, shown } from './io.ts';
import { KernelJudge } from './kernel-judge.ts';
import { counted } from './simulation.ts';

interface Options {
  readonly policy?: readonly string[];
  readonly kernel?: boolean;
  readonly json?: boolean;
}

interface Tested {
  readonly file: string;
  /** Packets, calls and faults that were compared. */
  readonly checked: number;
  /** Packets that the kernel judged as well. */
  readonly byKernel: number;
  readonly failures: readonly CaseFailure[];
  /** Why the file is no case; null where it is one. */
  readonly error: string | null;
}

/** A case is written by hand. */
const caseBytesMax = 16 * 1024 * 1024;

export const policyTest: CommandFile = (parent, io) => {
  withJson(
    parent,
    'test <files...>',
    'Hold packets and calls of case files against the verdicts they must get',
  )
    .option(
      '--policy <file>',
      'judge by this file, not by the policy in the case; may be given again',
      collect,
    )
    .option(
      '--kernel',
      'packets also by the real programs in this machine’s kernel (root; nothing is attached)',
    )
    .addHelpText(
      'after',
      `
A case is text: a policy, packets and calls, and what must come of them. Keep it beside the policy, and run it
before each publish.

  === policy
  apiVersion: husk/v1
  kind: PacketPolicy
  …
  === packets
  ingress eth0: ipv4 192.0.2.1 > 198.51.100.1 / tcp 40000 > 22 syn => allow by branch-wan/ssh
  ingress eth0: vlan 10 / ipv6 2001:db8::1 > 2001:db8::2 / udp 1 > 53 => drop by branch-wan/wan:default-ingress
  === calls
  daemons/stub: connect tcp 192.0.2.1 443 => deny by h/default-connect
  === faults
  8:33: spec.zones.lan.interfaces[1]: …

Packets are headers from the outside in: eth, vlan, qinq, arp, ethertype, ipv4, ipv6, hop-by-hop, routing,
fragment, destination, ah, tcp, udp, sctp, icmp, icmpv6, esp, gre, protocol, bytes, hex. Verdicts are allow, drop,
reject or deny, \`by RULE\` or a reason (never-drop, unparseable, unzoned, own-source, no-subject,
default), then \`monitored RULE\` where a rule in monitor mode matched on the way. A section \`device\` (interfaces, neverDrop) has packets judged one after
another, with connections, limits and time, and by what a device never drops:

  === device
  interfaces: [{ name: eth0, addresses: [198.51.100.1/24] }]

Without it each packet is judged for itself, by a device that has no address: only groups and broadcasts are to it
(toDevice). Lines that begin with # are comments. A section \`tables\` is for Husk's own tests and is passed over; with
--policy, so are \`policy\` and \`faults\`.

A policy file (.yaml, .json) is tested by what its shields say of themselves in spec.test: what they have to deny,
and what has to go on. The same is done by check and before each publish.

Example:
  husk policy test branch.case
  husk policy test shields/*.yaml
  husk policy test --policy branch.yaml --policy lists.yaml cases/*.case
  sudo husk policy test --kernel branch.case`,
    )
    .action(async (files: readonly string[], options: Options) => {
      const documents = options.policy === undefined ? undefined : readPolicy(io, options.policy);
      const tested: Tested[] = [];
      for (const file of files) {
        const one = await testFile(io, file, documents, options.kernel === true);
        tested.push(one);
        if (options.json !== true) showTested(io, one);
      }
      const failed = tested.reduce((sum, { failures }) => sum + failures.length, 0);
      const broken = tested.filter(({ error }) => error !== null).length;
      const checked = tested.reduce((sum, one) => sum + one.checked + one.byKernel, 0);
      if (options.json === true) io.out(JSON.stringify({ checked, failed, broken, cases: tested }, null, 2));
      if (broken > 0)
        throw new Failure(`${counted(broken, 'file')} of ${files.length} cannot be used as a case`);
      if (failed > 0) throw new Failure(`${failed} of ${counted(checked, 'expectation')} not met`);
      if (options.json !== true) io.out(io.paint('green', `${counted(checked, 'expectation')} met`));
    });
};

async function testFile(
  io: Io,
  file: string,
  documents: readonly PolicyDocument[] | undefined,
  byKernel: boolean,
): Promise<Tested> {
  try {
    if (/\.(ya?ml|json)$/.test(file)) return testShields(file);
    const one = readCase(readText(file), file);
    if (documents === undefined && one.policy.trim() === '') {
      throw new CaseError(`${file}: has no policy; --policy may name one`);
    }
    const { checked, failures, documents: judgedBy } = runCase(one, documents);
    if (checked === 0)
      throw new CaseError(`${file}: expects nothing: it has no packets, calls, operations or faults`);
    // A device of the case's own, and what goes from packet to packet, is nothing a program knows that is only tried.
    if (!byKernel || judgedBy.length === 0 || one.packets.length === 0 || one.device !== null) {
      return { file, checked, byKernel: 0, failures, error: null };
    }
    const kernel = await runInKernel(io, one, judgedBy);
    return {
      file,
      checked,
      byKernel: kernel.judged,
      failures: [...failures, ...kernel.failures],
      error: null,
    };
  } catch (error) {
    if (!(error instanceof CaseError)) throw error;
    return { file, checked: 0, byKernel: 0, failures: [], error: error.message };
  }
}

/** The tests that the shields of a policy file carry. */
function testShields(file: string): Tested {
  const { documents, faults } = readPolicyFiles([file], { tests: 'left' });
  const [error] = faults.filter(({ severity }) => severity === 'error');
  if (error !== undefined) throw new CaseError(formatFault(error));
  const tested = documents.flatMap((document) =>
    document.kind === 'Shield' ? [{ document, ...runShieldTest(document, documents) }] : [],
  );
  const checked = tested.reduce((sum, one) => sum + one.checked, 0);
  if (checked === 0)
    throw new CaseError(`${file}: expects nothing: none of its documents is a shield with a test`);
  const failures = tested.flatMap((one) =>
    one.failures.map(({ path, ...failure }): CaseFailure => {
      const { line = 0 } = sourceOf(one.document)?.locate(path, 'value') ?? {};
      return { line, by: 'evaluator', ...failure };
    }),
  );
  return { file, checked, byKernel: 0, failures, error: null };
}

/** Packets alone: calls are judged by who makes them, and that is nobody here. */
async function runInKernel(io: Io, one: Case, documents: readonly PolicyDocument[]) {
  const judge = await KernelJudge.start(io, documents);
  try {
    const judgements = judgePackets(one, documents);
    const asked = one.packets.map((at, index) => ({ at, state: judgements[index]?.state ?? null }));
    const answers = await judge.judge(asked);
    const failures: CaseFailure[] = [];
    let judged = 0;
    one.packets.forEach((packet, index) => {
      const answer = answers[index];
      // What the kernel runs no program on, the evaluator alone has judged.
      if (answer === undefined || 'error' in answer) return;
      judged++;
      const failure = compareVerdicts(packet, answer, 'kernel');
      if (failure !== null) failures.push(failure);
    });
    return { judged, failures };
  } finally {
    await judge.close();
  }
}

function showTested(io: Io, { file, checked, byKernel, failures, error }: Tested): void {
  if (error !== null) {
    io.err(`${io.paint('red', 'bad ')}  ${shown(error)}`);
    return;
  }
  const kernel = byKernel === 0 ? '' : `, ${byKernel} by the kernel too`;
  const head = failures.length === 0 ? io.paint('green', 'ok  ') : io.paint('red', 'FAIL');
  io.out(`${head}  ${shown(file)}: ${checked} checked${kernel}`);
  for (const { line, text, by, expected, found } of failures) {
    io.out(`      ${shown(`${file}:${line}: ${text}`)}`);
    io.out(`        expected  ${shown(expected)}`);
    io.out(`        found     ${io.paint('red', shown(found))}${by === 'kernel' ? ' (by the kernel)' : ''}`);
  }
}

function readPolicy(io: Io, files: readonly string[]): readonly PolicyDocument[] {
  const { documents, faults } = readPolicyFiles(files);
  for (const fault of faults) io.err(formatFault(fault));
  const errors = faults.filter((fault) => fault.severity === 'error').length;
  if (errors > 0) throw new Failure(`not tested: ${counted(errors, 'fault')}`);
  return documents;
}

function readText(file: string): string {
  try {
    return readTextWithin(file, caseBytesMax);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    throw new CaseError(`${file}: ${error.message}`);
  }
}
