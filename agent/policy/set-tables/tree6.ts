// The search trees of an IPv6 table (bpf/abi/sets.h): full levels, built from the leaves up, without pointers.
//
// Keys are two words, the low one first.

import {
  HUSK_SET6_LEAF_KEYS,
  HUSK_SET6_LEVELS,
  HUSK_SET6_NODE_KEYS,
  type HuskSet6Tree,
} from '../../../bpf/abi/layout.gen.ts';

export const leafWords = HUSK_SET6_LEAF_KEYS * 2;
const nodeWords = HUSK_SET6_NODE_KEYS * 2;
/** The last key is not used. */
const fanout = HUSK_SET6_NODE_KEYS;

/** The keys, in whole leaves: the last key is repeated. */
export function leavesOf(keys: Uint32Array): Uint32Array {
  const leaves = new Uint32Array(Math.ceil(keys.length / leafWords) * leafWords);
  leaves.set(keys);
  for (let at = keys.length; at > 0 && at < leaves.length; at++) leaves[at] = leaves[at - 2] ?? 0;
  return leaves;
}

/** The levels above the leaves, from the root down; none where one leaf is all. */
export function nodesOf(leaves: Uint32Array): readonly Uint32Array[] {
  const levels: Uint32Array[] = [];
  let children = leaves.length / leafWords;
  let leavesPerChild = 1;
  while (children > 1) {
    const nodes = Math.ceil(children / fanout);
    // A key that no place reaches stands for a child that is not there.
    const level = new Uint32Array(nodes * nodeWords);
    for (let at = 0; at < level.length; at += 2) {
      level[at] = 0xffffffff;
      level[at + 1] = 0x7fffffff;
    }
    for (let child = 0; child < children; child++) {
      const key = (child % fanout) - 1;
      if (key < 0) continue;
      writePlace(
        level,
        Math.floor(child / fanout) * nodeWords + key * 2,
        leaves,
        child * leavesPerChild * leafWords,
      );
    }
    levels.unshift(level);
    children = nodes;
    leavesPerChild *= fanout;
  }
  if (levels.length > HUSK_SET6_LEVELS) throw new RangeError(`${leaves.length / leafWords} leaves of a set`);
  return levels;
}

/** The first address of a key's prefix: the key without its mark, which is its lowest bit. */
function writePlace(out: Uint32Array, at: number, keys: Uint32Array, key: number): void {
  const low = keys[key] ?? 0;
  const high = (keys[key + 1] ?? 0) & 0x7fffffff;
  out[at] = low & (low - 1);
  out[at + 1] = low === 0 ? high & (high - 1) : high;
}

export function treeOf(levelPlaces: readonly number[], firstLeaf: number): HuskSet6Tree {
  return { levelsAt: levelPlaces, levelCount: levelPlaces.length, firstLeaf };
}
