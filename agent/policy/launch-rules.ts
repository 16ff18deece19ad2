// What a launcher can hold a service to, out of what policies say of it: native/launch/rules.h has the lines.
//
// Landlock knows lists of what is allowed, and seccomp numbers of calls and of arguments. So a denial can be handed on where it is of
// everything but some folders, of a whole kind of call, or of a kind of socket; not one of single folders, whose neighbours no list
// could name. What is handed on holds for the program and all that comes from it, so only for subjects that are just that.

import type { FileWord, HardeningPolicy, HardeningRule, PathMatch } from '../contract/policy.ts';
import { allCapabilities, capabilityNumber } from './capabilities.ts';
import { activeMode, ruleId } from './ids.ts';
import { socketFamilyNumbers, socketTypeNumbers } from './numbers.ts';
import { conditionsOf } from './subjects.ts';

export interface LaunchPlan {
  /** The program, as the policy has it. */
  readonly executable: string;
  /** In order, each once; without the first line, `serial` and `end`. */
  readonly lines: readonly string[];
  /** Rules that hold by them, and what passes all the same; '' where nothing is known to. */
  readonly rules: readonly { readonly id: string; readonly passes: string }[];
}

/** Lines of one rule. */
interface Handed {
  readonly lines: readonly string[];
  readonly passes: readonly string[];
}

/** As LAUNCH_CAPABILITY_ALL. */
const everyCapability = 64;
const anySocket = -1;
/** LAUNCH_BENEATH_MAX and LAUNCH_SOCKETS_MAX are above what one rule can ask for; of more rules the rest is not handed on. */
const linesMax = 512;

/**
 * One plan for each executable of which something can be handed on. `policies`: those that are not off. `lifted`: ids of rules that
 * exceptions lift for some objects, which no launcher can.
 */
export function launchPlans(
  policies: readonly HardeningPolicy[],
  lifted: ReadonlySet<string>,
): readonly LaunchPlan[] {
  const plans = new Map<string, { lines: string[]; rules: { id: string; passes: string }[] }>();
  for (const policy of policies) {
    const executables = plainExecutables(policy);
    for (const rule of policy.spec.rules) {
      const isDenied = rule.action === 'deny' && activeMode(policy.spec.mode, rule.mode) === 'enforce';
      const handed = isDenied && !lifted.has(ruleId(policy, rule)) ? handOn(rule) : null;
      if (handed === null) continue;
      for (const executable of executables) {
        const plan = plans.get(executable) ?? { lines: [], rules: [] };
        plans.set(executable, plan);
        if (!isCompatible(plan.lines, handed.lines)) continue;
        plan.lines.push(...handed.lines.filter((line) => !plan.lines.includes(line)));
        plan.rules.push({ id: ruleId(policy, rule), passes: handed.passes.join(', ') });
      }
    }
  }
  return [...plans]
    .filter(([, { rules }]) => rules.length > 0)
    .map(([executable, plan]) => ({ executable, ...plan }));
}

/** Executables that a subject is, with all that comes from them, and nothing else. */
function plainExecutables({ spec }: HardeningPolicy): readonly string[] {
  const { executables, hasDescendants, applet, users, cgroup } = conditionsOf(spec.subject);
  const isPlain = hasDescendants && applet === null && users === null && cgroup === null;
  return isPlain ? (executables ?? []).filter(isPlainPath) : [];
}

/** A line holds no line's end. */
const isPlainPath = (path: string) => path.startsWith('/') && !/\p{Cc}/u.test(path);

/** Two lists of what is allowed would allow what either does: the second is not handed on, unless it is the same. */
function isCompatible(had: readonly string[], more: readonly string[]): boolean {
  if (had.length + more.length > linesMax) return false;
  const listOf = (lines: readonly string[], word: string) =>
    lines.filter((line) => line === `handle ${word}` || line.startsWith(`beneath ${word} `)).join('\n');
  const words = more.flatMap((line) => (line.startsWith('handle ') ? [line.slice('handle '.length)] : []));
  return words.every((word) => !had.includes(`handle ${word}`) || listOf(had, word) === listOf(more, word));
}

/** null: a launcher can't hold all of it. */
function handOn(rule: HardeningRule): Handed | null {
  if (rule.kernel !== undefined) return wordsOf(rule.kernel, kernelLines);
  if (rule.privilege !== undefined) return handOnPrivilege(rule.privilege);
  if (rule.memory !== undefined) return wordsOf(rule.memory, memoryLines);
  if (rule.file !== undefined) return handOnFiles(rule.file);
  if (rule.socket !== undefined) return handOnSocket(rule.socket);
  if (rule.connect !== undefined) return handOnTcp('connect-tcp', rule.connect);
  if (rule.bind !== undefined) return handOnTcp('bind-tcp', rule.bind);
  return null;
}

type Words = Readonly<Record<string, Handed>>;

const held = (line: string, ...passes: string[]): Handed => ({ lines: [line], passes });

const kernelLines: Words = {
  module: held('deny module', 'modules that the kernel loads by itself'),
  bpf: held('deny bpf'),
  kexec: held('deny kexec'),
  perf: held('deny perf'),
};
const memoryLines: Words = {
  writeExecute: held('deny write-execute', 'memory that is written first and made executable then'),
};
const privilegeLines: Words = {
  setuid: held('deny setuid'),
  ptrace: held('deny ptrace', '/proc/PID/mem'),
  userns: held('deny userns'),
};

/** Every word has to be one that can be handed on. */
function wordsOf(match: object, known: Words): Handed | null {
  const found = Object.keys(match).map((word) => known[word]);
  return join(found);
}

function join(parts: readonly (Handed | null | undefined)[]): Handed | null {
  const all: Handed[] = [];
  for (const part of parts) {
    if (part === null || part === undefined) return null;
    all.push(part);
  }
  return { lines: all.flatMap(({ lines }) => lines), passes: all.flatMap(({ passes }) => passes) };
}

function handOnPrivilege({ capabilities, ...rest }: NonNullable<HardeningRule['privilege']>): Handed | null {
  const numbers = (capabilities ?? []).map((name) =>
    name === allCapabilities ? everyCapability : capabilityNumber(name),
  );
  const lines = numbers.map((number) => (number === null ? null : held(`deny capability ${number}`)));
  return join([wordsOf(rest, privilegeLines), ...lines]);
}

function handOnFiles(match: NonNullable<HardeningRule['file']>): Handed | null {
  const words = Object.entries(match) as [FileWord, PathMatch][];
  return join(words.map(([word, paths]) => handOnFile(word, paths)));
}

function handOnFile(word: FileWord, match: PathMatch): Handed | null {
  const { except, ...named } = match;
  if (Object.keys(named).length > 0) return null;
  if (word === 'mount') return except === undefined ? held('deny mount') : null;
  if (word !== 'write' && word !== 'create' && word !== 'delete') return null;
  // A name can't be allowed in a folder without its neighbours.
  if (word !== 'write' && except?.paths !== undefined) return null;
  const paths = [...(except?.under ?? []), ...(except?.paths ?? [])];
  if (!paths.every(isPlainPath)) return null;
  return {
    lines: [`handle ${word}`, ...paths.map((path) => `beneath ${word} ${path}`)],
    passes: word === 'write' ? ['other names of what may not be written'] : [],
  };
}

function handOnSocket(match: NonNullable<HardeningRule['socket']>): Handed | null {
  const { family, type, ...others } = match;
  if (Object.keys(others).length > 0) return null;
  const families = family?.map((name) => socketFamilyNumbers[name]) ?? [anySocket];
  const types = type?.map((name) => socketTypeNumbers[name]) ?? [anySocket];
  const lines = families.flatMap((one) => types.map((of) => `deny socket ${one} ${of}`));
  return lines.length > 32 ? null : { lines, passes: [] };
}

/** Landlock's rules about networks know TCP and ports, and no addresses. */
function handOnTcp(word: string, match: NonNullable<HardeningRule['connect']>): Handed | null {
  const { protocol, ...others } = match;
  if (protocol !== 'tcp' || Object.keys(others).length > 0) return null;
  return held(`handle ${word}`, ...(word === 'connect-tcp' ? ['TCP fast open'] : []));
}
