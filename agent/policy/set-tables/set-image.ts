// A set of addresses of one family as the bytes of one table, and the array it becomes in the kernel.
//
//   Ranges ──buildSet──▶ SetImage ──setArray──▶ one array map, the entry of a map of maps
//
// The bytes are laid out as bpf/abi/sets.h says. Chunks are the values of the array.

import { HUSK_SET_LARGE_CHUNK_BYTES, HUSK_SET_SMALL_CHUNK_BYTES } from '../../../bpf/abi/layout.gen.ts';
import type { Ranges } from '../ranges.ts';
import type { Table } from '../table-image.ts';
import { mapTypes } from '../tables.ts';
import { buildSet4 } from './build4.ts';
import { buildSet6 } from './build6.ts';
import { placesOf } from './table-parts.ts';

export interface SetImage {
  readonly family: 4 | 6;
  /** `HUSK_SET_SMALL_CHUNK_BYTES` or `HUSK_SET_LARGE_CHUNK_BYTES`: which of the two outer maps it goes to. */
  readonly chunkBytes: number;
  /** A whole number of chunks. */
  readonly bytes: Uint8Array;
}

/** Tables that were built before, of whoever compiles more than once. */
export interface SetImages {
  /** The image of these ranges: one that was built before, or the one that `build` makes. */
  get(family: 4 | 6, ranges: Ranges, build: () => SetImage): SetImage;
}

/** BPF_F_INNER_MAP (5.10): arrays of different length may take the same place in a map of maps. */
export const innerMapFlag = 0x1000;
/** Large chunks are quicker to read; the end of the last, which is lost, may be this part of the table. */
const lostPartMax = 1 / 6;
/** The kernel's own part of an array; pages are what larger memory comes in. */
const arrayHeadBytes = 512;
const pageBytes = 4096;

/**
 * The table of a set. `ranges`: of that family alone. `chunkBytes`: where the choice is not to be made here.
 * A million ranges take about a tenth of a second.
 */
export function buildSet(family: 4 | 6, ranges: Ranges, chunkBytes?: number): SetImage {
  const parts = family === 4 ? buildSet4(ranges) : buildSet6(ranges);
  const { places, end } = placesOf(parts.sections);
  const size = chunkBytes ?? chunkFor(end);
  const bytes = new Uint8Array(Math.ceil(end / size) * size);
  parts.writeHead(new DataView(bytes.buffer), places);
  parts.sections.forEach((section, index) => {
    bytes.set(new Uint8Array(section.buffer, section.byteOffset, section.byteLength), places[index]);
  });
  return { family, chunkBytes: size, bytes };
}

function chunkFor(bytes: number): number {
  const lost = -bytes & (HUSK_SET_LARGE_CHUNK_BYTES - 1);
  return lost <= bytes * lostPartMax ? HUSK_SET_LARGE_CHUNK_BYTES : HUSK_SET_SMALL_CHUNK_BYTES;
}

/** The map that holds an image: a table without its kind. */
export function setArray({ chunkBytes, bytes }: SetImage): Omit<Table, 'kind'> {
  const count = bytes.length / chunkBytes;
  const keys = new Uint8Array(Uint32Array.from({ length: count }, (_, index) => index).buffer);
  return {
    mapType: mapTypes.array,
    mapFlags: innerMapFlag,
    keySize: 4,
    valueSize: chunkBytes,
    maxEntries: count,
    count,
    keys,
    values: bytes,
  };
}

/** What the kernel takes for an image's map, in bytes. */
export function setTableBytes(image: Pick<SetImage, 'bytes'>): number {
  return Math.ceil((image.bytes.length + arrayHeadBytes) / pageBytes) * pageBytes;
}
