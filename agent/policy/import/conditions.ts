// Words of both languages as boxes: addresses, interfaces, states, rates, protocols.

import { formatAddress, maskWord, rangeWords, readRange } from '../addresses.ts';
import { protocolNumbers } from '../numbers.ts';
import type { AddressRanges } from '../ranges.ts';
import { rangesFrom } from '../ranges.ts';
import { type Box, bit, conjoin, fragment } from './box.ts';

/** Boxes of which one has to hold; none: it never holds. A text: a reason why it cannot be carried over. */
export type Read = readonly Box[] | string;

/** Each condition as boxes, joined; no packet is in two of the result if none is in two of a condition's. */
export function allOf(conditions: readonly (readonly Box[])[], max: number): Read {
  let boxes: readonly Box[] = [{}];
  for (const more of conditions) {
    const next: Box[] = [];
    for (const box of boxes) {
      for (const one of more) {
        const both = conjoin(box, one);
        if (both !== null && next.push(both) > max) return `more than ${max} combinations of its conditions`;
      }
    }
    boxes = next;
  }
  return boxes;
}

/** An address, prefix, dotted mask or range as ranges; host bits behind a mask do not count. A text: what is wrong. */
export function readAddresses(text: string): AddressRanges | string {
  const out = new Uint32Array(rangeWords);
  const slash = text.indexOf('/');
  if (slash < 0) return onlyRange(text, out);
  const mask = text.slice(slash + 1);
  const length = /^\d{1,3}$/.test(mask) ? Number(mask) : maskLength(mask);
  if (length === null) return `"${mask}" is not the mask of a prefix`;
  const address = text.slice(0, slash);
  const family = readRange(address, out);
  if (typeof family === 'string') return `"${address}" ${family}`;
  const bits = family === 4 ? length + 96 : length;
  if (length > (family === 4 ? 32 : 128)) return `/${length} is no prefix length`;
  for (let word = 0; word < 4; word++) out[word] = (out[word] ?? 0) & maskWord(bits, word);
  return onlyRange(`${formatAddress(out, 0)}/${length}`, out);
}

function onlyRange(text: string, out: Uint32Array): AddressRanges | string {
  const family = readRange(text, out);
  return typeof family === 'string' ? `"${text}" ${family}` : rangesFrom([text], () => {});
}

/** The length of a contiguous mask that is written as an address. */
function maskLength(mask: string): number | null {
  const out = new Uint32Array(rangeWords);
  const family = readRange(mask, out);
  if (typeof family === 'string') return null;
  const from = family === 4 ? 96 : 0;
  for (let length = from; length <= 128; length++) {
    const matches = [0, 1, 2, 3].every(
      (word) => (family === 4 && word < 3) || (out[word] ?? 0) === maskWord(length, word),
    );
    if (matches) return length - from;
  }
  return null;
}

/** Names as a policy takes them: no glob characters of ours but a star at the end. */
const interfaceName = /^[!-)+-.0-9;->@-~]{1,15}$/;

/**
 * Interfaces by name, or by prefix with a star behind it. The loopback interface is judged nowhere, so that
 * what asks for it alone never holds, and what asks for others always does.
 */
export function interfaces(side: 'inBy' | 'outBy', globs: readonly string[], not: boolean): Read {
  for (const glob of globs) {
    if (!interfaceName.test(glob.replace(/\*$/, '')) && glob !== '*')
      return `no zone can name interface "${glob}"`;
  }
  const judged = globs.filter((glob) => glob !== 'lo');
  if (judged.includes('*')) return not ? [] : [{}];
  if (judged.length === 0) return not ? [{}] : [];
  return [{ [side]: [{ globs: judged, not }] }];
}

export const onlyLoopback = (globs: readonly unknown[]): boolean =>
  globs.length > 0 && globs.every((glob) => glob === 'lo');

const protocolWords: Readonly<Record<string, number>> = {
  ...protocolNumbers,
  'ipv6-icmp': 58,
  icmp6: 58,
  ipencap: 4,
  ipip: 4,
  ipv6: 41,
  rsvp: 46,
  eigrp: 88,
  pim: 103,
  ipcomp: 108,
  comp: 108,
  l2tp: 115,
  dccp: 33,
  mh: 135,
};

/** By name or number; null where it is none. */
export function protocolOf(word: string): number | null {
  if (/^\d{1,3}$/.test(word)) return Number(word) <= 255 ? Number(word) : null;
  const lower = word.toLowerCase();
  return Object.hasOwn(protocolWords, lower) ? (protocolWords[lower] ?? null) : null;
}

export const protocolBox = (...numbers: readonly number[]): Box => ({
  protocols: numbers.reduce((bits, number) => bits | bit(number), 0n),
});

const rateUnits: Readonly<Record<string, string>> = {
  s: 's',
  sec: 's',
  second: 's',
  m: 'm',
  min: 'm',
  minute: 'm',
  h: 'h',
  hour: 'h',
  d: 'd',
  day: 'd',
  week: 'd',
};

/** `5/min` as `5/m`; null where it is no rate of packets that a policy can name. */
export function rateOf(count: string, unit: string): string | null {
  if (!/^[1-9]\d{0,8}$/.test(count) || !Object.hasOwn(rateUnits, unit) || unit === 'week') return null;
  return `${count}/${rateUnits[unit]}`;
}

export const laterFragments: Box = { fragments: fragment.later };
export const notLater: Box = { fragments: fragment.none | fragment.first };
export const multicast: AddressRanges = rangesFrom(['224.0.0.0/4', 'ff00::/8'], () => {});
export const broadcastMac = 'ff:ff:ff:ff:ff:ff';

const icmpWords: Readonly<Record<string, readonly [number, number | null]>> = {
  'echo-reply': [0, null],
  pong: [0, null],
  'destination-unreachable': [3, null],
  'network-unreachable': [3, 0],
  'host-unreachable': [3, 1],
  'protocol-unreachable': [3, 2],
  'port-unreachable': [3, 3],
  'fragmentation-needed': [3, 4],
  'source-quench': [4, null],
  redirect: [5, null],
  'echo-request': [8, null],
  ping: [8, null],
  'router-advertisement': [9, null],
  'router-solicitation': [10, null],
  'time-exceeded': [11, null],
  'ttl-exceeded': [11, null],
  'parameter-problem': [12, null],
  'timestamp-request': [13, null],
  'timestamp-reply': [14, null],
  'info-request': [15, null],
  'info-reply': [16, null],
  'address-mask-request': [17, null],
  'address-mask-reply': [18, null],
};
const icmp6Words: Readonly<Record<string, readonly [number, number | null]>> = {
  'destination-unreachable': [1, null],
  'no-route': [1, 0],
  'packet-too-big': [2, null],
  'time-exceeded': [3, null],
  'ttl-exceeded': [3, null],
  'parameter-problem': [4, null],
  'echo-request': [128, null],
  'echo-reply': [129, null],
  'mld-listener-query': [130, null],
  'mld-listener-report': [131, null],
  'mld-listener-done': [132, null],
  'mld-listener-reduction': [132, null],
  'nd-router-solicit': [133, null],
  'router-solicitation': [133, null],
  'nd-router-advert': [134, null],
  'router-advertisement': [134, null],
  'nd-neighbor-solicit': [135, null],
  'neighbour-solicitation': [135, null],
  'neighbor-solicitation': [135, null],
  'nd-neighbor-advert': [136, null],
  'neighbour-advertisement': [136, null],
  'neighbor-advertisement': [136, null],
  'nd-redirect': [137, null],
  redirect: [137, null],
  'router-renumbering': [138, null],
  'ind-neighbor-solicit': [141, null],
  'ind-neighbor-advert': [142, null],
  'mld2-listener-report': [143, null],
};

/** Type and code (null: any) by name or number; null where it is none. */
export function icmpOf(word: string, family: 4 | 6): readonly [number, number | null] | null {
  const parts = /^(\d{1,3})(?:\/(\d{1,3}))?$/.exec(word);
  if (parts !== null) {
    const [type, code] = [Number(parts[1]), parts[2] === undefined ? null : Number(parts[2])];
    return type <= 255 && (code ?? 0) <= 255 ? [type, code] : null;
  }
  const words = family === 4 ? icmpWords : icmp6Words;
  return Object.hasOwn(words, word) ? (words[word] ?? null) : null;
}

export function hex(text: string): number | null {
  if (/^0x[0-9a-fA-F]{1,8}$/.test(text)) return Number.parseInt(text.slice(2), 16);
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}
