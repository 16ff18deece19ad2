// What a rule of HardeningPolicy is about: operations, and the objects of each, as they are named in it.
//
// One word comes to several operations where it would be gone around otherwise (HARDENING.md §2). What number
// stands for an object on a device is said later, by operation-keys.ts.

import { HuskOperation, HuskTrait } from '../../bpf/abi/layout.gen.ts';
import type { Exception } from '../contract/exception.ts';
import {
  type ExecMatch,
  type FileWord,
  fileWords,
  type HardeningRule,
  type PathMatch,
} from '../contract/policy.ts';
import { allCapabilities, capabilityNumber } from './capabilities.ts';
import { exceptedWords } from './exceptions.ts';
import { operationNumbers } from './operation-words.ts';

export type NamedObject =
  | { readonly kind: 'any' | 'default' }
  /** `above`: every folder above the path. */
  | { readonly kind: 'path' | 'under' | 'above'; readonly path: string }
  | { readonly kind: 'applet'; readonly name: string }
  | { readonly kind: 'trait'; readonly trait: HuskTrait }
  /** As programs ask for it: one more than the number meant. */
  | { readonly kind: 'number'; readonly number: number };

/** Objects of one operation; of `any`, those of `except` are taken out. */
export interface OperationReach {
  readonly operation: HuskOperation;
  readonly objects: readonly NamedObject[];
  readonly except: readonly NamedObject[];
}

const any: NamedObject = { kind: 'any' };
export const unresolved: NamedObject = { kind: 'trait', trait: HuskTrait.UNRESOLVED };
export const unlistedApplet: NamedObject = { kind: 'trait', trait: HuskTrait.UNLISTED_APPLET };

/** Empty for rules about calls. */
export function operationReaches(rule: HardeningRule): readonly OperationReach[] {
  const { exec, file, privilege, kernel, memory } = rule;
  const isDeny = rule.action === 'deny';
  return [
    ...(exec === undefined ? [] : execReaches(exec, isDeny)),
    ...fileWords.flatMap((word) => {
      const match = file?.[word];
      return match === undefined ? [] : fileReaches(word, match, isDeny);
    }),
    ...(privilege?.setuid === true ? [whole(HuskOperation.SETUID)] : []),
    ...(privilege?.capabilities === undefined ? [] : [capabilityReach(privilege.capabilities)]),
    ...(privilege?.ptrace === true ? [whole(HuskOperation.PTRACE)] : []),
    ...(privilege?.userns === true ? [whole(HuskOperation.USERNS)] : []),
    ...(['module', 'bpf', 'kexec', 'perf', 'lockdown'] as const).flatMap((word) =>
      kernel?.[word] === true ? [whole(operationNumbers[word])] : [],
    ),
    ...(memory === undefined ? [] : [whole(HuskOperation.WRITE_EXECUTE)]),
  ];
}

/** What an exception lifts: the operations that a denial of the same words comes to, and no object that can't be resolved. */
export function exceptionReaches(exception: Exception): readonly OperationReach[] {
  const reaches = operationReaches({ ...exceptedWords(exception), id: '', action: 'allow' });
  return reaches.flatMap((reach) => {
    const { operation } = reach;
    if (operation === HuskOperation.EXEC) {
      const loaded = reach.objects.filter(canBeLoaded);
      return loaded.length === 0
        ? [reach]
        : [reach, { ...reach, operation: HuskOperation.LOAD, objects: loaded }];
    }
    if (operation !== HuskOperation.READ && operation !== HuskOperation.WRITE) return [reach];
    return [
      reach,
      { ...reach, operation: HuskOperation.LINK },
      { ...reach, operation: HuskOperation.RENAME },
    ];
  });
}

const canBeLoaded = (object: NamedObject) =>
  object.kind === 'trait' ? object.trait !== HuskTrait.SETUID : object.kind !== 'applet';

/**
 * The operation of which one rule says two things, one of them with exceptions: those would hold for the other as well,
 * since what is taken out is taken out of a rule. null: none.
 */
export function exceptionsMeet(reaches: readonly OperationReach[]): HuskOperation | null {
  const met = reaches.find(
    ({ operation, except }, index) =>
      except.length > 0 && reaches.some((other, at) => at !== index && other.operation === operation),
  );
  return met?.operation ?? null;
}

const whole = (operation: HuskOperation): OperationReach => ({ operation, objects: [any], except: [] });

function execReaches(match: ExecMatch, isDeny: boolean): readonly OperationReach[] {
  const places = placesOf(match);
  const applets = appletsOf(match.applets);
  const unnamed = [
    ...(match.memfd === true ? [trait(HuskTrait.MEMFD)] : []),
    ...(match.deleted === true ? [trait(HuskTrait.DELETED)] : []),
  ];
  const setuid = match.setuid === true ? [trait(HuskTrait.SETUID)] : [];
  const isNamed = isDeny && places.length + applets.length > 0;
  const named = [
    ...places,
    ...unnamed,
    ...setuid,
    ...applets,
    ...(isDeny && applets.length > 0 ? [unlistedApplet] : []),
    ...(isNamed ? [unresolved] : []),
  ];
  const except = [...exceptedPlaces(match), ...appletsOf(match.except?.applets)];
  const run: OperationReach = {
    operation: HuskOperation.EXEC,
    objects: named.length === 0 ? [any] : named,
    except,
  };
  const loaded = [...places, ...unnamed, ...(places.length > 0 ? [unresolved] : [])];
  if (!isDeny || loaded.length === 0) return [run];
  return [run, { operation: HuskOperation.LOAD, objects: loaded, except: [] }];
}

function fileReaches(word: FileWord, match: PathMatch, isDeny: boolean): readonly OperationReach[] {
  const places = placesOf(match);
  const except = exceptedPlaces(match);
  const objects = places.length === 0 ? [any] : [...places, ...(isDeny ? [unresolved] : [])];
  const own = { operation: operationNumbers[word], objects, except };
  // Under another name it would be read or written after all.
  const isNamed = places.length + except.length > 0;
  if (!isDeny || !isNamed || (word !== 'read' && word !== 'write')) return [own];
  const above = [...(match.paths ?? []), ...(match.under ?? [])].map(
    (path): NamedObject => ({ kind: 'above', path }),
  );
  return [
    own,
    { operation: HuskOperation.LINK, objects, except },
    { operation: HuskOperation.RENAME, objects: [...objects, ...above], except },
  ];
}

function capabilityReach(names: readonly string[]): OperationReach {
  const operation = HuskOperation.CAPABILITY;
  if (names.includes(allCapabilities)) return whole(operation);
  const objects = names.flatMap((name): readonly NamedObject[] => {
    const number = capabilityNumber(name);
    return number === null ? [] : [{ kind: 'number', number: number + 1 }];
  });
  return { operation, objects, except: [] };
}

const trait = (which: HuskTrait): NamedObject => ({ kind: 'trait', trait: which });

function placesOf({ paths = [], under = [] }: Pick<PathMatch, 'paths' | 'under'>): readonly NamedObject[] {
  return [
    ...paths.map((path): NamedObject => ({ kind: 'path', path })),
    ...under.map((path): NamedObject => ({ kind: 'under', path })),
  ];
}

/** Each object is then taken out once, however many of these it is below. */
function exceptedPlaces({ except = {} }: Pick<PathMatch, 'except'>): readonly NamedObject[] {
  const { paths = [], under = [] } = except;
  const folders = under.filter(
    (path, at) => !under.some((one, other) => other !== at && isAbove(one, path, other < at)),
  );
  return placesOf({
    paths: paths.filter((path) => !folders.some((one) => isBelow(path, one))),
    under: folders,
  });
}

const isAbove = (one: string, path: string, isEarlier: boolean) =>
  one === path ? isEarlier : isBelow(path, one);

/** Whether the path is the folder or below it. */
export const isBelow = (path: string, folder: string) =>
  folder === '/' || path === folder || path.startsWith(`${folder}/`);

const appletsOf = (names: readonly string[] = []): readonly NamedObject[] =>
  [...new Set(names)].map((name) => ({ kind: 'applet', name }));
