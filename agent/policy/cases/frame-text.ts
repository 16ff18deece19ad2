// Packets as text, header by header: what case files are written in. See README.md for the words.
//
// Lengths, next headers and EtherTypes come out right unless a word says otherwise; that is how a header is
// made to lie. Checksums are left zero: no judgement looks at them.

import { parseAddress } from '../addresses.ts';
import { takeQuotes } from './quoted-text.ts';

interface Header {
  readonly name: string;
  readonly words: readonly string[];
  /** Texts that `quotes N` stands for. */
  readonly quotes: readonly string[];
}

/** Numbers by which the header before names this one. */
const etherTypes: Readonly<Record<string, number>> = {
  ipv4: 0x0800,
  arp: 0x0806,
  ipv6: 0x86dd,
  vlan: 0x8100,
  qinq: 0x88a8,
};
const protocols: Readonly<Record<string, number>> = {
  'hop-by-hop': 0,
  icmp: 1,
  tcp: 6,
  udp: 17,
  routing: 43,
  fragment: 44,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  destination: 60,
  sctp: 132,
  mobility: 135,
  hip: 139,
  shim6: 140,
  udplite: 136,
};
const flagBits: Readonly<Record<string, number>> = {
  fin: 1,
  syn: 2,
  rst: 4,
  psh: 8,
  ack: 16,
  urg: 32,
  ece: 64,
  cwr: 128,
};

/** `ipv4 192.0.2.1 > 198.51.100.1 / tcp 40000 > 22 syn` as a frame from its Ethernet header on. */
export function frameFromText(text: string): Uint8Array {
  const { text: outside, quotes } = takeQuotes(text);
  return frameOf(outside, quotes);
}

function frameOf(text: string, quotes: readonly string[]): Uint8Array {
  const headers = text.split('/').map((part): Header => {
    const [name = '', ...words] = part.trim().split(/\s+/);
    return { name, words, quotes };
  });
  if (headers[0]?.name === 'hex') return bytesOfHex(headers[0].words.join(''));
  const cut = headers.at(-1)?.name === 'cut' ? headers.pop() : undefined;
  const frame = ethernet(headers);
  return cut === undefined ? frame : frame.slice(0, numberOf(cut.words[0]));
}

/** More than any packet can state. */
const payloadBytesMax = 65_536;

/** What a frame is sent from and to where its text does not say: locally administered, neither a group. */
const someSource = '02:00:00:00:00:02';
const someDestination = '02:00:00:00:00:01';

/** `eth SOURCE > DESTINATION` in front says the addresses of the link. */
function ethernet(all: readonly Header[]): Uint8Array {
  const link = all[0]?.name === 'eth' ? all[0] : undefined;
  const headers = link === undefined ? all : all.slice(1);
  const [first] = headers;
  const etherType = first === undefined ? 0 : etherTypeOf(first);
  const [source, destination] =
    link === undefined ? [someSource, someDestination] : [link.words[0], link.words[2]];
  return concat(macOf(destination), macOf(source), Uint8Array.of(...u16(etherType)), build(headers));
}

const etherTypeOf = ({ name, words }: Header) =>
  name === 'ethertype' ? numberOf(words[0]) : known(etherTypes, name, 'EtherType');
const protocolOf = (header: Header | undefined) => {
  if (header === undefined) return 59;
  return header.name === 'protocol' ? numberOf(header.words[0]) : known(protocols, header.name, 'protocol');
};

/** The first header and all behind it. */
function build(headers: readonly Header[]): Uint8Array {
  const [header, ...behind] = headers;
  if (header === undefined) return new Uint8Array(0);
  switch (header.name) {
    case 'vlan':
    case 'qinq': {
      const inner = behind[0] === undefined ? 0 : etherTypeOf(behind[0]);
      return concat(Uint8Array.of(...u16(numberOf(header.words[0])), ...u16(inner)), build(behind));
    }
    case 'arp':
    case 'ethertype':
      return new Uint8Array(46);
    case 'ipv4':
      return ipv4(header, behind);
    case 'ipv6':
      return ipv6(header, behind);
    case 'fragment': {
      const offset = (numberOf(header.words[0]) << 3) | (header.words.includes('more') ? 1 : 0);
      return concat(
        Uint8Array.of(protocolOf(behind[0]), 0, ...u16(offset), 0, 0, ...u16(idOf(header))),
        build(behind),
      );
    }
    case 'ah':
    case 'hop-by-hop':
    case 'routing':
    case 'destination':
    case 'mobility':
    case 'hip':
    case 'shim6':
      return extension(header, behind);
    case 'tcp':
      return tcp(header, behind);
    case 'udplite':
      return concat(Uint8Array.of(...ports(header), 0, 8, 0, 0), build(behind));
    case 'udp': {
      const payload = build(behind);
      const length = numberBehind(header, 'length') ?? 8 + payload.length;
      return concat(Uint8Array.of(...ports(header), ...u16(length), 0, 0), payload);
    }
    case 'sctp':
      return concat(Uint8Array.of(...ports(header), 0, 0, 0, 0, 0, 0, 0, 0), build(behind));
    case 'icmp':
    case 'icmpv6':
      return icmp(header, behind);
    case 'protocol':
    case 'gre':
    case 'esp':
      return new Uint8Array(8);
    case 'bytes':
      return new Uint8Array(Math.min(numberOf(header.words[0]), payloadBytesMax)).fill(0xaa);
    default:
      throw new Error(`"${header.name}" is no header`);
  }
}

function ipv4(header: Header, behind: readonly Header[]): Uint8Array {
  const body = build(behind);
  const options = new Uint8Array(numberBehind(header, 'options') ?? 0).fill(1);
  const words = numberBehind(header, 'words') ?? 5 + options.length / 4;
  const total = numberBehind(header, 'total') ?? 20 + options.length + body.length;
  const fragment = (numberBehind(header, 'offset') ?? 0) | (header.words.includes('more') ? 0x2000 : 0);
  const version = numberBehind(header, 'version') ?? 4;
  const head = Uint8Array.of(
    ...[(version << 4) | words, dscpOf(header) << 2, ...u16(total), ...u16(idOf(header)), ...u16(fragment)],
    ...[numberBehind(header, 'ttl') ?? 64, protocolOf(behind[0]), 0, 0],
    ...addressOf(header.words[0]).subarray(12),
    ...addressOf(header.words[2]).subarray(12),
  );
  return concat(head, options, body);
}

function ipv6(header: Header, behind: readonly Header[]): Uint8Array {
  const body = build(behind);
  const length = numberBehind(header, 'length') ?? body.length;
  const version = numberBehind(header, 'version') ?? 6;
  const first = (version << 12) | (dscpOf(header) << 6);
  const head = Uint8Array.of(
    ...[...u16(first), 0, 0, ...u16(length), protocolOf(behind[0]), numberBehind(header, 'hops') ?? 64],
    ...addressOf(header.words[0]),
    ...addressOf(header.words[2]),
  );
  return concat(head, body);
}

/** `words N`: in its own unit, beyond the least; AH counts 4 bytes beyond 8, the others 8 beyond 8. */
function extension(header: Header, behind: readonly Header[]): Uint8Array {
  const isAh = header.name === 'ah';
  const words = numberBehind(header, 'words') ?? (isAh ? 4 : 0);
  const bytes = numberBehind(header, 'bytes') ?? (isAh ? (words + 2) * 4 : (words + 1) * 8);
  const head = new Uint8Array(bytes);
  head.set([protocolOf(behind[0]), words].slice(0, bytes));
  return concat(head, build(behind));
}

function tcp(header: Header, behind: readonly Header[]): Uint8Array {
  const options = new Uint8Array(numberBehind(header, 'options') ?? 0).fill(1);
  const words = numberBehind(header, 'words') ?? 5 + options.length / 4;
  const flags = header.words.reduce((bits, word) => bits | (flagBits[word] ?? 0), 0);
  const head = Uint8Array.of(...ports(header), 0, 0, 0, 1, 0, 0, 0, 0, words << 4, flags, 0, 0, 0, 0, 0, 0);
  return concat(head, options, build(behind));
}

/** `icmp TYPE CODE id N quotes (…)`; a quote begins with its IP header. */
function icmp(header: Header, behind: readonly Header[]): Uint8Array {
  const [type, code = '0'] = header.words.filter((word) => /^(0x)?[0-9a-f]+$/i.test(word));
  const hasCode = header.words[1] !== undefined && header.words[1] === code;
  const quote = header.quotes[numberBehind(header, 'quotes') ?? -1];
  const quoted = quote === undefined ? new Uint8Array(0) : frameOf(quote, header.quotes).slice(ethernetBytes);
  return concat(
    Uint8Array.of(numberOf(type), hasCode ? numberOf(code) : 0, 0, 0),
    Uint8Array.of(...u16(numberBehind(header, 'id') ?? 0), 0, 0),
    quoted,
    build(behind),
  );
}

const ethernetBytes = 14;

/** Identification, of IPv4 or of a fragment header. */
const idOf = (header: Header) => numberBehind(header, 'id') ?? 7;

/** The number behind a word, as in `ttl 3`. */
function numberBehind({ words }: Header, word: string): number | undefined {
  const at = words.indexOf(word);
  return at < 0 ? undefined : numberOf(words[at + 1]);
}

/** RFC 2474 §3: the upper six bits of the octet that was type of service, or traffic class. */
function dscpOf(header: Header): number {
  const dscp = numberBehind(header, 'dscp') ?? 0;
  if (dscp > 63) throw new Error(`dscp ${dscp} has no room in its six bits`);
  return dscp;
}

/** `40000 > 22`. */
const ports = ({ words }: Header) => [...u16(numberOf(words[0])), ...u16(numberOf(words[2]))];
const u16 = (value: number) => [(value >> 8) & 0xff, value & 0xff];

function addressOf(text: string | undefined): Uint8Array {
  if (text === undefined) throw new Error('an IP header needs SOURCE > DESTINATION');
  return parseAddress(text);
}

function macOf(text: string | undefined): Uint8Array {
  if (text === undefined || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new Error(`"${text}" is no MAC address; eth needs SOURCE > DESTINATION, as in ${someSource}`);
  }
  return bytesOfHex(text.replaceAll(':', ''));
}

function bytesOfHex(digits: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`"${digits}" is not whole bytes of hex digits`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) =>
    Number.parseInt(digits.slice(at * 2, at * 2 + 2), 16),
  );
}

function numberOf(text: string | undefined): number {
  const value = Number(text);
  if (text === undefined || !Number.isInteger(value) || value < 0) throw new Error(`"${text}" is no number`);
  return value;
}

function known(names: Readonly<Record<string, number>>, name: string, what: string): number {
  const number = names[name];
  if (number === undefined) throw new Error(`"${name}" has no ${what}; ethertype N or protocol N says one`);
  return number;
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
