// Exceptions among documents: which rule each lifts, and what the documents are once those of calls are taken out.
//
// What tasks do to objects is lifted in the tables (`lifts`), object by object. Calls are judged by a list in which the
// first match decides: there a rule is written again without the calls that are excepted, as often as that takes.

import type { Exception } from '../contract/exception.ts';
import type { CallMatch, HardeningPolicy, HardeningRule, PolicyDocument } from '../contract/policy.ts';
import { compareWords, formatRange, rangeWords } from './addresses.ts';
import { type PortRange, portMax, portRanges } from './ports.ts';
import { type AddressRanges, complement, firstOverlap, type Ranges, rangesFrom } from './ranges.ts';

export const exceptionsOf = (documents: readonly PolicyDocument[]): readonly Exception[] =>
  documents.filter((one) => one.kind === 'Exception');

/** Full name of the rule that it lifts. */
export const exceptedId = ({ spec: { of } }: Exception): string =>
  `${'policy' in of ? of.policy : of.shield}/${of.rule}`;

/** What it lifts, as a rule says what it is about. */
export function exceptedWords({
  spec: { exec, file, privilege, kernel, memory },
}: Exception): Pick<HardeningRule, 'exec' | 'file' | 'privilege' | 'kernel' | 'memory'> {
  return {
    ...(exec === undefined ? {} : { exec }),
    ...(file === undefined ? {} : { file }),
    ...(privilege === undefined ? {} : { privilege }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(memory === undefined ? {} : { memory }),
  };
}

/** The document whose rule it lifts is of this kind. */
export const exceptedKind = ({ spec: { of } }: Exception) => ('policy' in of ? 'HardeningPolicy' : 'Shield');

/** A policy whose rules about calls are without what is excepted from them; the very same where nothing is. */
export function withoutExcepted(policy: HardeningPolicy, exceptions: readonly Exception[]): HardeningPolicy {
  const ofCalls = exceptions.filter(({ spec }) => spec.connect !== undefined || spec.bind !== undefined);
  const idOf = (rule: HardeningRule) => `${policy.metadata.name}/${rule.id}`;
  if (!policy.spec.rules.some((rule) => ofCalls.some((one) => exceptedId(one) === idOf(rule)))) return policy;
  const rules = policy.spec.rules.flatMap((rule) =>
    ofCalls
      .filter((one) => exceptedId(one) === idOf(rule))
      .reduce<readonly HardeningRule[]>((parts, one) => parts.flatMap((part) => without(part, one)), [rule]),
  );
  return { ...policy, spec: { ...policy.spec, rules } };
}

function without(rule: HardeningRule, { spec }: Exception): readonly HardeningRule[] {
  for (const call of ['connect', 'bind'] as const) {
    const [match, excepted] = [rule[call], spec[call]];
    if (match === undefined || excepted === undefined) continue;
    return callsWithout(match, excepted).map((part): HardeningRule => ({ ...rule, [call]: part }));
  }
  return [rule];
}

/** Two parts at the most: other addresses, and the same addresses at other ports. */
function callsWithout(match: CallMatch, excepted: CallMatch): readonly CallMatch[] {
  const { ports: _, ...portless } = match;
  const to = excepted.to as readonly string[] | undefined;
  const elsewhere = to === undefined ? null : addressesWithout(match, to);
  const ports = excepted.ports === undefined ? [] : portsWithout(match.ports, excepted.ports);
  const within = to === undefined ? match : addressesWithin(match, to);
  return [
    ...(elsewhere === null ? [] : [elsewhere]),
    ...(ports.length === 0 || within === null ? [] : [{ ...portless, ...addressesOf(within), ports }]),
  ];
}

const addressesOf = ({ to, except }: CallMatch): Pick<CallMatch, 'to' | 'except'> => ({
  ...(to === undefined ? {} : { to }),
  ...(except === undefined ? {} : { except }),
});

/** null: no address is left. */
function addressesWithout({ to, except, ...rest }: CallMatch, out: readonly string[]): CallMatch | null {
  if (to === undefined) return { ...rest, except: [...listOf(except), ...out] };
  const left = entries(minus(read(listOf(to)), read(out)));
  return left.length === 0 ? null : { ...rest, to: left };
}

function addressesWithin({ to, except, ...rest }: CallMatch, only: readonly string[]): CallMatch | null {
  const all = to === undefined ? complement(read(listOf(except))) : read(listOf(to));
  const left = entries(common(all, read(only)));
  return left.length === 0 ? null : { ...rest, to: left };
}

/** Rules that name an AddressSet have no exceptions (check-exception.ts). */
const listOf = (source: CallMatch['to']): readonly string[] =>
  Array.isArray(source) ? (source as readonly string[]) : [];

const read = (list: readonly string[]) => rangesFrom(list, () => {});
const minus = (a: AddressRanges, b: AddressRanges) => common(a, complement(b));
const common = (a: AddressRanges, b: AddressRanges): AddressRanges => ({
  ipv4: commonRanges(a.ipv4, b.ipv4),
  ipv6: commonRanges(a.ipv6, b.ipv6),
});

function commonRanges(a: Ranges, b: Ranges): Ranges {
  const found: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const overlap = firstOverlap(a.subarray(i, i + rangeWords), b.subarray(j, j + rangeWords));
    if (overlap !== null) found.push(...overlap);
    // Of two, the one that ends first has met all that it can.
    if (compareWords(a, i + 4, b, j + 4) < 0) i += rangeWords;
    else j += rangeWords;
  }
  return Uint32Array.from(found);
}

const entries = ({ ipv4, ipv6 }: AddressRanges): readonly string[] =>
  [ipv4, ipv6].flatMap((ranges) =>
    Array.from({ length: ranges.length / rangeWords }, (_, at) => formatRange(ranges, at * rangeWords)),
  );

/** Ranges as text; empty: none is left. */
function portsWithout(match: CallMatch['ports'], out: NonNullable<CallMatch['ports']>): string[] {
  const readPorts = (ports: NonNullable<CallMatch['ports']>) => portRanges(ports, () => {});
  let left: readonly PortRange[] = match === undefined ? [{ first: 0, last: portMax }] : readPorts(match);
  for (const { first, last } of readPorts(out)) {
    left = left.flatMap((range) => [
      ...(range.first < first ? [{ first: range.first, last: Math.min(range.last, first - 1) }] : []),
      ...(range.last > last ? [{ first: Math.max(range.first, last + 1), last: range.last }] : []),
    ]);
  }
  return left.filter(({ first, last }) => first <= last).map(({ first, last }) => `${first}-${last}`);
}
