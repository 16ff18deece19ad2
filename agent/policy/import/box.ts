// A box: conditions that hold together, in a form that can be calculated with.
//
// A rule of any language becomes one box, or several of which one has to hold. Boxes can be joined (both hold),
// taken from one another (the first holds, the second does not: several boxes, no packet in two of them), and
// found to be empty. That is all that is needed to walk through chains exactly.
//
// A condition on a header (ports, flags, ICMP type) says at the same time that there is one: a later fragment is
// outside of it, and outside of its opposite.

import { globsOverlap, matchesGlob } from '../globs.ts';
import { type AddressRanges, complement } from '../ranges.ts';
import { intersectAddresses } from './address-arithmetic.ts';
import { complementNumbers, intersectNumbers, type Numbers } from './numbers.ts';

/** One condition on an address; what has a name is a set that has a document of its own. */
export interface AddressTerm {
  readonly name: string | null;
  readonly ranges: AddressRanges;
  readonly not: boolean;
}

/** The interface fits one of the globs (`not`: none of them). */
export interface InterfaceTerm {
  readonly globs: readonly string[];
  readonly not: boolean;
}

export interface MacTerm {
  readonly macs: readonly string[];
  readonly not: boolean;
}

export const fragment = { none: 1, first: 2, later: 4 } as const;
export const state = { new: 1, established: 2, related: 4, invalid: 8 } as const;
export const allProtocols = (1n << 256n) - 1n;
export const allDscp = (1n << 64n) - 1n;
export const bit = (number: number): bigint => 1n << BigInt(number);

/** What is absent is not asked. */
export interface Box {
  readonly family?: 4 | 6;
  /** Bits by number. */
  readonly protocols?: bigint;
  /** Bits of `fragment`. */
  readonly fragments?: number;
  readonly from?: readonly AddressTerm[];
  readonly to?: readonly AddressTerm[];
  /** Bits of `state`. */
  readonly states?: number;
  readonly inBy?: readonly InterfaceTerm[];
  readonly outBy?: readonly InterfaceTerm[];
  readonly dscp?: bigint;
  readonly length?: Numbers;
  /** The destination is the device's own address, no group or broadcast. */
  readonly local?: boolean;
  readonly macFrom?: readonly MacTerm[];
  readonly macTo?: readonly MacTerm[];
  readonly vlan?: Numbers;
  /** The transport header is there. */
  readonly header?: true;
  readonly fromPorts?: Numbers;
  readonly toPorts?: Numbers;
  readonly flagsSet?: number;
  readonly flagsUnset?: number;
  /** Type × 256 + code. */
  readonly icmp?: Numbers;
}

export const everything: Box = {};

/** null: no packet is in it. */
export function conjoin(a: Box, b: Box): Box | null {
  const joined: { -readonly [Key in keyof Box]: Box[Key] } = { ...a, ...b };
  if (a.family !== undefined && b.family !== undefined && a.family !== b.family) return null;
  joinBits(joined, a, b);
  for (const key of ['fromPorts', 'toPorts', 'length', 'icmp', 'vlan'] as const) {
    const [one, other] = [a[key], b[key]];
    if (one !== undefined && other !== undefined) joined[key] = intersectNumbers(one, other);
    if (joined[key]?.length === 0) return null;
  }
  if (a.from !== undefined && b.from !== undefined) joined.from = bothTerms(a.from, b.from);
  if (a.to !== undefined && b.to !== undefined) joined.to = bothTerms(a.to, b.to);
  if (a.inBy !== undefined && b.inBy !== undefined) joined.inBy = [...a.inBy, ...b.inBy];
  if (a.outBy !== undefined && b.outBy !== undefined) joined.outBy = [...a.outBy, ...b.outBy];
  if (a.macFrom !== undefined && b.macFrom !== undefined) joined.macFrom = [...a.macFrom, ...b.macFrom];
  if (a.macTo !== undefined && b.macTo !== undefined) joined.macTo = [...a.macTo, ...b.macTo];
  if (a.local !== undefined && b.local !== undefined && a.local !== b.local) return null;
  return isEmptyBox(joined) ? null : joined;
}

/** Terms without a name are calculated into two at the most, one of each sign; names are kept as long as they can be. */
function bothTerms(a: readonly AddressTerm[], b: readonly AddressTerm[]): readonly AddressTerm[] {
  const all = [...a, ...b];
  const named = all.filter(
    ({ name, not }, index) =>
      name !== null && all.findIndex((one) => one.name === name && one.not === not) === index,
  );
  const [inside, outside] = [false, true].map((not) =>
    all.filter((one) => one.name === null && one.not === not),
  );
  return [...named, ...calculated(inside ?? [], false), ...calculated(outside ?? [], true)];
}

function calculated(terms: readonly AddressTerm[], not: boolean): readonly AddressTerm[] {
  if (terms.length <= 1) return terms;
  const all = terms.map(effectiveAddresses).reduce(intersectAddresses);
  return [{ name: null, ranges: not ? complement(all) : all, not }];
}

function joinBits(joined: { -readonly [Key in keyof Box]: Box[Key] }, a: Box, b: Box): void {
  if (a.protocols !== undefined && b.protocols !== undefined) joined.protocols = a.protocols & b.protocols;
  if (a.dscp !== undefined && b.dscp !== undefined) joined.dscp = a.dscp & b.dscp;
  if (a.fragments !== undefined && b.fragments !== undefined) joined.fragments = a.fragments & b.fragments;
  if (a.states !== undefined && b.states !== undefined) joined.states = a.states & b.states;
  if (a.flagsSet !== undefined && b.flagsSet !== undefined) joined.flagsSet = a.flagsSet | b.flagsSet;
  if (a.flagsUnset !== undefined && b.flagsUnset !== undefined)
    joined.flagsUnset = a.flagsUnset | b.flagsUnset;
}

function isEmptyBox(box: Box): boolean {
  if (box.protocols === 0n || box.dscp === 0n || box.fragments === 0 || box.states === 0) return true;
  if (((box.flagsSet ?? 0) & (box.flagsUnset ?? 0)) !== 0) return true;
  if (hasHeader(box) && box.fragments === fragment.later) return true;
  return (
    noAddress(box.from, box.family) ||
    noAddress(box.to, box.family) ||
    noInterface(box.inBy) ||
    noInterface(box.outBy)
  );
}

export const hasHeader = (box: Box): boolean =>
  box.header === true ||
  box.fromPorts !== undefined ||
  box.toPorts !== undefined ||
  box.flagsSet !== undefined ||
  box.flagsUnset !== undefined ||
  box.icmp !== undefined;

function noAddress(terms: readonly AddressTerm[] | undefined, family: 4 | 6 | undefined): boolean {
  if (terms === undefined) return false;
  const { ipv4, ipv6 } = addressesOf(terms);
  return (family === 6 || ipv4.length === 0) && (family === 4 || ipv6.length === 0);
}

const turned = new WeakMap<AddressRanges, AddressRanges>();
const joinedTerms = new WeakMap<readonly AddressTerm[], AddressRanges>();

/** The addresses that all of the terms hold. */
export function addressesOf(terms: readonly AddressTerm[]): AddressRanges {
  const known = joinedTerms.get(terms);
  if (known !== undefined) return known;
  const [first, ...rest] = terms.map(effectiveAddresses);
  const all = rest.reduce<AddressRanges>(
    intersectAddresses,
    first ?? complement({ ipv4: noRanges, ipv6: noRanges }),
  );
  joinedTerms.set(terms, all);
  return all;
}

const noRanges = new Uint32Array(0);

function effectiveAddresses(term: AddressTerm): AddressRanges {
  if (!term.not) return term.ranges;
  const known = turned.get(term.ranges) ?? complement(term.ranges);
  turned.set(term.ranges, known);
  return known;
}

/** Whether it is plain that no name fits all terms. */
function noInterface(terms: readonly InterfaceTerm[] | undefined): boolean {
  if (terms === undefined) return false;
  const wanted = terms.filter((term) => !term.not);
  const unwanted = terms.filter((term) => term.not).flatMap(({ globs }) => globs);
  if (wanted.some(({ globs }) => globs.length === 0) || unwanted.includes('*')) return true;
  return wanted.some((term) =>
    term.globs.every(
      (glob) =>
        unwanted.some((other) => globCovers(other, glob)) ||
        wanted.some(({ globs }) => !globs.some((other) => globsOverlap(other, glob))),
    ),
  );
}

/** Whether every name that fits `inner` fits `outer`; said of names, and of globs with one star at the end. */
export function globCovers(outer: string, inner: string): boolean {
  if (outer === inner || outer === '*') return true;
  if (!/[*?]/.test(inner)) return matchesGlob(outer, inner);
  const stem = /^([^*?]*)\*$/.exec(outer)?.[1];
  return stem !== undefined && /^[^*?]*/.exec(inner)?.[0].startsWith(stem) === true;
}

/** Boxes that together hold exactly what is in `from` and not in `what`, none twice; null where that cannot be said. */
export function subtract(from: Box, what: Box): readonly Box[] | null {
  // Neither side of a condition on an Ethernet header holds on a link that has none.
  if (what.macFrom !== undefined || what.macTo !== undefined || what.vlan !== undefined) return null;
  const pieces: Box[] = [];
  let rest: Box | null = from;
  for (const [outside, inside] of sides(what)) {
    if (rest === null) break;
    const piece = conjoin(rest, outside);
    if (piece !== null) pieces.push(piece);
    rest = inside === null ? rest : conjoin(rest, inside);
  }
  return rest === from && pieces.length === 0 ? [] : pieces;
}

/** One after another: packets that a condition keeps out, and what holds of those that it lets in. */
function sides(what: Box): readonly (readonly [outside: Box, inside: Box | null])[] {
  const all: (readonly [Box, Box | null])[] = [];
  const both = (outside: Box, inside: Box) => all.push([outside, inside]);
  const { family, protocols, fragments, states, dscp, length, local } = what;
  if (family !== undefined) both({ family: family === 4 ? 6 : 4 }, { family });
  if (protocols !== undefined) both({ protocols: allProtocols & ~protocols }, { protocols });
  if (fragments !== undefined) both({ fragments: 7 & ~fragments }, { fragments });
  for (const key of ['from', 'to'] as const) {
    for (const term of what[key] ?? []) both({ [key]: [{ ...term, not: !term.not }] }, { [key]: [term] });
  }
  for (const key of ['inBy', 'outBy'] as const) {
    for (const term of what[key] ?? []) both({ [key]: [{ ...term, not: !term.not }] }, { [key]: [term] });
  }
  if (states !== undefined) both({ states: 15 & ~states }, { states });
  if (dscp !== undefined) both({ dscp: allDscp & ~dscp }, { dscp });
  if (length !== undefined) both({ length: complementNumbers(length) }, { length });
  if (local !== undefined) both({ local: !local }, { local });
  // Last, since what they keep out and has no header is said once for all of them.
  if (hasHeader(what)) all.push([{ fragments: fragment.later }, { header: true }]);
  for (const key of ['fromPorts', 'toPorts', 'icmp'] as const) {
    const numbers = what[key];
    if (numbers !== undefined) both({ [key]: complementNumbers(numbers) }, { [key]: numbers });
  }
  for (let flag = 1; flag < 256; flag <<= 1) {
    if (((what.flagsSet ?? 0) & flag) !== 0) both({ flagsUnset: flag }, { flagsSet: flag });
    if (((what.flagsUnset ?? 0) & flag) !== 0) both({ flagsSet: flag }, { flagsUnset: flag });
  }
  return all;
}

/** All boxes without all others; null where that cannot be said, or takes too many. */
export function subtractAll(from: readonly Box[], what: readonly Box[], max: number): readonly Box[] | null {
  let left = from;
  for (const one of what) {
    const next: Box[] = [];
    for (const box of left) {
      if (conjoin(box, one) === null) {
        next.push(box);
        continue;
      }
      const pieces = subtract(box, one);
      if (pieces === null || next.length + pieces.length > max) return null;
      next.push(...pieces);
    }
    left = next;
  }
  return left;
}
