// The maps of the set by name, and which outer map holds which kind of table.

import { HuskTable } from '../../bpf/abi/layout.gen.ts';

export { HuskTable };

export const HUSK_TABLE_GENERATION_KIND = HuskTable.GENERATION;

/** Outer map of each kind, in order of kind. Names as bpf/include/maps.h declares them. */
export const slotMaps = [
  'generation_slots',
  'zones_slots',
  'ingress_slots',
  'egress_slots',
  'set4_slots',
  'set6_slots',
  'subjects_slots',
  'calls_slots',
  'call_set4_slots',
  'call_set6_slots',
] as const;

/** Maps that all programs share besides the slots. */
export const sharedMaps = [
  'control',
  'try_label',
  'tried',
  'totals',
  'counters',
  'rule_names',
  'packet_events',
  'call_events',
  'event_budget',
] as const;

/**
 * Tables that follow the device while their generation is in force: an interface that appears, a daemon's
 * cgroup that is made anew. Adding one entry tears nothing; they are never shared between slots, never frozen.
 */
export const followingKinds: readonly number[] = [HuskTable.ZONES, HuskTable.SUBJECTS];

export const mapType = { hash: 1, array: 2, lpmTrie: 11 } as const;

/** A table's name in the kernel (15 characters at the most), for bpftool. */
export function innerMapName(kind: number): string {
  return `husk_${(slotMaps[kind] ?? 'table').replace('_slots', '')}`.slice(0, 15);
}
