// `ipset save`: sets by name, as far as they are lists of addresses and ports.

import { type AddressRanges, complement, rangesFrom } from '../ranges.ts';
import { intersectAddresses } from './address-arithmetic.ts';
import { protocolOf, readAddresses } from './conditions.ts';
import type { Numbers } from './numbers.ts';
import { unionNumbers } from './numbers.ts';
import type { ImportFile } from './report.ts';
import { ImportError } from './report.ts';

export type IpSet =
  | { readonly kind: 'addresses'; readonly ranges: AddressRanges }
  | { readonly kind: 'ports'; readonly ports: Numbers }
  /** Addresses with the ports of one protocol, by that protocol and those ports. */
  | { readonly kind: 'pairs'; readonly pairs: readonly AddressesAndPort[] }
  /** Cannot be carried over. */
  | { readonly kind: 'other'; readonly reason: string };

export interface AddressesAndPort {
  readonly ranges: AddressRanges;
  readonly protocol: number;
  readonly port: number;
}

/** Elements of all sets of a file; the kernel's own bound for one is 65,536 unless raised. */
const entriesMax = 2_000_000;
const exceptionsMax = 1000;

interface Draft {
  readonly type: string;
  /** Addresses are compared under it. null: as they are. */
  readonly mask: string | null;
  readonly hasTimeout: boolean;
  readonly entries: { readonly text: string; readonly isException: boolean }[];
}

/** Throws ImportError where a line is none of `ipset save`. */
export function readIpsets({ file, text }: ImportFile): ReadonlyMap<string, IpSet> {
  const drafts = new Map<string, Draft>();
  let entries = 0;
  for (const [index, line] of text.split('\n').entries()) {
    // What stands in quotes is a comment, in which any word may stand.
    const words = line
      .replace(/"[^"]*"/g, '""')
      .trim()
      .split(/\s+/);
    const [verb = '', name = '', what = ''] = words;
    if (verb === '' || verb.startsWith('#')) continue;
    const wrong = (reason: string) => new ImportError(`${file}:${index + 1}: ${reason}`);
    if (verb === 'create' && what !== '') {
      if (drafts.has(name)) throw wrong(`set "${name}" is made twice`);
      const mask = ['netmask', 'bitmask'].map((one) => words.indexOf(one, 3)).find((at) => at > 0);
      drafts.set(name, {
        type: what,
        mask: mask === undefined ? null : (words[mask + 1] ?? ''),
        hasTimeout: words.includes('timeout'),
        entries: [],
      });
    } else if (verb === 'add' && what !== '') {
      const draft = drafts.get(name);
      if (draft === undefined) throw wrong(`set "${name}" is not made before`);
      if (++entries > entriesMax) throw wrong(`more than ${entriesMax} entries`);
      draft.entries.push({ text: what, isException: words.indexOf('nomatch') >= 3 });
    } else {
      throw wrong('is no line of ipset save');
    }
  }
  const sets = new Map<string, IpSet>();
  for (const [name, draft] of drafts) if (draft.type !== 'list:set') sets.set(name, read(draft));
  for (const [name, draft] of drafts) if (draft.type === 'list:set') sets.set(name, join(draft, sets));
  return sets;
}

const other = (reason: string): IpSet => ({ kind: 'other', reason });

function read(draft: Draft): IpSet {
  if (draft.hasTimeout) return other('its entries end by themselves (timeout)');
  if (draft.mask !== null) return readMasked(draft, draft.mask);
  switch (draft.type) {
    case 'hash:ip':
    case 'hash:net':
    case 'bitmap:ip':
      return readAddressSet(draft);
    case 'bitmap:port':
      return readPorts(draft);
    case 'hash:ip,port':
    case 'hash:net,port':
      return readPairs(draft);
    default:
      return other(`is of type ${draft.type}`);
  }
}

/** `netmask 24`: what is saved as 192.0.2.0 stands for 192.0.2.0/24. */
function readMasked({ type, entries }: Draft, mask: string): IpSet {
  if ((type !== 'hash:ip' && type !== 'bitmap:ip') || !/^\d{1,3}$/.test(mask))
    return other(`compares addresses under the mask ${mask}`);
  const wrong = rangeTexts(entries.map(({ text }) => `${text}/${mask}`));
  return typeof wrong === 'string' ? other(wrong) : { kind: 'addresses', ranges: wrong };
}

function readAddressSet({ entries }: Draft): IpSet {
  const wrong = rangeTexts(entries.map(({ text }) => text));
  if (typeof wrong === 'string') return other(wrong);
  const exceptions = entries.filter(({ isException }) => isException);
  if (exceptions.length === 0) return { kind: 'addresses', ranges: wrong };
  if (exceptions.length > exceptionsMax || entries.length > exceptionsMax * 10)
    return other('has too many exceptions');
  // The longest prefix decides: from the shortest on, each entry overrides what is there.
  const lengthOf = (text: string) => Number(/\/(\d{1,3})$/.exec(text)?.[1] ?? 128);
  let all: AddressRanges = rangesFrom([], () => {});
  for (const { text, isException } of entries.toSorted((a, b) => lengthOf(a.text) - lengthOf(b.text))) {
    const one = readAddresses(text);
    if (typeof one === 'string') return other(one);
    all = isException ? intersectAddresses(all, complement(one)) : joined(all, one);
  }
  return { kind: 'addresses', ranges: all };
}

const joined = (a: AddressRanges, b: AddressRanges) =>
  complement(intersectAddresses(complement(a), complement(b)));

function rangeTexts(texts: readonly string[]): AddressRanges | string {
  let wrong: string | null = null;
  const ranges = rangesFrom(texts, (index, message) => {
    wrong ??= `entry "${texts[index]}" ${message}`;
  });
  return wrong ?? ranges;
}

function readPorts({ entries }: Draft): IpSet {
  const ranges = entries.map(({ text }) => /^(?:\w+:)?(\d{1,5})(?:-(\d{1,5}))?$/.exec(text));
  const ports = ranges.map((one) => ({ first: Number(one?.[1]), last: Number(one?.[2] ?? one?.[1]) }));
  if (ports.some(({ first, last }) => !(first <= last && last <= 65535)))
    return other('has entries that are no ports');
  return { kind: 'ports', ports: unionNumbers(ports) };
}

function readPairs({ entries }: Draft): IpSet {
  const texts = new Map<string, string[]>();
  for (const { text, isException } of entries) {
    const parts = /^([^,]+),(?:([a-z0-9-]+):)?(\d{1,5})$/.exec(text);
    const protocol = protocolOf(parts?.[2] ?? 'tcp');
    if (parts === null || isException || (protocol !== 6 && protocol !== 17 && protocol !== 132))
      return other(`entry "${text}" is more than an address and a port of tcp, udp or sctp`);
    const key = `${protocol} ${parts[3]}`;
    const list = texts.get(key) ?? [];
    list.push(parts[1] ?? '');
    texts.set(key, list);
  }
  const pairs: AddressesAndPort[] = [];
  for (const [key, list] of texts) {
    const ranges = rangeTexts(list);
    if (typeof ranges === 'string') return other(ranges);
    const [protocol, port] = key.split(' ').map(Number);
    pairs.push({ ranges, protocol: protocol ?? 0, port: port ?? 0 });
  }
  return { kind: 'pairs', pairs };
}

/** A list of sets holds what one of them holds. */
function join({ entries }: Draft, sets: ReadonlyMap<string, IpSet>): IpSet {
  let all: AddressRanges = rangesFrom([], () => {});
  for (const { text } of entries) {
    const member = sets.get(text);
    if (member?.kind !== 'addresses') return other(`its member "${text}" is no set of addresses alone`);
    all = joined(all, member.ranges);
  }
  return { kind: 'addresses', ranges: all };
}
