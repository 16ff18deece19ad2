// A set of packets in the words of a network person, field by field.

import { dscpNames, etherTypeNumbers } from '../numbers.ts';
import { addressWords, familiesOf, familyWords } from './address-words.ts';
import { absent, axisEnd, type Field, levelOf, noTag, situations } from './fields.ts';
import { stateOf } from './lines.ts';
import { flagNames, hex, macText, nameIn, protocolName, situationWords } from './names.ts';
import type { Partition } from './partition.ts';
import type { Cube } from './paths.ts';

/** Items of a list that are written out before "and … more", in words and in fields. */
const itemsMax = 6;
const fieldItemsMax = 256;

export interface BoxWords {
  /** `tcp from 192.0.2.0/24 to port 22`. */
  readonly text: string;
  /** Each field that is not any, with its values; of long lists the first. */
  readonly fields: Readonly<Record<string, readonly string[]>>;
}

/** A set of packets, field by field; what no real packet of it has is left out of the words. */
export function boxWords(partition: Partition, box: Cube): BoxWords {
  const said: Record<string, readonly string[]> = {};
  const parts: string[] = [];
  const say = (field: string, items: readonly string[] | null, phrase: (list: string) => string) => {
    if (items === null) return;
    said[field] =
      items.length <= fieldItemsMax
        ? items
        : [...items.slice(0, fieldItemsMax), `and ${items.length - fieldItemsMax} more`];
    parts.push(phrase(listed(items)));
  };
  const { source, destination } = addressWords(partition, box);
  say('family', familyWords(partition, box), (list) => list);
  say('protocol', numbersOf(partition, box, 'protocol', protocolName), (list) => list);
  say('from', source, (list) => `from ${list}`);
  say('ports.from', numbersOf(partition, box, 'portFrom', String), (list) => `from port ${list}`);
  say('to', destination, (list) => `to ${list}`);
  say('ports.to', numbersOf(partition, box, 'portTo', String), (list) => `to port ${list}`);
  const flowParts = parts.length;
  say('tcpFlags', flagWords(partition, box), (list) => `flags ${list}`);
  say('icmp', wordsOfRanges(partition, box, 'icmp', icmpRange), (list) => `icmp type ${list}`);
  say('fragment', fragmentWords(partition, box), (list) =>
    list.startsWith('none') ? list.replace('none', 'no fragment') : `fragment ${list}`,
  );
  say(
    'hopLimit',
    numbersOf(partition, box, 'hopLimit', (one) => ['other than 1 and 255', '255', '1'][one] ?? ''),
    (list) => `hop limit ${list}`,
  );
  say('state', stateWords(partition, box), (list) => `state ${list}`);
  say(
    'toDevice',
    numbersOf(partition, box, 'toDevice', (one) => (one === 1 ? 'to the device' : 'through the device')),
    (list) => list,
  );
  say('origin', namesOf(partition, box, 'origin'), (list) => `from origin ${list}`);
  say('interface', namesOf(partition, box, 'interface'), (list) => `at ${list}`);
  say('vlan.outer', numbersOf(partition, box, 'vlanOuter', tagText), (list) => `vlan ${list}`);
  say('vlan.inner', numbersOf(partition, box, 'vlanInner', tagText), (list) => `inner vlan ${list}`);
  say('etherType', etherTypeWords(partition, box), (list) => `EtherType ${list}`);
  say('mac.from', numbersOf(partition, box, 'macFrom', macText), (list) => `from MAC ${list}`);
  say('mac.to', numbersOf(partition, box, 'macTo', macText), (list) => `to MAC ${list}`);
  say(
    'dscp',
    numbersOf(partition, box, 'dscp', (one) => nameIn(dscpNames, one) ?? String(one)),
    (list) => `dscp ${list}`,
  );
  say('length', numbersOf(partition, box, 'length', String), (list) => `length ${list}`);
  const [flow, rest] = [parts.slice(0, flowParts), parts.slice(flowParts)];
  const text = [...(flow.length > 0 ? [flow.join(' ')] : []), ...rest].join('; ');
  return { text: text === '' ? 'everything' : text, fields: said };
}

/** The states that are meant, where the situations are those of states; else the situations. */
function stateWords(partition: Partition, box: Cube): readonly string[] | null {
  const ranges = rangesOf(partition, box, 'situation');
  const isIn = (point: number) => ranges?.some(([first, last]) => first <= point && point <= last) ?? true;
  const meant = situations.filter((_, point) => isIn(point));
  if (meant.length === situations.length) return null;
  const strictness = new Set(partition.strictness);
  const states = ['new', 'established', 'related', 'invalid'] as const;
  for (const isStrict of strictness.size === 1 ? strictness : []) {
    const of = (state: string) => situations.filter((one) => stateOf(one, isStrict) === state);
    const whole = states.filter((state) => of(state).every((one) => meant.includes(one)));
    if (whole.flatMap(of).length === meant.length) return whole;
  }
  return meant.map((one) => situationWords[one].replace('state ', ''));
}

const tagText = (one: number) => (one === noTag ? 'none' : String(one));

function listed(items: readonly string[]): string {
  if (items.length <= itemsMax) return items.join(', ');
  return `${items.slice(0, itemsMax).join(', ')} and ${items.length - itemsMax} more`;
}

/** Ranges as `1-5`. */
const numbersOf = (partition: Partition, box: Cube, field: Field, name: (one: number) => string) =>
  wordsOfRanges(partition, box, field, ([first, last]) => {
    if (last - first === 1) return [name(first), name(last)];
    return [first === last ? name(first) : `${name(first)}-${name(last)}`];
  });

/** Types with all of their codes as `8` and `3-4`, else `3/4`. */
function icmpRange([first, last]: Range): readonly string[] {
  const isWhole = (first & 0xff) === 0 && (last & 0xff) === 0xff;
  const [from, to] = [first, last].map((one) => (isWhole ? `${one >> 8}` : `${one >> 8}/${one & 0xff}`));
  return [from === to ? `${from}` : `${from}-${to}`];
}

/** Never as what they are not: there are three. */
function fragmentWords(partition: Partition, box: Cube): readonly string[] | null {
  const ranges = rangesOf(partition, box, 'fragment');
  const isIn = (point: number) => ranges?.some(([first, last]) => first <= point && point <= last) ?? true;
  const names = ['none', 'first', 'later'].filter((_, point) => isIn(point));
  return names.length === 3 || names.length === 0 ? null : names;
}

/** What the ranges are, or what they are not where that is shorter; null where the field may be anything. */
function wordsOfRanges(
  partition: Partition,
  box: Cube,
  field: Field,
  text: (range: Range) => readonly string[],
): readonly string[] | null {
  const ranges = rangesOf(partition, box, field);
  if (ranges === null) return null;
  const lost = absent[field];
  const end = Number(lost ?? axisEnd(field));
  const inside = cutAt(ranges, end);
  const hasAbsent =
    lost !== null && ranges.some(([first, last]) => first <= Number(lost) && Number(lost) <= last);
  // Without the absent ones everything, or with them: what other fields say.
  if (inside.length === 1 && inside[0]?.[0] === 0 && inside[0][1] === end - 1) return null;
  if (inside.length === 0) return ['none'];
  const outside = gaps(inside, end);
  if (
    outside.length > 0 &&
    (hasAbsent || outside.length < inside.length) &&
    outside.length <= inside.length
  ) {
    return outside.flatMap(text).map((one, at) => (at === 0 ? `not ${one}` : one));
  }
  return inside.flatMap(text);
}

type Range = readonly [first: number, last: number];

function rangesOf({ space }: Partition, box: Cube, field: Field): readonly Range[] | null {
  const runs = box[levelOf[field]] ?? null;
  if (runs === null) return null;
  const bounds = space.points(levelOf[field], runs);
  return bounds.flatMap((bound, at): readonly Range[] =>
    at % 2 === 0 ? [[Number(bound), Number(bounds[at + 1] ?? 0) - 1]] : [],
  );
}

const cutAt = (ranges: readonly Range[], end: number): readonly Range[] =>
  ranges.flatMap(([first, last]): readonly Range[] =>
    first < end ? [[first, Math.min(last, end - 1)]] : [],
  );

function gaps(ranges: readonly Range[], end: number): readonly Range[] {
  const found: Range[] = [];
  let next = 0;
  for (const [first, last] of ranges) {
    if (first > next) found.push([next, first - 1]);
    next = last + 1;
  }
  return next < end ? [...found, [next, end - 1]] : found;
}

function namesOf(partition: Partition, box: Cube, field: 'interface' | 'origin'): readonly string[] | null {
  const ranges = rangesOf(partition, box, field);
  if (ranges === null) return null;
  const names =
    field === 'interface'
      ? partition.kinds.map(({ name }) => name)
      : partition.origins.map((origin) =>
          origin === null ? 'device' : (origin.zones.find((zone) => zone !== null)?.name ?? 'no zone'),
        );
  return names.filter((_, at) => ranges.some(([first, last]) => first <= at && at <= last));
}

function flagWords(partition: Partition, box: Cube): readonly string[] | null {
  const ranges = rangesOf(partition, box, 'tcpFlags');
  if (ranges === null) return null;
  const has = (flags: number) => ranges.some(([first, last]) => first <= flags && flags <= last);
  const all = Array.from({ length: 256 }, (_, flags) => flags).filter(has);
  if (all.length === 0 || all.length === 256) return null;
  const set = all.reduce((bits, flags) => bits & flags, 255);
  const unset = 255 & ~all.reduce((bits, flags) => bits | flags, 0);
  const named = [
    ...(set === 0 ? [] : [flagNames(set)]),
    ...(unset === 0 ? [] : [`without ${flagNames(unset)}`]),
  ];
  // Exact where the flags are all those with some set and some unset.
  if (all.length === 2 ** (8 - bits(set) - bits(unset))) return named;
  return all.length <= itemsMax
    ? all.map(flagNames)
    : [`${all.length} combinations such as ${flagNames(all[0] ?? 0)}`];
}

const bits = (number: number) => number.toString(2).replaceAll('0', '').length;

/** Left out where the family says it. */
function etherTypeWords(partition: Partition, box: Cube): readonly string[] | null {
  const ranges = rangesOf(partition, box, 'etherType');
  if (ranges === null || familiesOf(partition, box).every((one) => one !== 'other')) return null;
  return numbersOf(partition, box, 'etherType', (one) => nameIn(etherTypeNumbers, one) ?? hex(one, 4));
}
