// What an operation comes to by the letter of HardeningPolicy documents: HARDENING.md §2 and §3.

import type {
  Exception,
  ExecMatch,
  HardeningPolicy,
  HardeningRule,
  PathMatch,
  PolicyDocument,
} from '../../contract/policy.ts';
import { capabilityNumber } from '../capabilities.ts';
import { exceptedWords } from '../exceptions.ts';
import { activeMode, defaultMode, ruleId } from '../ids.ts';
import type { Judgement } from '../judgement.ts';
import type { OperationName, TraitName } from '../operation-words.ts';
import { exceptedRules, exceptionsFrom, isMeantFor } from './exceptions.ts';
import { plain } from './lines.ts';
import { groupSubjects, isSubject, type TaskAt } from './subjects.ts';

export interface OperationAt {
  readonly task: TaskAt;
  readonly operation: OperationName;
  readonly object: ObjectAt;
}

export interface ObjectAt {
  /** Absolute, where it really is. */
  readonly path?: string;
  /** Capability, lockdown reason. */
  readonly number?: number;
  readonly traits?: readonly TraitName[];
  /** exec: the last part of the name it is started by. */
  readonly startedAs?: string;
}

/** What only the device knows. */
export interface AppletPrograms {
  /** Names that a program of many applets has, by its path. */
  readonly applets: ReadonlyMap<string, readonly string[]>;
}

const namesMax = 32;

export function evaluateOperation(
  documents: readonly PolicyDocument[],
  { task, operation, object }: OperationAt,
  device: AppletPrograms = { applets: new Map() },
): Judgement {
  const subjects = groupSubjects(documents).filter(({ subject }) => isSubject(subject, task));
  if (subjects.length === 0) return plain('allow', 'no-subject');
  const asked = readObject(operation, object, device);
  const policies = subjects.flatMap((one, subject) =>
    one.documents.map((document) => ({ document, subject })),
  );
  const isLifted = (id: string) =>
    exceptionsFrom(documents, id).some((one) => isMeantFor(one, task) && liftsObject(one, asked));
  const excepted = exceptedRules(documents);
  // Of those alike, rules that have exceptions are named last.
  const exceptedLast = (a: { readonly id: string }, b: { readonly id: string }) =>
    Number(excepted.has(a.id)) - Number(excepted.has(b.id));
  const found = policies
    .flatMap(({ document, subject }) => sayingsOf(document, subject, asked))
    .filter(({ verdict, id }) => verdict !== 'deny' || !isLifted(id))
    .toSorted((a, b) => earlier(a, b) || exceptedLast(a, b));
  const first = (verdict: 'allow' | 'deny', mode: 'monitor' | 'enforce') =>
    found.find((one) => one.verdict === verdict && one.mode === mode);
  const denial = first('deny', 'enforce');
  const noted = first('deny', 'monitor')?.id ?? null;
  if (denial !== undefined) {
    const kills = found.some((one) => one.verdict === 'deny' && one.mode === 'enforce' && one.kills);
    const judgement = { verdict: 'deny', reason: 'rule', rule: denial.id, monitored: noted } as const;
    return kills ? { ...judgement, kills: true } : judgement;
  }
  const allowance = first('allow', 'enforce');
  if (allowance !== undefined) {
    return { verdict: 'allow', reason: 'rule', rule: allowance.id, monitored: noted };
  }
  const defaults = policies
    .flatMap(({ document, subject }) => defaultOf(document, operation).map((one) => ({ ...one, subject })))
    .filter(({ verdict, id }) => verdict !== 'deny' || !isLifted(id))
    .toSorted((a, b) => a.subject - b.subject || exceptedLast(a, b));
  const standing = (verdict: 'allow' | 'deny', mode: 'monitor' | 'enforce') =>
    defaults.find((one) => one.verdict === verdict && one.mode === mode);
  const wouldAllow = first('allow', 'monitor') !== undefined;
  const monitored = noted ?? (wouldAllow ? null : (standing('deny', 'monitor')?.id ?? null));
  const decided = standing('deny', 'enforce') ?? standing('allow', 'enforce');
  if (decided === undefined) return { ...plain('allow', 'default'), monitored };
  return { verdict: decided.verdict, reason: 'default', rule: decided.id, monitored };
}

/** An object as hooks see it. */
interface Asked {
  readonly operation: OperationName;
  /** null: it has none, or it can't be resolved. */
  readonly path: string | null;
  readonly number: number | null;
  readonly traits: readonly TraitName[];
  /** The name of a program of many; null: it is none, or that is none of its names. */
  readonly applet: string | null;
  readonly isUnlistedApplet: boolean;
}

function readObject(operation: OperationName, object: ObjectAt, { applets }: AppletPrograms): Asked {
  const isDeep = object.path !== undefined && namesOf(object.path).length > namesMax;
  const given = object.traits ?? [];
  const isUnresolved = isDeep || given.includes('unresolved');
  const path = isUnresolved ? null : (object.path ?? null);
  const names = operation === 'exec' && path !== null ? applets.get(path) : undefined;
  const name = object.startedAs ?? path?.slice(path.lastIndexOf('/') + 1) ?? '';
  return {
    operation,
    path,
    number: object.number ?? null,
    traits: isUnresolved ? [...given.filter((one) => one !== 'unresolved'), 'unresolved'] : given,
    applet: names?.includes(name) === true ? name : null,
    isUnlistedApplet: names !== undefined && !names.includes(name),
  };
}

const namesOf = (path: string) => path.split('/').filter((name) => name !== '');

/** Whether it names the object: as an allowance would, and for what a denial of the same words is asked as well. */
function liftsObject(exception: Exception, asked: Asked): boolean {
  const words = exceptedWords(exception);
  const { exec, file } = words;
  if (rankOf({ ...words, id: '', action: 'allow' }, asked) !== null) return true;
  if (asked.operation === 'load' && exec !== undefined) {
    const traits = asked.traits.filter((one) => one !== 'unresolved');
    return Object.keys(exec).length === 0 || loadRank(exec, { ...asked, traits }) !== null;
  }
  if (asked.operation !== 'link' && asked.operation !== 'rename') return false;
  return [file?.read, file?.write].some(
    (match) => match !== undefined && pathRank(match, false, asked) !== null,
  );
}

/** A rule that holds for the object. */
interface Found {
  readonly id: string;
  readonly verdict: 'allow' | 'deny';
  readonly mode: 'monitor' | 'enforce';
  readonly kills: boolean;
  /** By what it holds: the less, the sooner it is named. */
  readonly rank: number;
  /** Its place among the subjects of the task. */
  readonly subject: number;
}

/** The order in which rules are named, where several say the same; those alike stay as they are written. */
const earlier = (a: Found, b: Found) => a.rank - b.rank || a.subject - b.subject;

function sayingsOf(document: HardeningPolicy, subject: number, asked: Asked): readonly Found[] {
  return document.spec.rules.flatMap((rule): readonly Found[] => {
    const mode = activeMode(document.spec.mode, rule.mode);
    const rank = mode === null ? null : rankOf(rule, asked);
    if (mode === null || rank === null) return [];
    return [
      { id: ruleId(document, rule), verdict: rule.action, mode, kills: rule.kill === true, rank, subject },
    ];
  });
}

function defaultOf({ metadata, spec }: HardeningPolicy, operation: OperationName) {
  if (operation !== 'exec' && operation !== 'write' && operation !== 'create' && operation !== 'mount')
    return [];
  const verdict = spec.default?.[operation];
  if (verdict === undefined) return [];
  const mode = defaultMode(spec.mode);
  if (mode === null) return [];
  return [{ id: `${metadata.name}/default-${operation}`, verdict, mode }];
}

// By what a rule holds, in the order in which they are asked for.
const byPath = 0;
const byFolder = (folder: string) => 1 + namesOf(folder).length;
const traitRanks = { memfd: 101, deleted: 102, setuid: 103, unresolved: 104 } as const;
const byUnlistedApplet = 105;
const byNumber = 200;
const byApplet = 300;
const byAnything = 400;

/** null: it does not hold. */
function rankOf(rule: HardeningRule, asked: Asked): number | null {
  const { exec, file, privilege, kernel, memory, action } = rule;
  const isDeny = action === 'deny';
  const { operation } = asked;
  const whole = (isMeant: boolean | undefined) => (isMeant === true ? byAnything : null);
  switch (operation) {
    case 'exec':
      return exec === undefined ? null : execRank(exec, isDeny, asked);
    case 'load':
      return exec === undefined || !isDeny ? null : loadRank(exec, asked);
    case 'link':
    case 'rename': {
      const matches = [file?.[operation], ...(isDeny ? [named(file?.read), named(file?.write)] : [])];
      const ranks = matches.map((match) => (match === undefined ? null : pathRank(match, isDeny, asked)));
      const holdsBelow =
        isDeny && operation === 'rename' && (leadsTo(file?.read, asked) || leadsTo(file?.write, asked));
      return least([...ranks, holdsBelow ? byPath : null]);
    }
    case 'read':
    case 'write':
    case 'create':
    case 'delete':
    case 'chmod':
    case 'mount': {
      const match = file?.[operation];
      return match === undefined ? null : pathRank(match, isDeny, asked);
    }
    case 'capability':
      return capabilityRank(privilege?.capabilities, asked.number);
    case 'setuid':
    case 'ptrace':
    case 'userns':
      return whole(privilege?.[operation]);
    case 'writeExecute':
      return whole(memory?.writeExecute);
    default:
      return whole(kernel?.[operation]);
  }
}

const least = (ranks: readonly (number | null)[]): number | null =>
  ranks.reduce((best, one) => (one === null || (best !== null && best <= one) ? best : one), null);

type Paths = Pick<PathMatch, 'paths' | 'under'>;

/** By the path itself, or by the outermost folder it is below. */
function placeRank({ paths = [], under = [] }: Paths, path: string | null): number | null {
  if (path === null) return null;
  const folders = under.filter((folder) => isIn(path, folder)).map(byFolder);
  return least([paths.includes(path) ? byPath : null, ...folders]);
}

const isIn = (path: string, folder: string) =>
  folder === '/' || path === folder || path.startsWith(`${folder}/`);

/** Whether the match says which objects, so that another name for one would be a way around it. */
const named = (match: PathMatch | undefined) =>
  match !== undefined && Object.keys(match).length > 0 ? match : undefined;

/** Whether a path of the match is below this folder: under another name of that it would be another path. */
function leadsTo(match: PathMatch | undefined, { path }: Asked): boolean {
  // A root is no name in another folder.
  if (path === null || path === '/') return false;
  return [...(match?.paths ?? []), ...(match?.under ?? [])].some((one) => one !== path && isIn(one, path));
}

function pathRank(match: PathMatch, isDeny: boolean, { path, traits }: Asked): number | null {
  if (match.except !== undefined) return placeRank(match.except, path) === null ? byAnything : null;
  if (match.paths === undefined && match.under === undefined) return byAnything;
  const isUnresolved = isDeny && traits.includes('unresolved');
  return least([placeRank(match, path), isUnresolved ? traitRanks.unresolved : null]);
}

function execRank(match: ExecMatch, isDeny: boolean, asked: Asked): number | null {
  const { path, traits, applet, isUnlistedApplet } = asked;
  const isApplet = (names: readonly string[] = []) => applet !== null && names.includes(applet);
  if (match.except !== undefined) {
    const isTakenOut = placeRank(match.except, path) !== null || isApplet(match.except.applets);
    return isTakenOut ? null : byAnything;
  }
  const { paths, under, applets } = match;
  if (Object.keys(match).length === 0) return byAnything;
  const mayBe = isDeny && applets !== undefined && isUnlistedApplet;
  const asksName = paths !== undefined || under !== undefined || applets !== undefined;
  return least([
    placeRank(match, path),
    ...traits.filter((one) => one !== 'unresolved' && match[one] === true).map((one) => traitRanks[one]),
    isDeny && asksName && traits.includes('unresolved') ? traitRanks.unresolved : null,
    mayBe ? byUnlistedApplet : null,
    isApplet(applets) ? byApplet : null,
  ]);
}

function loadRank(match: ExecMatch, { path, traits }: Asked): number | null {
  const { paths, under, memfd, deleted } = match;
  const asksPlace = paths !== undefined || under !== undefined;
  return least([
    placeRank(match, path),
    memfd === true && traits.includes('memfd') ? traitRanks.memfd : null,
    deleted === true && traits.includes('deleted') ? traitRanks.deleted : null,
    asksPlace && traits.includes('unresolved') ? traitRanks.unresolved : null,
  ]);
}

function capabilityRank(names: readonly string[] | undefined, number: number | null): number | null {
  if (names === undefined) return null;
  if (names.includes('all')) return byAnything;
  return number !== null && names.some((name) => capabilityNumber(name) === number) ? byNumber : null;
}
