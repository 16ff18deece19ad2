// What the classifier is given and what it is asked: entries and keys.
//
// An entry is a product of sets, one for each dimension of a packet; a list of entries is in order of
// priority. What a rule asks beyond these dimensions (MAC, VLAN, flags, length) is its caller's to check, on
// the entry that was found, before asking for the next.

import type { PortRange } from '../ports.ts';
import type { Ranges } from '../ranges.ts';

export interface AddressPair {
  readonly from: Ranges;
  readonly to: Ranges;
}

export interface ClassifierEntry {
  /** null: no IPv4 packet matches. */
  readonly ipv4: AddressPair | null;
  readonly ipv6: AddressPair | null;
  /** Frames that are not IP: without addresses, protocol and ports. */
  readonly other: boolean;
  /** null: any, and none. */
  readonly protocols: readonly number[] | null;
  /** null: any, also packets without ports. ICMP has `from` 0 and `to` type << 8 | code. */
  readonly ports: { readonly from: readonly PortRange[]; readonly to: readonly PortRange[] } | null;
  /** Bit masks: 16 zones, 8 states, 2 devices (0: not to the device, 1: to it), 3 fragments (none, first, later). */
  readonly zones: number;
  readonly states: number;
  readonly device: number;
  readonly fragments: number;
  /** Big sets of addresses that the program looks up by itself: (bits & care) === value. */
  readonly sets: { readonly care: number; readonly value: number };
  /** What comes back with the entry: u32. */
  readonly row: number;
}

export const anyZone = 0xffff;
export const anyState = 0xff;
export const anyDevice = 3;
export const anyFragment = 7;
export const anySets = { care: 0, value: 0 } as const;

/** A packet. Addresses are four words, IPv4 in mapped form; what a family does not have is not looked at. */
export interface ClassifierKey {
  readonly family: 'ipv4' | 'ipv6' | 'other';
  readonly saddr: Uint32Array;
  readonly daddr: Uint32Array;
  readonly ipProto: number;
  readonly hasPorts: boolean;
  readonly sport: number;
  readonly dport: number;
  readonly zone: number;
  readonly state: number;
  readonly device: number;
  readonly fragment: number;
  readonly sets: number;
}

/** Which limit a list of entries ran into. */
export type ClassifierLimit = 'entries' | 'address classes' | 'address depth' | 'port classes' | 'memory';

/** The entries do not fit. Nothing was built; the list has to become shorter or plainer. */
export class ClassifierLimitError extends Error {
  readonly code = 'classifier.limit';
  readonly limit: ClassifierLimit;
  readonly value: number;
  readonly max: number;
  constructor(limit: ClassifierLimit, value: number, max: number) {
    super(`the rules need ${value} ${unitOf[limit]}, at most ${max} fit`);
    this.limit = limit;
    this.value = value;
    this.max = max;
  }
}

const unitOf: Readonly<Record<ClassifierLimit, string>> = {
  entries: 'entries',
  'address classes': 'references to address lists',
  'address depth': 'levels of address nodes',
  'port classes': 'combinations of ports',
  memory: 'bytes of table',
};
