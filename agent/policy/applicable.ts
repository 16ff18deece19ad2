// Which documents hold on a device: shields that are needed there, exceptions that have not ended.
//
//   other vendor, model, build or older firmware  ─▶ not-applicable: left out
//   firmware is fixed, or it has expired          ─▶ retire-proposed: in force until a signed bundle drops it
//     and `retireAutomatically: true`             ─▶ retired: left out
//
// Nobody is left unprotected by what is not known: facts that are missing, that somebody on the device could have
// written, and versions that can't be compared count as those of a vulnerable device. An expiry counts by a time that
// has certainly passed, and never by a clock that anybody could have set. An exception is the other way round: it ends by
// whichever clock says so, and holds only while somebody knows the time.

import type { FirmwareFacts } from '../contract/firmware.ts';
import type { Exception, PolicyDocument, Shield } from '../contract/policy.ts';
import type { AppliesTo, ExecutableHash } from '../contract/shield.ts';
import type { DocumentState } from '../contract/state.ts';
import { endMs } from './expiry.ts';
import { parseRange, parseVersion, standing } from './firmware-version.ts';
import { matchesGlob } from './globs.ts';
import { activeMode } from './ids.ts';

/** What only the device knows. */
export interface ApplicableFacts {
  readonly firmware: FirmwareFacts;
  /** SHA-256 (hex; null: not known) of a file, and whether nobody on the device can have changed it. */
  fileDigest(path: string): { readonly sha256: string | null; readonly isInImage: boolean };
  readonly time: TimeFacts;
  /** Exceptions that were found to be over since this agent started: a clock that is set back makes none hold again. */
  readonly ended: ReadonlySet<string>;
}

/** Milliseconds since 1970. */
export interface TimeFacts {
  /** That have certainly passed; null: nothing is certain. */
  readonly certainMs: number | null;
  /** What any clock says, the latest; null: nobody has set the time. */
  readonly nowMs: number | null;
}

export interface DocumentsHere {
  readonly documents: readonly PolicyDocument[];
  /** Of each shield and exception, in order. */
  readonly states: readonly DocumentState[];
}

export function documentsHere(documents: readonly PolicyDocument[], facts: ApplicableFacts): DocumentsHere {
  const states: DocumentState[] = [];
  const here = documents.filter((document) => {
    if (document.kind !== 'Shield' && document.kind !== 'Exception') return true;
    const state = document.kind === 'Shield' ? shieldHere(document, facts) : exceptionHere(document, facts);
    states.push(state);
    return isInForce(state.state);
  });
  // The very same array where nothing is left out: what was read of it is kept by it.
  return { documents: here.length === documents.length ? documents : here, states };
}

/** Whether time alone can take it out of force, or put it there. */
export const canEnd = ({ kind, retiresItself }: DocumentState) => kind === 'Exception' || retiresItself;

/** Whether what is in force would be another. `now`: the same documents, by the time that it is. */
export const isOutdated = (made: readonly DocumentState[], now: readonly DocumentState[]) =>
  made.some(({ state }, at) => isInForce(state) !== isInForce(now[at]?.state ?? state));

const isInForce = (state: DocumentState['state']) => state === 'applies' || state === 'retire-proposed';

/** The state as time goes on, without asking the device again: expired, a shield may be retired, and an exception ends. */
export function documentAt(shield: DocumentState, { certainMs, nowMs }: TimeFacts): DocumentState {
  if (shield.kind === 'Exception') return exceptionAt(shield, nowMs);
  const { state, endsMs, retiresItself } = shield;
  if (!isInForce(state)) return shield;
  if (certainMs === null || endsMs === null || certainMs < endsMs) return shield;
  const why = state === 'applies' ? 'expired' : (shield.why ?? 'expired');
  return { ...shield, state: retiresItself ? 'retired' : 'retire-proposed', why };
}

function exceptionHere({ metadata, spec }: Exception, { time, ended }: ApplicableFacts): DocumentState {
  const { name } = metadata;
  const state = ended.has(endedKey(name, spec.expires)) ? 'ended' : 'inactive';
  return exceptionAt(
    { kind: 'Exception', name, state, endsMs: endMs(spec.expires), retiresItself: false },
    time.nowMs,
  );
}

/** By which an exception is remembered that was over. */
const endedKey = (name: string, expires: string) => `${name} ${endMs(expires)}`;
export const endedKeyOf = ({ name, endsMs }: DocumentState) => `${name} ${endsMs}`;

/** It holds while it is known not to be over, and once it is, never again. */
function exceptionAt({ why: _, ...exception }: DocumentState, nowMs: number | null): DocumentState {
  const { state, endsMs } = exception;
  if (state === 'ended') return { ...exception, why: 'it is over' };
  if (nowMs === null) return { ...exception, state: 'inactive', why: 'nobody has set the time' };
  if (endsMs === null || nowMs >= endsMs) return { ...exception, state: 'ended', why: 'it is over' };
  return { ...exception, state: 'applies' };
}

function shieldHere({ metadata, spec }: Shield, facts: ApplicableFacts): DocumentState {
  const retiresItself = spec.retireAutomatically === true;
  const head = {
    kind: 'Shield',
    name: metadata.name,
    endsMs: endMs(spec.expires),
    retiresItself,
    cve: listOf(spec.cve),
    severity: spec.severity,
  } as const;
  const { appliesTo = {}, mode } = spec;
  if (activeMode(mode, undefined) === null) return { ...head, state: 'off', why: `its mode is ${mode}` };
  const answers = [
    ...namedAnswers(appliesTo, facts.firmware),
    ...(appliesTo.executable === undefined ? [] : [hashAnswer(appliesTo.executable, facts)]),
    ...(appliesTo.firmware === undefined ? [] : [versionAnswer(appliesTo.firmware, facts.firmware)]),
  ];
  const other = answers.find(({ kind }) => kind === 'other');
  if (other !== undefined) return { ...head, state: 'not-applicable', why: other.why };
  const fixed = answers.find(({ kind }) => kind === 'fixed');
  if (fixed !== undefined)
    return { ...head, state: retiresItself ? 'retired' : 'retire-proposed', why: fixed.why };
  const unknown = answers.filter(({ kind }) => kind === 'unknown').map(({ why }) => why);
  const why = unknown.length === 0 ? {} : { why: `${unknown.join('; ')}: taken for vulnerable` };
  return documentAt({ ...head, state: 'applies', ...why }, facts.time);
}

/** other: it is not for this device. fixed: it was, and is no more needed. */
interface Answer {
  readonly kind: 'holds' | 'other' | 'fixed' | 'unknown';
  readonly why: string;
}

const holds: Answer = { kind: 'holds', why: '' };
const listOf = (value: string | readonly string[]): readonly string[] =>
  typeof value === 'object' ? value : [value];

function namedAnswers(appliesTo: AppliesTo, firmware: FirmwareFacts): readonly Answer[] {
  return (['vendor', 'model'] as const).flatMap((key) => {
    const globs = appliesTo[key];
    if (globs === undefined) return [];
    const name = firmware[key];
    if (name === null || firmware.untrusted !== null) return [unknown(key, firmware)];
    const isMeant = listOf(globs).some((glob) => matchesGlob(glob.toLowerCase(), name.toLowerCase()));
    return [isMeant ? holds : { kind: 'other' as const, why: `the ${key} is ${name}` }];
  });
}

function unknown(key: 'vendor' | 'model' | 'version', { untrusted }: FirmwareFacts): Answer {
  return { kind: 'unknown', why: `${key} not known (${untrusted ?? 'the firmware does not say it'})` };
}

function versionAnswer(firmware: string | readonly string[], facts: FirmwareFacts): Answer {
  if (facts.version === null || facts.untrusted !== null) return unknown('version', facts);
  const version = parseVersion(facts.version);
  const ranges = listOf(firmware)
    .map(parseRange)
    .filter((range) => typeof range !== 'string');
  const incomparable: Answer = { kind: 'unknown', why: `firmware ${facts.version} can't be compared` };
  if (version === null) return incomparable;
  switch (standing(ranges, version)) {
    case 'in':
      return holds;
    case 'fixed':
      return { kind: 'fixed', why: `firmware ${facts.version} is fixed` };
    case 'before':
      return { kind: 'other', why: `firmware ${facts.version} is none of the vulnerable` };
    case 'unknown':
      return incomparable;
  }
}

/** Another build is another program; one that somebody on the device may have written proves nothing. */
function hashAnswer({ path, sha256 }: ExecutableHash, facts: ApplicableFacts): Answer {
  const found = facts.fileDigest(path);
  if (found.sha256 === null) return { kind: 'unknown', why: `${path} can't be read` };
  if (sha256.includes(found.sha256)) return holds;
  if (!found.isInImage) return { kind: 'unknown', why: `${path} is another build, on a writable mount` };
  return { kind: 'other', why: `${path} is another build` };
}
