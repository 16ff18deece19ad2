// An IPv6 set as the table of `struct husk_set6` (bpf/abi/sets.h).
//
//   filter   a bit for each hash of an address's first bits: most packets are in no list and end here
//   groups   of blocks of the part of the address space where most prefixes are: which line has a block's
//   lines    five prefixes each, of the blocks where they lie neither too close nor too far from each other
//   nodes    of four search trees, over the first 64 bits of an address: what is in no line
//   leaves   eight prefixes of up to 64 bits each, in order
//   records  for a /64 of which some addresses are in the set: which
//
// Prefixes of up to 64 bits are what lists have; a key of eight bytes says one, its length included. A prefix
// that is shorter than the two bits that choose the tree is one key in each tree it covers.

import { encodeHuskSet6, HUSK_SET6_TREES, type HuskSet6Tree } from '../../../bpf/abi/layout.gen.ts';
import { prefixesOf, prefixWords } from '../prefixes.ts';
import type { Ranges } from '../ranges.ts';
import { type Filter6, filterOf } from './filter6.ts';
import { GrowingWords } from './growing-words.ts';
import { type Lines6, linesOf } from './lines6.ts';
import { Records6 } from './records6.ts';
import type { TableParts } from './table-parts.ts';
import { leavesOf, nodesOf, treeOf } from './tree6.ts';

/** Bits that choose the tree. */
const rootBits = 2;

/** `ranges`: IPv6 alone, as a set has them. */
export function buildSet6(ranges: Ranges): TableParts {
  const prefixes = prefixesOf(ranges);
  const filter = filterOf(prefixes);
  const lines = linesOf(prefixes);
  const records = new Records6();
  const keys = Array.from({ length: HUSK_SET6_TREES }, () => new GrowingWords(64));
  for (let at = 0; at < prefixes.length; at += prefixWords) {
    if (lines?.has[at / prefixWords] === 1) continue;
    const high = prefixes[at] ?? 0;
    const low = prefixes[at + 1] ?? 0;
    const length = prefixes[at + 4] ?? 0;
    if (length > 64) {
      if (records.add(prefixes, at)) putKey(keys, high, low, 64, true);
    } else {
      // Of ::/0 and ::/1 one for each tree.
      const copies = 2 ** Math.max(0, rootBits - length);
      for (let copy = 0; copy < copies; copy++) {
        putKey(keys, high + copy * 2 ** (32 - rootBits), low, Math.max(rootBits, length), false);
      }
    }
  }
  return partsOf(filter, lines, keys, records);
}

/** Two words a key, the low one first: the place, the mark behind its prefix, and whether there is a record. */
function putKey(
  keys: readonly GrowingWords[],
  high: number,
  low: number,
  length: number,
  hasRecord: boolean,
): void {
  const tree = keys[high >>> (32 - rootBits)];
  if (tree === undefined) return;
  const at = tree.add(2);
  const mark = 64 - length;
  // The place is the address without the bits of the tree, shifted left by one: the mark's place for a /64.
  tree.words[at] = (low << 1) | (mark < 32 ? 1 << mark : 0);
  tree.words[at + 1] =
    ((((high << rootBits) >>> (rootBits - 1)) | (low >>> 31)) & 0x7fffffff) |
    (mark >= 32 ? 1 << (mark - 32) : 0) |
    (hasRecord ? 1 << 31 : 0);
}

function partsOf(
  filter: Filter6,
  lines: Lines6 | null,
  keys: readonly GrowingWords[],
  records: Records6,
): TableParts {
  const levels: Uint32Array[] = [];
  const leaves: Uint32Array[] = [];
  let leafCount = 0;
  const trees = keys.map((one) => {
    const own = leavesOf(one.used());
    const ownLevels = nodesOf(own);
    const tree = { levelCount: ownLevels.length, firstLeaf: leafCount, firstSection: levels.length };
    levels.push(...ownLevels);
    leaves.push(own);
    leafCount += own.length / 16;
    return tree;
  });
  const allLeaves = joined(leaves);
  const own = lines === null ? [] : [lines.groups, lines.lines];
  const sections = [filter.bits, ...own, ...levels, allLeaves, records.countsOf(allLeaves), records.words()];
  return {
    sections,
    writeHead(view, places) {
      const [groupsAt = 0, linesAt = 0] = lines === null ? [] : places.slice(1);
      const levelsAt = places.slice(1 + own.length);
      const [leavesAt = 0, countsAt = 0, recordsAt = 0] = places.slice(-3);
      encodeHuskSet6(view, 0, {
        trees: trees.map(
          ({ levelCount, firstLeaf, firstSection }): HuskSet6Tree =>
            treeOf(levelsAt.slice(firstSection, firstSection + levelCount), firstLeaf),
        ),
        treesPresent: keys.reduce((bits, one, tree) => bits | (one.length > 0 ? 1 << tree : 0), 0),
        filterPrefix: filter.prefixShift,
        filterShift: filter.hashShift,
        leavesAt,
        countsAt,
        recordsAt,
        recordCount: records.count,
        groupsAt,
        windowFirst:
          lines === null ? 0n : (BigInt(lines.window.firstHigh) << 32n) | BigInt(lines.window.firstLow),
        windowBits: lines?.window.bits ?? 0,
        blockShift: lines?.window.blockShift ?? 0,
        linesAt,
      });
    },
  };
}

function joined(parts: readonly Uint32Array[]): Uint32Array {
  const out = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
