// What programs saw of tasks: the rows of `profile` (what a subject does that learns) and of `differences` (where a policy in
// shadow decides otherwise). bpf/abi/sight.h has their shape.

import {
  decodeHuskSight,
  decodeHuskSightKey,
  HUSK_EVENT_PATH_CUT,
  HUSK_RULE_NONE,
  HUSK_SIGHT_LIVE_DENIES,
  HUSK_SIGHT_TYPED_BYTES,
  HuskSight,
  HuskSightKey,
  HuskSightKind,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle } from '../../native/index.ts';

/** Names of a path from its file system's root on; cut: the first of them are missing. */
export interface SightPath {
  /** major << 20 | minor. */
  readonly device: number;
  readonly names: readonly string[];
  readonly isCut: boolean;
}

export interface Sight {
  /** Counter index of who learns, or of the live rule; null: no rule. */
  readonly rule: number | null;
  readonly shadowRule: number | null;
  /** `enum husk_operation`. */
  readonly operation: number;
  /** `enum husk_sight_kind`. */
  readonly kind: number;
  /** NUMBER: as the kernel has it, one more than is meant. */
  readonly number: number;
  /** Bits of `enum husk_trait`. */
  readonly traits: number;
  /** CALL: 16 bytes, network order; IPv4 as ::ffff:a.b.c.d. */
  readonly address: Uint8Array;
  readonly port: number;
  readonly ipProto: number;
  readonly socketFamily: number;
  readonly socketType: number;
  /** Differences: it is denied live and not in shadow; false: the other way round. */
  readonly liveDenies: boolean;
  readonly path: SightPath | null;
  /** The last part of the name a program was started by; null: none, or longer than there is room for. */
  readonly startedAs: string | null;
  readonly count: bigint;
  /** Boot time. */
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  /** Of the first task. */
  readonly command: string;
  readonly tgid: number;
  readonly uid: number;
}

/** Rows that say something: what a program has just begun to write is left for the next time. */
export async function readSights(addon: Addon, map: MapHandle): Promise<Sight[]> {
  const { keys, values, count } = await addon.readAll(map);
  const keyView = new DataView(keys.buffer, keys.byteOffset, keys.byteLength);
  const valueView = new DataView(values.buffer, values.byteOffset, values.byteLength);
  const sights = Array.from({ length: count }, (_, at) =>
    sightOf(
      decodeHuskSightKey(keyView, at * HuskSightKey.size),
      decodeHuskSight(valueView, at * HuskSight.size),
    ),
  );
  // A folder whose names all have rows of their own was counted in those.
  return sights.filter((one) => one.count > 0n);
}

/** Removes rows whose counter index `isKept` does not know. */
export async function removeSights(
  addon: Addon,
  map: MapHandle,
  isKept: (rule: number) => boolean,
): Promise<void> {
  const { keys, count } = await addon.readAll(map);
  const view = new DataView(keys.buffer, keys.byteOffset, keys.byteLength);
  for (let at = 0; at < count; at++) {
    const { rule } = decodeHuskSightKey(view, at * HuskSightKey.size);
    if (!isKept(rule)) addon.remove(map, keys.slice(at * HuskSightKey.size, (at + 1) * HuskSightKey.size));
  }
}

const ruleOf = (index: number) => (index === HUSK_RULE_NONE ? null : index);

function sightOf(key: HuskSightKey, sight: HuskSight): Sight {
  const { value, kind } = key;
  const isCall = kind === HuskSightKind.CALL;
  return {
    rule: ruleOf(key.rule),
    shadowRule: ruleOf(key.shadowRule),
    operation: key.operation,
    kind,
    number: kind === HuskSightKind.NUMBER ? Number(value) : 0,
    traits: key.traits,
    address: key.addr,
    port: key.port,
    ipProto: key.ipProto,
    socketFamily: isCall ? Number(value >> 16n) : 0,
    socketType: isCall ? Number(value & 0xffffn) : 0,
    liveDenies: (key.verdicts & HUSK_SIGHT_LIVE_DENIES) !== 0,
    path: sight.namesLength === 0 ? null : pathOf(sight),
    startedAs: startedAs(sight.typed),
    count: sight.count,
    firstNs: sight.firstNs,
    lastNs: sight.lastNs,
    command: sight.comm,
    tgid: sight.tgid,
    uid: sight.uid,
  };
}

/** Names come from the end of the path up, each with its NUL; the root's own is `/`. */
function pathOf({ names, namesLength, device, flags }: HuskSight): SightPath {
  const parts = new TextDecoder().decode(names.subarray(0, namesLength)).split('\0');
  return {
    device,
    names: parts.filter((one) => one !== '' && one !== '/').toReversed(),
    isCut: (flags & HUSK_EVENT_PATH_CUT) !== 0,
  };
}

function startedAs(typed: string): string | null {
  if (typed === '' || typed.length >= HUSK_SIGHT_TYPED_BYTES - 1) return null;
  return typed.slice(typed.lastIndexOf('/') + 1).replace(/^-/, '') || null;
}
