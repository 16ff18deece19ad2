// Reads the table of an IPv6 set, step by step as bpf/include/set6.h does, but plainly.

import {
  decodeHuskSet6,
  decodeHuskSet6Group,
  decodeHuskSet6Leaf,
  decodeHuskSet6Line,
  decodeHuskSet6Node,
  decodeHuskSet6Record,
  HUSK_SET_HEAD_BYTES,
  HUSK_SET6_KEY_BITS,
  HUSK_SET6_LINE_TREE,
  HUSK_SET6_NODE_KEYS,
  type HuskSet6,
  HuskSet6Group,
  HuskSet6Leaf,
  HuskSet6Line,
  HuskSet6Node,
  HuskSet6Record,
  type HuskSet6Tree,
} from '../../../bpf/abi/layout.gen.ts';
import { hash } from './filter6.ts';

const recordBit = 1n << 63n;
const shortKeyMask = (1n << BigInt(HUSK_SET6_KEY_BITS)) - 1n;

/** Whether the table holds an address of four words at `words[at]`. Throws RangeError where it leads out of its bytes. */
export function holds6(bytes: Uint8Array, words: Uint32Array, at: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const head = decodeHuskSet6(view, 0);
  const high = half(words, at);
  const bit = hash(Number(high >> BigInt(head.filterPrefix))) >>> head.filterShift;
  if (((view.getUint8(HUSK_SET_HEAD_BYTES + (bit >>> 3)) >>> (bit & 7)) & 1) === 0) return false;

  const line = lineOf(view, head, high);
  if (line !== null && (Number(line[3] ?? 0n) & HUSK_SET6_LINE_TREE) === 0) {
    const place = (high << 1n) & shortKeyMask;
    return shortKeysOf(line).some((key) => key > 0n && prefixHolds(key, place));
  }

  const root = Number(high >> 62n);
  const tree = head.trees[root];
  if (tree === undefined || ((head.treesPresent >>> root) & 1) === 0) return false;
  const place = (high << 1n) & (recordBit - 1n);
  const leaf = leafOf(view, tree, place);
  const { keys } = decodeHuskSet6Leaf(view, head.leavesAt + leaf * HuskSet6Leaf.size);
  const found = keys.findIndex((key) => prefixHolds(key % recordBit, place));
  if (found < 0) return false;
  if ((keys[found] ?? 0n) < recordBit) return true;
  const before = keys.slice(0, found).filter((key) => key >= recordBit).length;
  const record = view.getUint32(head.countsAt + leaf * 4, true) + before;
  return recordHolds(view, head.recordsAt, record, half(words, at + 2));
}

const half = (words: Uint32Array, at: number) => (BigInt(words[at] ?? 0) << 32n) | BigInt(words[at + 1] ?? 0);

function lineOf(view: DataView, head: HuskSet6, high: bigint): readonly bigint[] | null {
  const distance = high ^ head.windowFirst;
  if (head.groupsAt === 0 || distance >> BigInt(64 - head.windowBits) !== 0n) return null;
  const block = Number(distance >> BigInt(head.blockShift));
  const { starts, line } = decodeHuskSet6Group(
    view,
    head.groupsAt + Math.floor(block / 64) * HuskSet6Group.size,
  );
  const started = starts & ((2n << BigInt(block % 64)) - 1n);
  const number = line + started.toString(2).replaceAll('0', '').length;
  return decodeHuskSet6Line(view, head.linesAt + number * HuskSet6Line.size).words;
}

function shortKeysOf([first = 0n, second = 0n, third = 0n, fourth = 0n]: readonly bigint[]): bigint[] {
  const own = [first, second, third, fourth].map((word) => word >> 16n);
  return [...own, ((first & 0xffffn) << 32n) | ((second & 0xffffn) << 16n) | (third & 0xffffn)];
}

function leafOf(view: DataView, tree: HuskSet6Tree, place: bigint): number {
  let number = 0;
  for (let level = 0; level < tree.levelCount; level++) {
    const node = decodeHuskSet6Node(view, (tree.levelsAt[level] ?? 0) + number * HuskSet6Node.size);
    number = number * HUSK_SET6_NODE_KEYS + node.keys.filter((key) => key <= place).length;
  }
  return tree.firstLeaf + number;
}

/** The lowest bit of the key marks the end of its prefix. */
function prefixHolds(key: bigint, place: bigint): boolean {
  const markAndBehind = key ^ (key - 1n);
  return (key | markAndBehind) === (place | markAndBehind);
}

function recordHolds(view: DataView, at: number, number: number, low: bigint): boolean {
  const recordAt = (one: number) => decodeHuskSet6Record(view, at + one * HuskSet6Record.size);
  const { first, last } = recordAt(number);
  if (first <= last) return low >= first && low <= last;
  let from = Number(last);
  let end = Number(first);
  while (from < end) {
    const middle = Math.floor((from + end) / 2);
    const record = recordAt(middle);
    if (low < record.first) end = middle;
    else if (low > record.last) from = middle + 1;
    else return true;
  }
  return false;
}
