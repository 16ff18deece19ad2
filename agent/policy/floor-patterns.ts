// Globs of interface names as the floor can compare them: by value and mask, in the kernel or by nft.

import {
  HUSK_FLOOR_PATTERNS_MAX,
  HUSK_IFNAME_BYTES,
  type HuskFloorPattern,
} from '../../bpf/abi/layout.gen.ts';

export interface FloorPatterns {
  /** Globs that can be kept, each once. */
  readonly globs: readonly string[];
  /** Globs that cannot: a `*` before the end, or more than there is room for. */
  readonly not: readonly string[];
}

/** What `kernel` and `nft` can each say. */
export function floorPatterns(globs: readonly string[], by: 'netfilter' | 'nft'): FloorPatterns {
  const all = [...new Set(globs)];
  const isSayable = by === 'nft' ? isSayableByNft : (glob: string) => encodeFloorPattern(glob) !== null;
  const sayable = all.filter(isSayable);
  const kept = sayable.slice(0, HUSK_FLOOR_PATTERNS_MAX);
  return { globs: kept, not: all.filter((glob) => !kept.includes(glob)) };
}

const isStarAtEnd = (glob: string) => !glob.slice(0, -1).includes('*');
/** nft has no escape for quotes in names, and no `?`. */
const isSayableByNft = (glob: string) => isStarAtEnd(glob) && /^[\w.:@+-]*\*?$/.test(glob) && glob !== '';

/** See `struct husk_floor_pattern`; null: it cannot be said by value and mask. */
export function encodeFloorPattern(glob: string): HuskFloorPattern | null {
  if (!isStarAtEnd(glob)) return null;
  const isOpen = glob.endsWith('*');
  const text = new TextEncoder().encode(isOpen ? glob.slice(0, -1) : glob);
  if (text.length >= HUSK_IFNAME_BYTES) return null;
  const value = new Uint8Array(HUSK_IFNAME_BYTES);
  const mask = new Uint8Array(HUSK_IFNAME_BYTES);
  text.forEach((byte, at) => {
    if (byte === questionMark) return;
    value[at] = byte;
    mask[at] = 0xff;
  });
  // The NUL behind a name that is whole; what follows it is NUL as well.
  if (!isOpen) mask.fill(0xff, text.length);
  return { value: words(value), mask: words(mask), least: text.length };
}

const questionMark = 0x3f;

function words(bytes: Uint8Array): readonly bigint[] {
  const view = new DataView(bytes.buffer);
  return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}
