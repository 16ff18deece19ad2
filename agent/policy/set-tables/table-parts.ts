// The sections of a table, one behind another: how builders hand over what they made.
//
// Nothing that is read at once may cross from one chunk into the next (bpf/include/set_bytes.h): elements have a
// power of two as their size, and sections begin at a multiple of the largest.

import { HUSK_SET_HEAD_BYTES, HuskSet6Node } from '../../../bpf/abi/layout.gen.ts';

export interface TableParts {
  /** In order; the first begins right behind the head. */
  readonly sections: readonly Uint32Array[];
  /** `places`: where each section begins, in bytes from the start of the table. */
  writeHead(view: DataView, places: readonly number[]): void;
}

const sectionAlignment = HuskSet6Node.size;

export function placesOf(sections: readonly Uint32Array[]): { places: readonly number[]; end: number } {
  const places: number[] = [];
  let end = HUSK_SET_HEAD_BYTES;
  for (const section of sections) {
    const place = places.length === 0 ? end : Math.ceil(end / sectionAlignment) * sectionAlignment;
    places.push(place);
    end = place + section.byteLength;
  }
  return { places, end };
}
