// A bundle's bytes to all that the kernel is given for it: read, checked, compiled, with what must hold before it goes live.
//
//   PolicyRequest ──▶ read ─▶ check ─▶ what holds here ─▶ compile ─▶ tries ──▶ PreparedPolicy
//
// Plain data in and out, nothing of this process: a large policy takes seconds and hundreds of megabytes, and so it is
// done in one of its own (prepare-elsewhere.ts), which may run out of either without the agent noticing.

import { createHash } from 'node:crypto';
import type { HuskPathKey } from '../bpf/abi/layout.gen.ts';
import type { FirmwareFacts } from './contract/firmware.ts';
import type { PolicyDocument, Tier } from './contract/policy.ts';
import { RefusalError } from './contract/refusal.ts';
import type { DocumentState } from './contract/state.ts';
import { devicePaths } from './device-paths.ts';
import { digestFile } from './os/file-digest.ts';
import { documentsHere } from './policy/applicable.ts';
import { checkDocuments } from './policy/check.ts';
import { compile } from './policy/compile.ts';
import { type CounterIndexesNow, indexesFrom } from './policy/counter-indexes.ts';
import type { DeviceView } from './policy/device-view.ts';
import { formatFaults } from './policy/faults.ts';
import type { Tries } from './policy/judgement.ts';
import { parseDocuments } from './policy/parse.ts';
import type { SetImages } from './policy/set-tables/set-image.ts';
import type { TableImage } from './policy/table-image.ts';
import { makeTries } from './policy/tries.ts';
import { readBundle } from './trust/verify.ts';

export interface PolicyRequest {
  /** As it is signed. */
  readonly bundle: Uint8Array;
  readonly tenant: string;
  readonly device: DeviceView;
  /** null: the time is not known. */
  readonly time: TimeNow | null;
  /** Milliseconds since 1970 that have certainly passed; null: nothing is certain. */
  readonly certainMs: number | null;
  readonly firmware: FirmwareFacts;
  /** Exceptions that are known to be over, see `endedKeyOf`. */
  readonly ended: readonly string[];
  /** What the device enforces calls by; null: it is not asked. */
  readonly tier: Tier | null;
  /** That paths are numbered by, of this very device; null: no program judges what tasks do. */
  readonly pathKey: HuskPathKey | null;
  readonly counters: CounterIndexesNow;
  /** False: it is in force, and was proven before it came to be. */
  readonly isToBeProven: boolean;
  /** Tables of big sets that the asker has at hand. */
  readonly sets: readonly KnownSet[];
}

export interface TimeNow {
  /** Milliseconds of boot time and since 1970, at the same moment. */
  readonly bootMs: number;
  readonly wallMs: number;
}

/** The table of a big set, without its bytes. */
export interface KnownSet {
  /** Of what the set means, see `setKey`. */
  readonly key: string;
  readonly chunkBytes: number;
  readonly byteLength: number;
}

export interface PreparedPolicy {
  /**
   * For the device without its cgroups (`compileFollowing` puts them in). The values of a table that the asker has are
   * empty.
   */
  readonly image: TableImage;
  /** The tables of big sets among those of the image, by kind. */
  readonly sets: ReadonlyMap<number, KnownSet>;
  /** Of each shield and exception, whether it holds here. */
  readonly documents: readonly DocumentState[];
  /** null: it is not to be proven. */
  readonly tries: Tries | null;
}

/** Throws RefusalError. */
export function preparePolicy(request: PolicyRequest): PreparedPolicy {
  const { documents, states } = documentsHere(readPolicy(request), {
    firmware: request.firmware,
    fileDigest: digestFile,
    time: { certainMs: request.certainMs, nowMs: request.time?.wallMs ?? null },
    ended: new Set(request.ended),
  });
  const images = new SharedSetImages(request.sets);
  const { device, counters, time, tier, pathKey } = request;
  const paths = pathKey === null ? {} : { paths: devicePaths(pathKey) };
  const image = compile(documents, {
    ...device,
    ...paths,
    ...(tier === null ? {} : { tier }),
    cgroupId: () => null,
    ruleIndex: indexesFrom(counters),
    bootSeconds: (moment) => bootSecondsOf(time, moment),
    setImages: images,
  });
  // At once, as long as what was read of large lists for the checks and the compiler is still at hand.
  const tries = request.isToBeProven ? makeTries(documents, { ...device, ...paths }) : null;
  return { ...images.takeOut(image), documents: states, tries };
}

/** The documents of a bundle, faultless. Throws RefusalError, policy.invalid with the first faults. */
function readPolicy({ bundle, tenant }: PolicyRequest): readonly PolicyDocument[] {
  const { documents, faults } = parseDocuments(readBundle(bundle, tenant).documents);
  const all = faults.length > 0 ? faults : checkDocuments(documents);
  const errors = all.filter((fault) => fault.severity === 'error');
  if (errors.length > 0) throw new RefusalError('policy.invalid', formatFaults(errors.slice(0, 20)));
  return documents;
}

/** The second of boot time that a moment (RFC 3339) is, never negative; null where the time is not known. */
function bootSecondsOf(now: TimeNow | null, moment: string): number | null {
  if (now === null) return null;
  return Math.max(0, Math.ceil((now.bootMs + Date.parse(moment) - now.wallMs) / 1000));
}

/** Sets that mean the same have the same key, however they are written. */
export function setKey(family: 4 | 6, ranges: Uint32Array): string {
  return createHash('sha256').update(`${family} `).update(ranges).digest('base64');
}

/** Builds what the asker does not have; what he has is stood for by as many bytes. */
class SharedSetImages implements SetImages {
  readonly #known: ReadonlyMap<string, KnownSet>;
  readonly #seen = new Map<Uint8Array, { readonly set: KnownSet; readonly isKnown: boolean }>();

  constructor(known: readonly KnownSet[]) {
    this.#known = new Map(known.map((one) => [one.key, one]));
  }

  get: SetImages['get'] = (family, ranges, build) => {
    const key = setKey(family, ranges);
    const known = this.#known.get(key);
    const { chunkBytes, bytes } =
      known === undefined ? build() : { ...known, bytes: new Uint8Array(known.byteLength) };
    const set = { key, chunkBytes, byteLength: bytes.length };
    this.#seen.set(bytes, { set, isKnown: known !== undefined });
    return { family, chunkBytes, bytes };
  };

  takeOut(image: TableImage): Pick<PreparedPolicy, 'image' | 'sets'> {
    const sets = new Map<number, KnownSet>();
    const tables = image.tables.map((table) => {
      const seen = this.#seen.get(table.values);
      if (seen === undefined) return table;
      sets.set(table.kind, seen.set);
      return seen.isKnown ? { ...table, values: new Uint8Array(0) } : table;
    });
    return { image: { ...image, tables }, sets };
  }
}
