// Reads the table of an IPv4 set, step by step as bpf/include/set4.h does, but plainly.

import {
  decodeHuskSet4,
  decodeHuskSet4Group,
  decodeHuskSet4Line,
  HUSK_SET_HEAD_BYTES,
  HUSK_SET4_LINE_ALL,
  HUSK_SET4_LINE_BITS,
  HUSK_SET4_LINE_CHILDREN,
  HuskSet4Group,
  HuskSet4Line,
} from '../../../bpf/abi/layout.gen.ts';

const kindShift = 14;

/** Whether the table holds an address. Throws RangeError where it leads out of its bytes. */
export function holds4(bytes: Uint8Array, address: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const head = decodeHuskSet4(view, 0);
  if (!bitAt(view, HUSK_SET_HEAD_BYTES, address >>> head.filterShift)) return false;

  const block = address >>> head.blockShift;
  const group = decodeHuskSet4Group(view, head.groupsAt + (block >>> 6) * HuskSet4Group.size);
  const upto = group.starts & ((2n << BigInt(block & 63)) - 1n);
  const line = lineAt(view, head.linesAt, group.line + onesOf(upto));
  const distance =
    ((block - line.firstBlock) & 0xffff) * 2 ** head.blockShift + (address % 2 ** head.blockShift);
  const [low = 0, high = 0] = line.keys;
  const number = low + high * 0x10000;
  switch (line.flags >>> kindShift) {
    case HUSK_SET4_LINE_ALL:
      return true;
    case HUSK_SET4_LINE_BITS:
      return distance <= 0xffff && bitAt(view, head.childrenAt + number * HuskSet4Line.size, distance);
    case HUSK_SET4_LINE_CHILDREN: {
      const child = (number + line.keys.slice(2).filter((key) => key <= distance).length) >>> 0;
      return lineHolds(lineAt(view, head.childrenAt, child), distance);
    }
    default:
      return lineHolds(line, distance);
  }
}

const lineAt = (view: DataView, at: number, number: number) =>
  decodeHuskSet4Line(view, at + number * HuskSet4Line.size);

function lineHolds({ keys, flags }: HuskSet4Line, distance: number): boolean {
  return keys.some(
    (key, index) =>
      key === distance ||
      (((flags >>> index) & 1) === 1 && key > distance && (keys[index - 1] ?? distance) <= distance),
  );
}

function bitAt(view: DataView, at: number, bit: number): boolean {
  return ((view.getUint8(at + (bit >>> 3)) >>> (bit & 7)) & 1) === 1;
}

function onesOf(word: bigint): number {
  return word.toString(2).replaceAll('0', '').length;
}
