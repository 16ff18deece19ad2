// The maps of the set by name, and which outer map holds which kind of table.
//
// Most kinds have an outer map of their own, with one entry a slot. Kinds that belong together share one: both
// directions of rules, all big sets of a family. And some are made in several sizes, each of which needs an outer map, since
// the entries of one are alike: of those, a slot has its table in one, and nothing in the others.

import {
  HUSK_BIG_SETS_MAX,
  HUSK_CLASSIFIER_LARGE_BYTES,
  HUSK_CLASSIFIER_MEDIUM_BYTES,
  HUSK_CLASSIFIER_SMALL_BYTES,
  HUSK_SET_LARGE_CHUNK_BYTES,
  HUSK_SET_SMALL_CHUNK_BYTES,
  HuskTable,
} from '../../bpf/abi/layout.gen.ts';
import type { Slot } from './live-word.ts';

export { HuskTable };

export const HUSK_TABLE_GENERATION_KIND = HuskTable.GENERATION;

/** Where the tables of a kind are. */
export interface Outer {
  /** As bpf/include/maps.h declares it. */
  readonly map: string;
  /** Bytes of a value of the tables that are in it; null: of every table of the kind. */
  readonly valueSize: number | null;
  /** Tables of one slot in it, and which of them this kind is. */
  readonly perSlot: number;
  readonly which: number;
}

const one = (map: string): readonly Outer[] => [{ map, valueSize: null, perSlot: 1, which: 0 }];
const directed = (map: string, which: number): readonly Outer[] => [
  { map, valueSize: null, perSlot: 2, which },
];
const classes = (which: number): readonly Outer[] => [
  { map: 'classes_small_slots', valueSize: HUSK_CLASSIFIER_SMALL_BYTES, perSlot: 2, which },
  { map: 'classes_medium_slots', valueSize: HUSK_CLASSIFIER_MEDIUM_BYTES, perSlot: 2, which },
  { map: 'classes_large_slots', valueSize: HUSK_CLASSIFIER_LARGE_BYTES, perSlot: 2, which },
];
const big = (family: 4 | 6, which: number): readonly Outer[] => [
  {
    map: `big${family}_small_slots`,
    valueSize: HUSK_SET_SMALL_CHUNK_BYTES,
    perSlot: HUSK_BIG_SETS_MAX,
    which,
  },
  {
    map: `big${family}_large_slots`,
    valueSize: HUSK_SET_LARGE_CHUNK_BYTES,
    perSlot: HUSK_BIG_SETS_MAX,
    which,
  },
];

const outers: ReadonlyMap<number, readonly Outer[]> = new Map([
  [HuskTable.GENERATION, one('generation_slots')],
  [HuskTable.ZONES, one('zones_slots')],
  [HuskTable.INGRESS, directed('rules_slots', 0)],
  [HuskTable.EGRESS, directed('rules_slots', 1)],
  [HuskTable.SUBJECTS, one('subjects_slots')],
  [HuskTable.CALLS, one('calls_slots')],
  [HuskTable.CALL_SET4, one('call_set4_slots')],
  [HuskTable.CALL_SET6, one('call_set6_slots')],
  [HuskTable.DEFERRED, one('deferred_slots')],
  [HuskTable.INGRESS_EXTRA, directed('extra_slots', 0)],
  [HuskTable.EGRESS_EXTRA, directed('extra_slots', 1)],
  [HuskTable.INGRESS_CLASSES, classes(0)],
  [HuskTable.EGRESS_CLASSES, classes(1)],
  [HuskTable.ADDITIONS4, one('additions4_slots')],
  [HuskTable.ADDITIONS6, one('additions6_slots')],
  [HuskTable.OPERATIONS, one('operations_slots')],
  [HuskTable.PROGRAMS, one('programs_slots')],
  [HuskTable.USERS, one('users_slots')],
  [HuskTable.APPLETS, one('applets_slots')],
  [HuskTable.DECISIONS, one('decisions_slots')],
  ...Array.from({ length: HUSK_BIG_SETS_MAX }, (_, set): [number, readonly Outer[]] => [
    HuskTable.BIG4 + set,
    big(4, set),
  ]),
  ...Array.from({ length: HUSK_BIG_SETS_MAX }, (_, set): [number, readonly Outer[]] => [
    HuskTable.BIG6 + set,
    big(6, set),
  ]),
]);

/** Every kind there is, in order. */
export const tableKinds: readonly number[] = [...outers.keys()].toSorted((a, b) => a - b);

/** Outer maps that may hold a table of the kind. */
export function outersOf(kind: number): readonly Outer[] {
  const found = outers.get(kind);
  if (found === undefined) throw new Error(`there are no tables of kind ${kind}`);
  return found;
}

/** The outer map for a table of the kind whose values are so large. */
export function outerFor(kind: number, valueSize: number): Outer {
  const fitting = outersOf(kind).find((outer) => outer.valueSize === null || outer.valueSize === valueSize);
  if (fitting === undefined)
    throw new Error(`no outer map takes tables of kind ${kind} with values of ${valueSize}`);
  return fitting;
}

/** The entry of a slot in an outer map. */
export const entryOf = ({ perSlot, which }: Outer, slot: Slot) => slot * perSlot + which;

/** Every outer map, once. */
export const slotMaps: readonly string[] = [...new Set([...outers.values()].flat().map(({ map }) => map))];

/** Maps that all programs share besides the slots. */
export const sharedMaps = [
  'control',
  'try_label',
  'tried',
  'totals',
  'counters',
  'rule_names',
  'own_addresses',
  'packet_events',
  'call_events',
  'trace_events',
  'trace_filter',
  'event_budget',
  'profile',
  'differences',
  'blank_sight',
] as const;

/** What stands in `own_addresses` says nothing: an address is in the map or it is not. */
export const ownAddressValue = Uint8Array.of(1, 0, 0, 0);

/** Maps that packet programs alone share. */
export const packetMaps = [
  'connections',
  'connection_setup',
  'connection_counts',
  'connection_fragments',
  'rates',
  'reject_budget',
  'clocks',
  'cookie_clock',
] as const;

/**
 * Tables that follow the device while their generation is in force: an interface that appears, a daemon's
 * cgroup that is made anew. Adding one entry tears nothing; they are never shared between slots, never frozen.
 */
export const followingKinds: readonly number[] = [HuskTable.ZONES, HuskTable.DEFERRED, HuskTable.SUBJECTS];

/** Tables that programs write to as well: counts of entries. What is in them differs from what was put there. */
export const countingKinds: readonly number[] = [HuskTable.ADDITIONS4, HuskTable.ADDITIONS6];

export const mapType = { hash: 1, array: 2, lpmTrie: 11 } as const;

/** A table's name in the kernel (15 characters at the most), for bpftool. */
export function innerMapName(kind: number): string {
  const outer = outers.get(kind)?.[0]?.map ?? 'table';
  return `husk_${outer.replace('_slots', '').replace('_small', '')}`.slice(0, 15);
}
