// An IPv4 set as the table of `struct husk_set4` (bpf/abi/sets.h).
//
//   filter    a bit for each few addresses: most packets are in no list and end here
//   groups    for each 64 blocks of addresses, which of them begin a line
//   lines     fourteen keys each, filled in order of address across as many blocks as fit
//   children  lines, or bits, of a block with more than fourteen keys
//
// So a line is found without a search and is full whatever the set is like: where addresses lie close, a line
// begins at every block; where they are few, it goes on over many. Blocks are what a line begins at, so that
// ranges are cut at their edges first and joined again within a line.

import { encodeHuskSet4, HUSK_SET4_KEYS } from '../../../bpf/abi/layout.gen.ts';
import { rangeWords } from '../addresses.ts';
import type { Ranges } from '../ranges.ts';
import { finer, groupBytes, Index4, type Shape4, shapeFor } from './index4.ts';
import { keysOf, Lines4 } from './lines4.ts';
import type { TableParts } from './table-parts.ts';

/** Keys are 16 bits. */
const distanceMax = 0xffff;

/** `ranges`: IPv4 alone, as a set has them. */
export function buildSet4(ranges: Ranges): TableParts {
  let shape = shapeFor(ranges.length / rangeWords);
  let built = new Builder(shape).build(ranges);
  // Where much is in children, a finer index may be worth its memory: they are an access more.
  for (let next = finer(shape); next !== null; next = finer(shape)) {
    if (built.childBytes < groupBytes(next)) break;
    const other = new Builder(next).build(ranges);
    if (other.bytes > built.bytes) break;
    shape = next;
    built = other;
  }
  return built;
}

/** What was written last, to which a further block may be added. */
type Open = 'keys' | 'all' | 'nothing';

class Builder {
  readonly #shape: Shape4;
  readonly #index: Index4;
  readonly #lines = new Lines4();
  readonly #blockSize: number;
  #open: Open = 'nothing';
  /** The open line of keys, which is written once it is full. */
  #lineBlock = 0;
  readonly #line = new Int32Array(HUSK_SET4_KEYS * 2);
  #lineEnd = 0;
  #lineKeys = 0;
  /** The block at hand; its pieces are gathered before it is known where they go. */
  #block = -1;
  #pieces = new Int32Array(64);
  #piecesEnd = 0;

  constructor(shape: Shape4) {
    this.#shape = shape;
    this.#index = new Index4(shape);
    this.#blockSize = 2 ** shape.blockShift;
  }

  build(ranges: Ranges): TableParts & { readonly bytes: number; readonly childBytes: number } {
    for (let at = 0; at < ranges.length; at += rangeWords) {
      this.#range(ranges[at + 3] ?? 0, ranges[at + 7] ?? 0);
    }
    this.#endBlock();
    this.#endLine();
    const { filter, groups } = this.#index;
    const lines = this.#lines.lines.used();
    const children = this.#lines.children.used();
    const { filterShift, blockShift } = this.#shape;
    return {
      sections: [filter, groups, lines, children],
      writeHead: (view, [, groupsAt = 0, linesAt = 0, childrenAt = 0]) =>
        encodeHuskSet4(view, 0, { filterShift, blockShift, groupsAt, linesAt, childrenAt }),
      bytes: filter.byteLength + groups.byteLength + lines.byteLength + children.byteLength,
      childBytes: children.byteLength,
    };
  }

  /** Cut at the edges of blocks: a piece, whole blocks, a piece. */
  #range(first: number, last: number): void {
    this.#index.mark(first, last);
    const size = this.#blockSize;
    const shift = this.#shape.blockShift;
    let block = first >>> shift;
    const lastBlock = last >>> shift;
    const start = first & (size - 1);
    const end = last & (size - 1);
    if (block === lastBlock && (start > 0 || end < size - 1)) {
      this.#piece(block, start, end);
      return;
    }
    if (start > 0) this.#piece(block++, start, size - 1);
    const wholeEnd = end === size - 1 ? lastBlock + 1 : lastBlock;
    this.#wholeBlocks(block, wholeEnd);
    if (wholeEnd === lastBlock) this.#piece(lastBlock, 0, end);
  }

  #piece(block: number, first: number, last: number): void {
    if (block !== this.#block) {
      this.#endBlock();
      this.#block = block;
      this.#piecesEnd = 0;
    }
    if (this.#piecesEnd === this.#pieces.length) {
      const grown = new Int32Array(this.#pieces.length * 2);
      grown.set(this.#pieces);
      this.#pieces = grown;
    }
    this.#pieces[this.#piecesEnd++] = first;
    this.#pieces[this.#piecesEnd++] = last;
  }

  #wholeBlocks(from: number, end: number): void {
    if (from < end) this.#endBlock();
    for (let block = from; block < end; block++) {
      if (block % 64 === 0 && block + 64 <= end) {
        this.#index.wholeGroup(block / 64, this.#last());
        block += 63;
      } else {
        this.#wholeBlock(block);
      }
    }
  }

  #wholeBlock(block: number): void {
    if (this.#open === 'all') {
      this.#index.lineGoesOn(block, this.#lines.last);
      return;
    }
    this.#pieces[0] = 0;
    this.#pieces[1] = this.#blockSize - 1;
    this.#piecesEnd = 2;
    if (this.#addToLine(block)) return;
    this.#endLine();
    this.#index.lineStarts(block, this.#lines.last);
    this.#lines.addAll(block);
    this.#open = 'all';
  }

  #endBlock(): void {
    const block = this.#block;
    if (block < 0) return;
    this.#block = -1;
    if (keysOf(this.#pieces, 0, this.#piecesEnd) > HUSK_SET4_KEYS) {
      this.#endLine();
      this.#index.lineStarts(block, this.#lines.last);
      this.#lines.addDense(block, this.#blockSize, this.#pieces, this.#piecesEnd);
    } else if (!this.#addToLine(block)) {
      this.#endLine();
      this.#index.lineStarts(block, this.#lines.last);
      this.#open = 'keys';
      this.#lineBlock = block;
      this.#take(0, 0, keysOf(this.#pieces, 0, this.#piecesEnd));
    }
  }

  /** Adds the pieces of a block to the open line. False where there is none, or it has no room for them. */
  #addToLine(block: number): boolean {
    if (this.#open !== 'keys') return false;
    const distance = (block - this.#lineBlock) * this.#blockSize;
    if (distance + (this.#pieces[this.#piecesEnd - 1] ?? 0) > distanceMax) return false;
    const keys = this.#lineKeys + keysOf(this.#pieces, 0, this.#piecesEnd);
    // A range that was cut at the block's edge is one again.
    const joins = (this.#line[this.#lineEnd - 1] ?? 0) + 1 === distance + (this.#pieces[0] ?? 0);
    const joined = joins
      ? keys + 2 - keysOf(this.#line, this.#lineEnd - 2, this.#lineEnd) - keysOf(this.#pieces, 0, 2)
      : keys;
    if (joined > HUSK_SET4_KEYS) return false;
    if (joins) this.#line[this.#lineEnd - 1] = distance + (this.#pieces[1] ?? 0);
    this.#take(distance, joins ? 2 : 0, joined);
    this.#index.lineGoesOn(block, this.#last());
    return true;
  }

  /** Moves the block's pieces, from one on, into the open line. */
  #take(distance: number, from: number, keys: number): void {
    for (let at = from; at < this.#piecesEnd; at++) {
      this.#line[this.#lineEnd++] = distance + (this.#pieces[at] ?? 0);
    }
    this.#lineKeys = keys;
  }

  /** The last line, the open one included. */
  #last(): number {
    return this.#lines.last + (this.#open === 'keys' ? 1 : 0);
  }

  #endLine(): void {
    if (this.#open === 'keys') this.#lines.addKeys(this.#lineBlock, this.#line, this.#lineEnd);
    this.#open = 'nothing';
    this.#lineEnd = 0;
    this.#lineKeys = 0;
  }
}
