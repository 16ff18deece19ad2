// Addresses, prefixes and ranges of both families, as text and as numbers.
//
// An address is 128 bits in four words, network order; IPv4 takes its mapped form ::ffff:a.b.c.d
// (RFC 4291 §2.5.5.2), so that one piece of code serves both. Bundles carry hundreds of thousands of
// entries, so that reading one allocates nothing: `readRange` fills a scratch of eight words.
//
// The text is read strictly (no octal, no missing octets, no zone index, no mapped form), because two
// readers that disagree on what an address means are a hole in a filter.

export type Family = 4 | 6;

/** Two addresses: words 0–3 the first, 4–7 the last. */
export const rangeWords = 8;

/** `::ffff:0:0/96`: third word of every IPv4 address. */
export const mappedWord = 0xffff;
/** Longest text that can be an entry: two IPv6 addresses with an IPv4 tail and a hyphen. */
export const entryLengthMax = 91;

/** Reads an address, a prefix or a range into `out`. Returns its family, or a sentence that says what is wrong. */
export function readRange(text: string, out: Uint32Array): Family | string {
  if (text.length > entryLengthMax) return 'too long for an address';
  const hyphen = text.indexOf('-');
  if (hyphen >= 0) return readHyphenated(text, hyphen, out);
  const slash = text.indexOf('/');
  const family = readAddress(text, 0, slash >= 0 ? slash : text.length, out, 0);
  if (family === 0) return notAnAddress(text);
  if (slash < 0) {
    out.copyWithin(4, 0, 4);
    return isMapped(family, out) ? mappedFault(out) : family;
  }
  const length = readLength(text, slash + 1, family);
  if (length < 0) return `${text.slice(slash)} is not a prefix length of ${family === 4 ? 'IPv4' : 'IPv6'}`;
  const lost = spread(out, length);
  if (length >= 96 && isMapped(family, out)) return mappedFault(out);
  if (lost) return `has bits set behind its prefix length; the prefix is ${formatPrefix(out, length)}`;
  return family;
}

function readHyphenated(text: string, hyphen: number, out: Uint32Array): Family | string {
  const family = readAddress(text, 0, hyphen, out, 0);
  if (family === 0) return notAnAddress(text.slice(0, hyphen));
  const lastFamily = readAddress(text, hyphen + 1, text.length, out, 4);
  if (lastFamily === 0) return notAnAddress(text.slice(hyphen + 1));
  if (family !== lastFamily) return 'goes from one family to the other';
  if (isMapped(family, out) || (family === 6 && isIpv4(out, 4))) {
    return 'is written with IPv4-mapped addresses; write them as IPv4';
  }
  if (compareWords(out, 0, out, 4) > 0) {
    return `wraps: it ends before it starts; the other way round it is ${formatAddress(out, 4)}-${formatAddress(out, 0)}`;
  }
  return family;
}

const notAnAddress = (text: string) =>
  text === '' ? 'is empty where an address should be' : `is not an IPv4 or IPv6 address`;

/** An IPv4 address that was written as an IPv6 one. */
const isMapped = (family: Family, words: Uint32Array) => family === 6 && isIpv4(words, 0);

const mappedFault = (words: Uint32Array) =>
  `is an IPv4-mapped address; write it as IPv4, as in ${formatAddress(words, 0)}`;

/** One address of `text[from, to)` into four words. Returns its family, 0 where it is none. */
function readAddress(text: string, from: number, to: number, out: Uint32Array, at: number): Family | 0 {
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x3a) return readIpv6(text, from, to, out, at) ? 6 : 0;
    if (code === 0x2e) break;
  }
  const value = readIpv4(text, from, to);
  if (value < 0) return 0;
  out[at] = 0;
  out[at + 1] = 0;
  out[at + 2] = mappedWord;
  out[at + 3] = value;
  return 4;
}

/** Dotted quad, four decimal numbers without leading zeros; -1 where it is none. */
function readIpv4(text: string, from: number, to: number): number {
  let value = 0;
  let octet = -1;
  let octets = 0;
  for (let i = from; i <= to; i++) {
    const code = i < to ? text.charCodeAt(i) : 0x2e;
    if (code === 0x2e) {
      if (octet < 0 || octets === 4) return -1;
      value = value * 256 + octet;
      octets++;
      octet = -1;
    } else {
      const digit = code - 0x30;
      if (digit < 0 || digit > 9 || octet === 0) return -1;
      octet = octet < 0 ? digit : octet * 10 + digit;
      if (octet > 255) return -1;
    }
  }
  return octets === 4 ? value : -1;
}

/** RFC 4291 §2.2, all three forms. */
function readIpv6(text: string, from: number, to: number, out: Uint32Array, at: number): boolean {
  const groups = ipv6Groups;
  let count = 0;
  let gap = -1;
  let i = from;
  if (text.startsWith('::', i)) {
    gap = 0;
    i += 2;
  }
  while (i < to) {
    if (count === 8) return false;
    const end = groupEnd(text, i, to);
    if (end < to && text.charCodeAt(end) === 0x2e) {
      // The last 32 bits as IPv4.
      const value = readIpv4(text, i, to);
      if (value < 0 || count > 6) return false;
      groups[count++] = value >>> 16;
      groups[count++] = value & 0xffff;
      i = to;
      break;
    }
    if (end === i || end - i > 4) return false;
    groups[count++] = Number.parseInt(text.slice(i, end), 16);
    i = end;
    if (i === to) break;
    if (text.charCodeAt(i) !== 0x3a) return false;
    i++;
    if (i < to && text.charCodeAt(i) === 0x3a) {
      if (gap >= 0) return false;
      gap = count;
      i++;
    } else if (i >= to) {
      return false;
    }
  }
  // `::` stands for at least one group.
  if (gap < 0 ? count !== 8 : count > 7) return false;
  const missing = 8 - count;
  for (let word = 0; word < 4; word++) {
    out[at + word] =
      (groupAt(groups, word * 2, gap, missing) << 16) | groupAt(groups, word * 2 + 1, gap, missing);
  }
  return true;
}

const ipv6Groups = new Uint16Array(8);

/** Group `index` of the whole address, where `missing` groups of zeros stand at `gap`. */
function groupAt(groups: Uint16Array, index: number, gap: number, missing: number): number {
  if (gap < 0 || index < gap) return groups[index] ?? 0;
  return index < gap + missing ? 0 : (groups[index - missing] ?? 0);
}

function groupEnd(text: string, from: number, to: number): number {
  let i = from;
  for (; i < to; i++) {
    const code = text.charCodeAt(i) | 0x20;
    const isHex =
      (code >= 0x61 && code <= 0x66) || (text.charCodeAt(i) >= 0x30 && text.charCodeAt(i) <= 0x39);
    if (!isHex) break;
  }
  return i;
}

/** The prefix length from `from` on, counted in the 128 bits (IPv4: 96 more); -1 where it is none. */
function readLength(text: string, from: number, family: Family): number {
  const digits = text.length - from;
  if (digits < 1 || digits > 3 || (digits > 1 && text.charCodeAt(from) === 0x30)) return -1;
  let length = 0;
  for (let i = from; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  if (family === 4) return length <= 32 ? length + 96 : -1;
  return length <= 128 ? length : -1;
}

/** Makes words 0–3 and a prefix length a range in place. Returns whether host bits were set (and are now clear). */
function spread(out: Uint32Array, length: number): boolean {
  let lost = false;
  for (let word = 0; word < 4; word++) {
    const mask = maskWord(length, word);
    const value = out[word] ?? 0;
    const first = (value & mask) >>> 0;
    if (first !== value) lost = true;
    out[word] = first;
    out[word + 4] = first | ~mask;
  }
  return lost;
}

/** Word `word` of the mask of a prefix of `length` bits of 128. */
export function maskWord(length: number, word: number): number {
  const bits = length - word * 32;
  if (bits <= 0) return 0;
  return bits >= 32 ? 0xffffffff : ~(0xffffffff >>> bits) >>> 0;
}

/** Negative, zero or positive as the address at `a[i]` is below, equal to or above the one at `b[j]`. */
export function compareWords(a: Uint32Array, i: number, b: Uint32Array, j: number): number {
  for (let word = 0; word < 4; word++) {
    const one = a[i + word] ?? 0;
    const other = b[j + word] ?? 0;
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
}

/** The prefix length (of 128) where the range at `words[at]` is one prefix, else -1. */
export function prefixLength(words: Uint32Array, at: number): number {
  let length = 0;
  for (let word = 0; word < 4; word++) {
    const first = words[at + word] ?? 0;
    const last = words[at + 4 + word] ?? 0;
    const differ = (first ^ last) >>> 0;
    const same = Math.clz32(differ);
    if (length === word * 32) {
      length += same;
      const free = differ === 0 ? 0 : 0xffffffff >>> same;
      if ((first & free) >>> 0 !== 0 || (last & free) >>> 0 !== free) return -1;
    } else if (first !== 0 || last !== 0xffffffff) {
      return -1;
    }
  }
  return length;
}

export function wordsToBytes(words: Uint32Array, at: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (let word = 0; word < 4; word++) view.setUint32(word * 4, words[at + word] ?? 0);
  return bytes;
}

/** 4 or 16 bytes in network order into four words. */
export function bytesToWords(bytes: Uint8Array, out: Uint32Array, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 4) {
    out[at] = 0;
    out[at + 1] = 0;
    out[at + 2] = mappedWord;
    out[at + 3] = view.getUint32(0);
    return;
  }
  if (bytes.length !== 16) throw new RangeError(`an address of ${bytes.length} bytes`);
  for (let word = 0; word < 4; word++) out[at + word] = view.getUint32(word * 4);
}

/** The bytes of one address in 16-byte form; throws RangeError where the text is none. For tests and tools. */
export function parseAddress(text: string): Uint8Array {
  const words = new Uint32Array(4);
  if (readAddress(text, 0, text.length, words, 0) === 0) {
    throw new RangeError(`"${text}" ${notAnAddress(text)}`);
  }
  return wordsToBytes(words, 0);
}

/** Whether the four words are an IPv4 address in mapped form. */
export const isIpv4 = (words: Uint32Array, at: number) =>
  words[at] === 0 && words[at + 1] === 0 && words[at + 2] === mappedWord;

/** Dotted quad for IPv4 (mapped form), RFC 5952 for IPv6. */
export function formatAddress(words: Uint32Array, at: number): string {
  const low = words[at + 3] ?? 0;
  if (isIpv4(words, at)) {
    return `${low >>> 24}.${(low >>> 16) & 0xff}.${(low >>> 8) & 0xff}.${low & 0xff}`;
  }
  const groups = Array.from({ length: 8 }, (_, index) => {
    const word = words[at + (index >> 1)] ?? 0;
    return index % 2 === 0 ? word >>> 16 : word & 0xffff;
  });
  const { start, length } = longestZeros(groups);
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return length < 2 ? text(0, 8) : `${text(0, start)}::${text(start + length, 8)}`;
}

/** The first of the longest runs of zero groups (RFC 5952 §4.2). */
function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, index) => {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  });
  return best;
}

/** The address of 4 or 16 bytes as text. */
export function formatBytes(bytes: Uint8Array): string {
  const words = new Uint32Array(4);
  bytesToWords(bytes, words, 0);
  return formatAddress(words, 0);
}

function formatPrefix(words: Uint32Array, length: number): string {
  const address = formatAddress(words, 0);
  return isIpv4(words, 0) && length >= 96 ? `${address}/${length - 96}` : `${address}/${length}`;
}

/** The shortest of address, prefix and range that says it. */
export function formatRange(words: Uint32Array, at: number): string {
  const length = prefixLength(words, at);
  if (length === 128) return formatAddress(words, at);
  if (length >= 0) return formatPrefix(words.subarray(at, at + 4), length);
  return `${formatAddress(words, at)}-${formatAddress(words, at + 4)}`;
}
