// A box as conditions of policy rules: several rules where one has no words for it, none of a packet in two.

import type { AddressMatch, PacketMatch, Protocol, TcpFlag } from '../../contract/policy.ts';
import { dscpNames, protocolNumbers, protocolsWithPorts, tcpFlagBits } from '../numbers.ts';
import { type AddressRanges, isEmpty } from '../ranges.ts';
import { formatAddresses } from './address-arithmetic.ts';
import {
  type AddressTerm,
  addressesOf,
  type Box,
  bit,
  fragment,
  hasHeader,
  type MacTerm,
  state,
} from './box.ts';
import { formatNumbers, type Numbers } from './numbers.ts';

/** What a list of a rule may hold (../packet-schema.ts, ../shapes.ts). */
const valuesMax = 64;
const portsMax = 256;

type Part = Partial<PacketMatch>;

/** Conditions other than those on interfaces and on where a packet comes from or goes to. */
export function matchesOf(box: Box): readonly Part[] {
  const choices: readonly (readonly Part[])[] = [
    [box.family === undefined ? {} : { family: box.family === 4 ? 'ipv4' : 'ipv6' }],
    [box.from === undefined ? {} : addressPart('from', box.from, box.family)],
    [box.to === undefined ? {} : addressPart('to', box.to, box.family)],
    protocolParts(box),
    portParts(box),
    [flagPart(box)],
    icmpParts(box),
    [statePart(box.states)],
    fragmentParts(box),
    [box.dscp === undefined ? {} : { dscp: dscpList(box.dscp) }],
    box.length === undefined
      ? [{}]
      : chunks(formatNumbers(box.length), portsMax).map((length) => ({ length })),
    [macPart(box)],
    box.vlan === undefined ? [{}] : chunks(formatNumbers(box.vlan), portsMax).map((vlan) => ({ vlan })),
  ];
  return choices.reduce<readonly Part[]>(
    (parts, more) => parts.flatMap((part) => more.map((one) => ({ ...part, ...one }))),
    [{}],
  );
}

function addressPart(side: 'from' | 'to', terms: readonly AddressTerm[], family: 4 | 6 | undefined): Part {
  const [only] = terms;
  if (only === undefined) return {};
  const match = terms.length === 1 ? termMatch(only, family) : joinedMatch(terms, family);
  return match === null ? {} : { [side]: match };
}

/** null: every address. */
function termMatch({ name, ranges, not }: AddressTerm, family: 4 | 6 | undefined): AddressMatch | null {
  if (name !== null) return not ? { set: name, not: true } : { set: name };
  const asked = inFamily(ranges, family);
  if (not && isEmpty(asked)) return null;
  const list = oneOrList(formatAddresses(asked));
  return not ? { not: list } : list;
}

const inFamily = ({ ipv4, ipv6 }: AddressRanges, family: 4 | 6 | undefined): AddressRanges => ({
  ipv4: family === 6 ? ipv4.subarray(0, 0) : ipv4,
  ipv6: family === 4 ? ipv6.subarray(0, 0) : ipv6,
});

function joinedMatch(terms: readonly AddressTerm[], family: 4 | 6 | undefined): AddressMatch | null {
  const all = inFamily(addressesOf(terms), family);
  // One of them may be inside all others; then its own words, and its name, are kept.
  const same = terms.find((term) => {
    const own = inFamily(addressesOf([term]), family);
    return equal(own.ipv4, all.ipv4) && equal(own.ipv6, all.ipv6);
  });
  return same === undefined ? oneOrList(formatAddresses(all)) : termMatch(same, family);
}

const equal = (a: Uint32Array, b: Uint32Array) =>
  a.length === b.length && a.every((word, at) => word === b[at]);

function oneOrList<T>(list: readonly T[]): T | readonly T[] {
  const [only] = list;
  return list.length === 1 && only !== undefined ? only : list;
}

const protocolNames = new Map<number, Protocol>(
  Object.entries(protocolNumbers).map(([name, number]) => [number, name as Protocol]),
);

function numbersIn(bits: bigint, count: number): readonly number[] {
  return Array.from({ length: count }, (_, number) => number).filter((number) => (bits & bit(number)) !== 0n);
}

function protocolParts({ protocols }: Box): readonly Part[] {
  if (protocols === undefined) return [{}];
  const named = (numbers: readonly number[]) => numbers.map((number) => protocolNames.get(number) ?? number);
  const inside = named(numbersIn(protocols, 256));
  const outside = named(numbersIn(~protocols, 256));
  if (outside.length === 0) return [{}];
  if (outside.length < inside.length && outside.length <= valuesMax)
    return [{ protocol: { not: oneOrList(outside) } }];
  return chunks(inside, valuesMax).map((protocol) => ({ protocol }));
}

export const portProtocols: bigint = protocolsWithPorts.reduce((bits, number) => bits | bit(number), 0n);

function portParts(box: Box): readonly Part[] {
  const from = box.fromPorts === undefined ? [null] : chunks(formatNumbers(box.fromPorts), portsMax);
  let to = box.toPorts === undefined ? [null] : chunks(formatNumbers(box.toPorts), portsMax);
  if (box.fromPorts === undefined && box.toPorts === undefined) {
    // "Has a header" is said by asking for any port.
    if (box.header !== true || !hasPorts(box) || box.flagsSet !== undefined || box.flagsUnset !== undefined)
      return [{}];
    to = ['0-65535'];
  }
  return from.flatMap((one) =>
    to.map((other) => ({
      ports: { ...(one === null ? {} : { from: one }), ...(other === null ? {} : { to: other }) },
    })),
  );
}

const hasPorts = ({ protocols }: Box) =>
  protocols !== undefined && protocols !== 0n && (protocols & ~portProtocols) === 0n;

function flagPart({ flagsSet = 0, flagsUnset = 0 }: Box): Part {
  if (flagsSet === 0 && flagsUnset === 0) return {};
  const names = (bits: number) =>
    Object.entries(tcpFlagBits).flatMap(([name, value]) => ((bits & value) !== 0 ? [name as TcpFlag] : []));
  return {
    tcpFlags: {
      ...(flagsSet === 0 ? {} : { set: names(flagsSet) }),
      ...(flagsUnset === 0 ? {} : { unset: names(flagsUnset) }),
    },
  };
}

/** "Has a header" is said by asking for any type. */
const anyType: Numbers = [{ first: 0, last: 65535 }];
const isIcmp = ({ family, protocols }: Box) =>
  (family === 4 && protocols === bit(1)) || (family === 6 && protocols === bit(58));

function icmpParts(box: Box): readonly Part[] {
  const asked = box.icmp ?? (box.header === true && isIcmp(box) ? anyType : undefined);
  return asked === undefined ? [{}] : icmpEntries(asked).map((icmp) => ({ icmp }));
}

type IcmpEntry = number | string;

/** Whole types as ranges of types, the rest by type and code. */
function icmpEntries(numbers: Numbers): readonly (IcmpEntry | readonly IcmpEntry[])[] {
  const entries: IcmpEntry[] = [];
  for (const { first, last } of numbers) {
    let at = first;
    while (at <= last) {
      const type = at >> 8;
      if (at % 256 === 0 && at + 255 <= last) {
        const end = ((last + 1) >> 8) - 1;
        entries.push(type === end ? type : `${type}-${end}`);
        at = (end + 1) * 256;
      } else {
        entries.push(`${type}/${at % 256}`);
        at++;
      }
    }
  }
  return chunks(entries, valuesMax);
}

function statePart(states: number | undefined): Part {
  if (states === undefined || states === 15) return {};
  const names = Object.entries(state).flatMap(([name, value]) =>
    (states & value) !== 0 ? [name as keyof typeof state] : [],
  );
  return { state: oneOrList(names) };
}

function fragmentParts(box: Box): readonly Part[] {
  const asked = box.fragments ?? 7;
  // A header that is asked for is said in other words, where there are any.
  const implied =
    hasHeader(box) && (box.header !== true || hasPorts(box) || isIcmp(box))
      ? fragment.none | fragment.first
      : 7;
  const possible = hasHeader(box) ? fragment.none | fragment.first : 7;
  const mask = asked & possible;
  if (mask === implied) return [{}];
  switch (mask) {
    case fragment.first | fragment.later:
      return [{ fragment: 'any' }];
    case fragment.none:
      return [{ fragment: 'none' }];
    case fragment.first:
      return [{ fragment: 'first' }];
    case fragment.later:
      return [{ fragment: 'later' }];
    case fragment.none | fragment.first:
      return [{ fragment: 'none' }, { fragment: 'first' }];
    default:
      return [{ fragment: 'none' }, { fragment: 'later' }];
  }
}

const dscpWords = new Map(Object.entries(dscpNames).map(([name, number]) => [number, name]));
const dscpList = (bits: bigint) =>
  oneOrList(numbersIn(bits, 64).map((number) => dscpWords.get(number) ?? number));

function macPart({ macFrom, macTo }: Box): Part {
  if (macFrom === undefined && macTo === undefined) return {};
  return {
    mac: {
      ...(macFrom === undefined ? {} : { from: macMatch(macFrom) }),
      ...(macTo === undefined ? {} : { to: macMatch(macTo) }),
    },
  };
}

function macMatch(terms: readonly MacTerm[]): NonNullable<NonNullable<PacketMatch['mac']>['from']> {
  const unwanted = terms.filter(({ not }) => not).flatMap(({ macs }) => macs);
  const wanted = terms.filter(({ not }) => !not).map(({ macs }) => macs);
  const [first, ...others] = wanted;
  if (first === undefined) return { not: oneOrList([...new Set(unwanted)]) };
  return oneOrList(
    first.filter((mac) => others.every((macs) => macs.includes(mac)) && !unwanted.includes(mac)),
  );
}

/** In pieces of at most so many; one alone stands without brackets. */
function chunks<T>(list: readonly T[], max: number): readonly (T | readonly T[])[] {
  const pieces: (T | readonly T[])[] = [];
  for (let at = 0; at < list.length; at += max) pieces.push(oneOrList(list.slice(at, at + max)));
  return pieces;
}

/** Whether a rule with these conditions speaks of IP packets alone. */
export const isAboutIp = (part: Part): boolean =>
  (
    [
      'family',
      'from',
      'to',
      'protocol',
      'ports',
      'tcpFlags',
      'icmp',
      'state',
      'toDevice',
      'fragment',
      'dscp',
      'length',
    ] as const
  ).some((key) => part[key] !== undefined);
