// The capture file of Wireshark and newer tcpdumps (draft-ietf-opsawg-pcapng): blocks in sections.
//
// Read are section headers, interfaces and the three kinds of packet blocks; every other block is passed over
// by its length, as §3.1 wants it. Of options only those are read that say what a packet's time, interface or
// direction is. A section of another major version could be passed over (§3.4), but then a verdict over the
// capture would be one over a part of it without saying so: it is refused.

import type { ByteSource } from './byte-source.ts';
import { type CapturedPacket, CaptureError, packetBytesMax } from './captured-packet.ts';
import { checkLinkType } from './link-types.ts';

const blockTypes = { section: 0x0a0d0d0a, interface: 1, packet: 2, simple: 3, enhanced: 6 } as const;
const byteOrderMagic = 0x1a2b3c4d;
/** Type, length, and the length again at the end (§3.1). */
const blockFrameBytes = 12;
/** Of a block that is read. A packet and generous options; what is skipped may be as long as it says. */
const blockBytesMax = 1 << 20;
/** Of one section: each takes memory, and a file can name billions. */
const interfacesMax = 65_536;
/** Of a name in bytes, which only has to be told from others and shown. */
const nameLengthMax = 255;
/** Bytes of a block's body before its data or options. */
const fixedBytes = { section: 16, interface: 8, packet: 20, simple: 4, enhanced: 20 } as const;

interface CaptureInterface {
  readonly linkType: number;
  readonly snapLength: number;
  readonly name: string | null;
  /** Nanoseconds are ticks × multiplier / divisor + offsetNs. */
  readonly multiplier: bigint;
  readonly divisor: bigint;
  readonly offsetNs: bigint;
  /** Where its description stands, for a refusal of its link type. */
  readonly offset: number;
}

interface Block {
  readonly type: number;
  /** Of the block in the file. */
  readonly offset: number;
  readonly body: DataView;
  readonly little: boolean;
}

/** Whether these first four bytes open a file of this kind. */
export const isPcapng = (magic: Uint8Array): boolean => viewOf(magic).getUint32(0) === blockTypes.section;

/** The packets of a file whose first four bytes were taken already. Throws CaptureError. */
export function* readPcapng(source: ByteSource): Generator<CapturedPacket> {
  let little = readSectionHeader(source);
  let interfaces: CaptureInterface[] = [];
  let index = 0;
  while (!source.isAtEnd()) {
    const start = source.offset;
    const type = viewOf(source.take(4, 'a block type')).getUint32(0, little);
    if (type === blockTypes.section) {
      // §4.1: it reads the same in both byte orders, and interfaces are of their section alone.
      little = readSectionHeader(source);
      interfaces = [];
      continue;
    }
    const block = readBlock(source, type, start, little);
    if (block === null) continue;
    if (type === blockTypes.interface) {
      if (interfaces.length === interfacesMax) {
        throw new CaptureError('malformed', start, `the section has more than ${interfacesMax} interfaces`);
      }
      interfaces.push(readInterface(block));
      continue;
    }
    yield readPacket(block, interfaces, index++);
  }
}

/** §4.1. Behind the block's type; says whether the section is little-endian. */
function readSectionHeader(source: ByteSource): boolean {
  const start = source.offset - 4;
  const head = viewOf(source.take(8, 'a section header'));
  const little = head.getUint32(4, true) === byteOrderMagic;
  if (!little && head.getUint32(4) !== byteOrderMagic) {
    throw new CaptureError('malformed', start + 8, 'a section header without its byte-order magic');
  }
  const length = head.getUint32(0, little);
  checkLength(length, blockFrameBytes + fixedBytes.section, start);
  const rest = viewOf(source.take(length - 12, 'a section header'));
  const major = rest.getUint16(0, little);
  if (major !== 1) {
    const version = `${major}.${rest.getUint16(2, little)}`;
    throw new CaptureError('malformed', start + 12, `pcapng version ${version} is not read, only 1`);
  }
  checkTrailer(rest.getUint32(rest.byteLength - 4, little), length, start);
  return little;
}

/** The body of a block that is read; null: it was of another kind and is passed over. */
function readBlock(source: ByteSource, type: number, start: number, little: boolean): Block | null {
  const length = viewOf(source.take(4, 'a block length')).getUint32(0, little);
  const fixed = fixedOf(type);
  if (fixed === null) {
    if (length < blockFrameBytes || length % 4 !== 0) throw badLength(length, start);
    source.skip(length - blockFrameBytes, `a block of type ${type}`);
    checkTrailer(viewOf(source.take(4, 'a block length')).getUint32(0, little), length, start);
    return null;
  }
  checkLength(length, blockFrameBytes + fixed, start);
  const body = viewOf(source.take(length - blockFrameBytes, `a block of type ${type}`));
  checkTrailer(viewOf(source.take(4, 'a block length')).getUint32(0, little), length, start);
  return { type, offset: start, body, little };
}

function fixedOf(type: number): number | null {
  switch (type) {
    case blockTypes.interface:
      return fixedBytes.interface;
    case blockTypes.packet:
      return fixedBytes.packet;
    case blockTypes.simple:
      return fixedBytes.simple;
    case blockTypes.enhanced:
      return fixedBytes.enhanced;
    default:
      return null;
  }
}

function checkLength(length: number, min: number, start: number): void {
  if (length < min || length % 4 !== 0) throw badLength(length, start);
  if (length > blockBytesMax) {
    throw new CaptureError(
      'malformed',
      start + 4,
      `a block is said to have ${length} bytes, more than the ${blockBytesMax} that are read`,
    );
  }
}

const badLength = (length: number, start: number) =>
  new CaptureError('malformed', start + 4, `no block of this type has ${length} bytes`);

function checkTrailer(found: number, length: number, start: number): void {
  if (found === length) return;
  const at = start + length - 4;
  throw new CaptureError('malformed', at, `a block of ${length} bytes says at its end that it has ${found}`);
}

/** §4.2. */
function readInterface(block: Block): CaptureInterface {
  const { body, little, offset } = block;
  let name: string | null = null;
  let resolution = 6;
  let offsetNs = 0n;
  for (const option of optionsOf(block, fixedBytes.interface)) {
    if (option.code === 2) name = textOf(option.value);
    if (option.code === 9 && option.value.byteLength === 1) resolution = option.value.getUint8(0);
    if (option.code === 14 && option.value.byteLength === 8) {
      offsetNs = option.value.getBigInt64(0, little) * 1_000_000_000n;
    }
  }
  // if_tsresol: with the highest bit a power of two, else of ten.
  const exponent = BigInt(resolution & 0x7f);
  return {
    linkType: body.getUint16(0, little),
    snapLength: body.getUint32(4, little),
    name,
    multiplier: 1_000_000_000n,
    divisor: (resolution & 0x80) !== 0 ? 2n ** exponent : 10n ** exponent,
    offsetNs,
    offset: offset + 8,
  };
}

/** §4.3, §4.4 and Appendix A. */
function readPacket(block: Block, interfaces: readonly CaptureInterface[], index: number): CapturedPacket {
  const { body, little, type, offset } = block;
  const isSimple = type === blockTypes.simple;
  const id = isSimple
    ? 0
    : type === blockTypes.packet
      ? body.getUint16(0, little)
      : body.getUint32(0, little);
  const from = interfaces[id];
  if (from === undefined) {
    throw new CaptureError(
      'malformed',
      offset + 8,
      `packet ${index} is of interface ${id}, which is not there`,
    );
  }
  checkLinkType(from.linkType, from.offset);
  const fixed = isSimple ? fixedBytes.simple : fixedBytes.enhanced;
  const room = body.byteLength - fixed;
  const original = body.getUint32(isSimple ? 0 : 16, little);
  // §4.4: a simple block does not say what was captured; it is what the snapshot length left.
  const captured = isSimple ? Math.min(original, from.snapLength || original) : body.getUint32(12, little);
  if (captured > room || captured > packetBytesMax) {
    const most = Math.min(room, packetBytesMax);
    throw new CaptureError(
      'malformed',
      offset + 8,
      `packet ${index} is said to have ${captured} bytes, where there is room for ${most}`,
    );
  }
  return {
    index,
    timeNs: isSimple ? null : timeOf(from, body.getUint32(4, little), body.getUint32(8, little)),
    linkType: from.linkType,
    bytes: new Uint8Array(body.buffer, body.byteOffset + fixed, captured),
    originalLength: Math.max(original, captured),
    interface: from.name,
    direction: isSimple ? null : directionOf(block, fixed + captured + (-captured & 3)),
  };
}

const timeOf = ({ multiplier, divisor, offsetNs }: CaptureInterface, high: number, low: number) =>
  (((BigInt(high) << 32n) | BigInt(low)) * multiplier) / divisor + offsetNs;

/** The flags word (§4.3.1), which the obsolete block has as well. */
function directionOf(block: Block, optionsAt: number): CapturedPacket['direction'] {
  for (const { code, value } of optionsOf(block, optionsAt)) {
    if (code !== 2 || value.byteLength !== 4) continue;
    const way = value.getUint32(0, block.little) & 3;
    return way === 1 ? 'ingress' : way === 2 ? 'egress' : null;
  }
  return null;
}

/** §3.5. Their end need not be marked; an option that does not fit its block is a lie. */
function* optionsOf(
  { body, little, offset }: Block,
  from: number,
): Generator<{ readonly code: number; readonly value: DataView }> {
  for (let at = from; at + 4 <= body.byteLength; ) {
    const code = body.getUint16(at, little);
    const length = body.getUint16(at + 2, little);
    if (code === 0) return;
    if (at + 4 + length > body.byteLength) {
      throw new CaptureError(
        'malformed',
        offset + 8 + at,
        `an option of ${length} bytes does not fit its block`,
      );
    }
    yield { code, value: new DataView(body.buffer, body.byteOffset + at + 4, length) };
    at += 4 + length + (-length & 3);
  }
}

/** Strings end at a zero byte, where there is one (§3.5). */
function textOf(value: DataView): string {
  const bytes = new Uint8Array(value.buffer, value.byteOffset, Math.min(value.byteLength, nameLengthMax));
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
