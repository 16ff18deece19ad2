// Judges operations by a table image as the hardening programs do (bpf/include/decide.h): what shows on any machine,
// without a kernel, that the compiler and the evaluator agree.

import type { OperationAt, ProgramRun } from '../../agent/policy/evaluate.ts';
import type { Judgement } from '../../agent/policy/judgement.ts';
import { operationNumbers, pathOperations, traitNumbers } from '../../agent/policy/operation-words.ts';
import { appletNumber, placeNumber as numberOf, type Place } from '../../agent/policy/path-number.ts';
import type { DevicePaths, Table, TableImage } from '../../agent/policy/table-image.ts';
import {
  decodeHuskDecision,
  decodeHuskOperations,
  decodeHuskProgramSubjects,
  encodeHuskObject,
  encodeHuskProgram,
  HUSK_LINEAGE_MAX,
  HUSK_PATH_DEPTH_MAX,
  HUSK_RULE_NONE,
  HuskObject,
  HuskObjectKind,
  type HuskOperations,
  HuskProgram,
  HuskTable,
  HuskTrait,
} from '../../bpf/abi/layout.gen.ts';

const numbersBefore = new WeakMap<object, Map<string, bigint>>();

/** The few places of a test are asked for again and again. */
function placeNumber(place: Place, key: DevicePaths['pathKey']): bigint {
  const known = numbersBefore.get(key) ?? new Map<string, bigint>();
  numbersBefore.set(key, known);
  const name = `${place.device} ${place.path}`;
  const number = known.get(name) ?? numberOf(place, key);
  known.set(name, number);
  return number;
}

type IdOf = (index: number) => string | null;

/** Denials, would-be denials and exceptions that programs keep for one operation: DENIALS_KEPT. */
const keptByPrograms = 4;

export interface JudgedDevice {
  readonly paths: DevicePaths;
  cgroupId(path: string): bigint | null;
  /** Rules kept for one operation; absent: as many as programs keep. Of more, one is taken to stand (HARDENING.md §3). */
  readonly kept?: number;
}

/** `canarySubjects`: as the label gives them to the canary; absent: those of the task. */
export function judgeOperation(
  image: TableImage,
  idOf: IdOf,
  { task, operation, object }: OperationAt,
  device: JudgedDevice,
  canarySubjects?: bigint,
): Judgement {
  const reader = new Reader(image, device);
  const number = operationNumbers[operation];
  const all = reader.operations;
  if (all === null) return { verdict: 'allow', reason: 'no-subject', rule: null, monitored: null };
  const subjects = canarySubjects ?? reader.subjectsOf(task);
  if (subjects === 0n) return { verdict: 'allow', reason: 'no-subject', rule: null, monitored: null };
  const asked = new Asked(reader, subjects & (all.subjects[number] ?? 0n), number);
  const traits = new Set<number>((object.traits ?? []).map((name) => traitNumbers[name]));
  let applet: bigint | null = null;
  const place = object.path === undefined ? null : device.paths.placeOf(object.path);
  const isAskedFor = ((all.withPaths[number] ?? 0n) & subjects) !== 0n;
  // The test says that what has a path can't be resolved; programs find out when they look.
  traits.delete(HuskTrait.UNRESOLVED);
  if (pathOperations.includes(operation) && isAskedFor) {
    const isUnresolved = object.traits?.includes('unresolved') === true;
    const names = place?.path.split('/').filter((name) => name !== '') ?? [];
    if (isUnresolved || names.length > HUSK_PATH_DEPTH_MAX) traits.add(HuskTrait.UNRESOLVED);
    else if (place !== null) {
      asked.path(place);
      const typed = object.startedAs ?? names.at(-1) ?? '';
      const known = operation === 'exec' ? reader.applet(place, typed) : null;
      if (known === 'unlisted') traits.add(HuskTrait.UNLISTED_APPLET);
      else applet = known;
    }
  }
  for (const trait of [...traits].toSorted((a, b) => a - b)) asked.ask(HuskObjectKind.TRAIT, BigInt(trait));
  if (object.number !== undefined) asked.ask(HuskObjectKind.NUMBER, BigInt(object.number + 1));
  if (applet !== null) asked.ask(HuskObjectKind.APPLET, applet);
  asked.ask(HuskObjectKind.ANY, 0n);
  if (asked.standing() === HUSK_RULE_NONE && asked.allowed === HUSK_RULE_NONE) {
    asked.ask(HuskObjectKind.DEFAULT, 0n);
  }
  const denial = asked.standing();
  const rule = idOf(denial === HUSK_RULE_NONE ? asked.allowed : denial);
  const judgement: Judgement = {
    verdict: denial === HUSK_RULE_NONE ? 'allow' : 'deny',
    reason: rule === null || /\/default-/.test(rule) ? 'default' : 'rule',
    rule,
    monitored: idOf(asked.wouldDeny()),
  };
  return asked.kills() ? { ...judgement, kills: true } : judgement;
}

class Asked {
  readonly #reader: Reader;
  readonly #subjects: bigint;
  readonly #operation: number;
  readonly #kept: number;
  readonly #denials: { readonly rule: number; kills: boolean }[] = [];
  readonly #would: number[] = [];
  readonly #lifts: number[] = [];
  #wouldAllow = HUSK_RULE_NONE;
  allowed: number = HUSK_RULE_NONE;

  constructor(reader: Reader, subjects: bigint, operation: number) {
    this.#reader = reader;
    this.#subjects = subjects;
    this.#operation = operation;
    this.#kept = reader.device.kept ?? keptByPrograms;
  }

  /** The path and every folder above it, from the root down. */
  path({ device, path }: Place): void {
    const { pathKey } = this.#reader.device.paths;
    const names = path.split('/').filter((name) => name !== '');
    this.ask(HuskObjectKind.PATH, placeNumber({ device, path }, pathKey));
    for (let depth = 0; depth <= names.length; depth++) {
      const folder = `/${names.slice(0, depth).join('/')}`;
      this.ask(HuskObjectKind.UNDER, placeNumber({ device, path: folder }, pathKey));
    }
  }

  ask(kind: HuskObjectKind, value: bigint): void {
    for (let subject = 0; subject < 64; subject++) {
      if (((this.#subjects >> BigInt(subject)) & 1n) === 0n) continue;
      const decision = this.#reader.decision({ subject, operation: this.#operation, kind, value });
      if (decision === null) continue;
      if (decision.deniedBy !== HUSK_RULE_NONE) this.#deny(decision.deniedBy, decision.kills !== 0);
      const isMeant = kind !== HuskObjectKind.DEFAULT || this.#wouldAllow === HUSK_RULE_NONE;
      if (isMeant) note(this.#would, decision.wouldDeny);
      note(this.#lifts, decision.lifts);
      if (this.#wouldAllow === HUSK_RULE_NONE) this.#wouldAllow = decision.wouldAllow;
      if (this.allowed === HUSK_RULE_NONE) this.allowed = decision.allowedBy;
    }
  }

  #deny(rule: number, kills: boolean): void {
    const known = this.#denials.find((one) => one.rule === rule);
    if (known === undefined) this.#denials.push({ rule, kills });
    else known.kills ||= kills;
  }

  /** The first denial that nothing lifts; of more than are kept one may stand. */
  standing = () => this.#first(this.#denials.map(({ rule }) => rule));
  wouldDeny = () => this.#first(this.#would);

  /** Of more denials than are kept nobody knows whether they are lifted. */
  kills(): boolean {
    const lifts = this.#lifts.slice(0, this.#kept);
    return this.#denials.some(({ rule, kills }, at) => kills && (at >= this.#kept || !lifts.includes(rule)));
  }

  #first(rules: readonly number[]): number {
    const lifts = this.#lifts.slice(0, this.#kept);
    const found = rules.slice(0, this.#kept).find((rule) => !lifts.includes(rule));
    return found ?? (rules.length > this.#kept ? (rules[this.#kept - 1] ?? HUSK_RULE_NONE) : HUSK_RULE_NONE);
  }
}

/** Each once. */
function note(rules: number[], rule: number): void {
  if (rule !== HUSK_RULE_NONE && !rules.includes(rule)) rules.push(rule);
}

class Reader {
  readonly device: JudgedDevice;
  readonly operations: HuskOperations | null;
  readonly #tables: ReadonlyMap<number, ReadonlyMap<string, DataView>>;

  constructor({ tables }: TableImage, device: JudgedDevice) {
    this.device = device;
    this.#tables = new Map(tables.map((table) => [table.kind, knownRows(table)]));
    const all = this.#tables.get(HuskTable.OPERATIONS)?.get('00000000');
    this.operations = all === undefined ? null : decodeHuskOperations(all, 0);
  }

  subjectsOf(task: OperationAt['task']): bigint {
    const all = this.operations;
    if (all === null) return 0n;
    const isKnown = task.lineageKnown && task.lineage.length > 0;
    const lineage = task.lineage.slice(0, HUSK_LINEAGE_MAX);
    const byProgram = lineage.reduce((bits, program, at) => bits | this.#programBits(program, at === 0), 0n);
    const byUser = this.#u64(HuskTable.USERS, u32(task.user));
    return (
      (byProgram | all.anyProgram | (isKnown ? 0n : all.unknown)) &
      (all.anyUser | byUser) &
      (all.anyCgroup | this.#cgroupBits(task.cgroup))
    );
  }

  #programBits({ path, applet }: ProgramRun, isOwn: boolean): bigint {
    const { pathKey, placeOf } = this.device.paths;
    const place = placeOf(path);
    if (place === null) return 0n;
    const number = placeNumber(place, pathKey);
    const names = [0n, ...(applet === null ? [] : [appletNumber(applet, pathKey)])];
    return names.reduce((bits, name) => {
      const found = this.#find(HuskTable.PROGRAMS, programKey(number, name));
      if (found === null) return bits;
      const { own, lineage } = decodeHuskProgramSubjects(found, 0);
      return bits | lineage | (isOwn ? own : 0n);
    }, 0n);
  }

  #cgroupBits(cgroup: string | null): bigint {
    if (cgroup === null) return 0n;
    const parts = cgroup.split('/');
    return parts.reduce((bits, _, at) => {
      const id = this.device.cgroupId(parts.slice(0, at + 1).join('/'));
      return id === null ? bits : bits | this.#u64(HuskTable.SUBJECTS, u64(id));
    }, 0n);
  }

  /** null: no program of many. */
  applet(place: Place, typed: string): bigint | 'unlisted' | null {
    const { pathKey } = this.device.paths;
    const number = placeNumber(place, pathKey);
    if (this.#find(HuskTable.APPLETS, programKey(number, 0n)) === null) return null;
    const name = appletNumber(typed, pathKey);
    return this.#find(HuskTable.APPLETS, programKey(number, name)) === null ? 'unlisted' : name;
  }

  decision(object: HuskObject) {
    const key = new Uint8Array(HuskObject.size);
    encodeHuskObject(new DataView(key.buffer), 0, object);
    const found = this.#find(HuskTable.DECISIONS, key);
    return found === null ? null : decodeHuskDecision(found, 0);
  }

  #u64 = (kind: number, key: Uint8Array) => this.#find(kind, key)?.getBigUint64(0, true) ?? 0n;

  #find(kind: number, key: Uint8Array): DataView | null {
    return this.#tables.get(kind)?.get(hex(key)) ?? null;
  }
}

const rowsBefore = new WeakMap<Table, ReadonlyMap<string, DataView>>();

function knownRows(table: Table): ReadonlyMap<string, DataView> {
  const known = rowsBefore.get(table) ?? rowsOf(table);
  rowsBefore.set(table, known);
  return known;
}

function rowsOf({ count, keySize, valueSize, keys, values }: Table): ReadonlyMap<string, DataView> {
  return new Map(
    Array.from({ length: count }, (_, index) => [
      hex(keys.subarray(index * keySize, (index + 1) * keySize)),
      new DataView(values.buffer, values.byteOffset + index * valueSize, valueSize),
    ]),
  );
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function programKey(path: bigint, applet: bigint): Uint8Array {
  const key = new Uint8Array(HuskProgram.size);
  encodeHuskProgram(new DataView(key.buffer), 0, { path, applet });
  return key;
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}
