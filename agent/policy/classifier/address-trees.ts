// Intervals of addresses as the kernel searches them: a root by the upper bits, pages of 256 by the next eight, in
// IPv6 a second time, and below a page, where more than one interval meets a block, trees of nodes.
//
//   IPv4  9 bits root, 8 bits page, 15 bits in nodes of 7 keys
//   IPv6  12 bits root, twice 8 bits page, then the upper half in nodes of 5 keys; where intervals start in the
//         middle of one /64, the upper half's child is a tree over the lower half
//
// Of IPv6, a registry's addresses agree in so many bits that one page would leave nearly all to the trees.
//
// A reference is a class (its number) or a node (~its index) until the table is laid out.

import {
  HUSK_CLASSIFIER_KEYS4,
  HUSK_CLASSIFIER_KEYS6,
  HUSK_CLASSIFIER_PAGE,
  HUSK_CLASSIFIER_ROOT4,
  HUSK_CLASSIFIER_ROOT6,
} from '../../../bpf/abi/layout.gen.ts';
import type { AddressField } from './address-classes.ts';

export type NodeKind = 'ipv4' | 'upper' | 'lower';

export interface TreeNode {
  readonly kind: NodeKind;
  /** One fewer than children: child n holds what has n keys at or below it. */
  readonly keys: readonly bigint[];
  readonly children: readonly number[];
}

interface Item {
  readonly key: bigint;
  readonly reference: number;
}

export interface Page {
  /** Whether its slots are numbers of further pages, or references. */
  readonly leadsTo: 'pages' | 'references';
  readonly slots: Int32Array;
}

export class AddressTrees {
  readonly pages: Page[] = [];
  readonly nodes: TreeNode[] = [];
  /** Nodes from the page down to a class, at the most. */
  readonly depth: Record<NodeKind, number> = { ipv4: 0, upper: 0, lower: 0 };
  /** Pages whose slots are all the same, by that and by what they lead to. */
  readonly #uniform = { pages: new Map<number, number>(), references: new Map<number, number>() };

  /** The root of a field: a page's index for each value of its upper bits. Class n of the field becomes `base + n`. */
  rootOf(field: AddressField, base: number): Uint32Array {
    const isIpv4 = field.family === 'ipv4';
    const blocks = blocksOf(field);
    const count = field.classOf.length;
    const root = new Uint32Array(isIpv4 ? HUSK_CLASSIFIER_ROOT4 : HUSK_CLASSIFIER_ROOT6);
    const pageLevels = isIpv4 ? 1 : 2;
    const referenceOf = (interval: number) => base + (field.classOf[interval] as number);
    let current = 0;
    /** The page of the blocks from `firstBlock` on, with `levels` of pages, its own included. */
    const pageOf = (firstBlock: number, levels: number): number => {
      if (startsAt(current + 1, firstBlock)) current++;
      if (!startsBelow(current + 1, firstBlock + HUSK_CLASSIFIER_PAGE ** levels)) {
        return this.#uniformPage(referenceOf(current), levels);
      }
      const slots = new Int32Array(HUSK_CLASSIFIER_PAGE);
      for (let slot = 0; slot < slots.length; slot++) {
        slots[slot] =
          levels > 1
            ? pageOf(firstBlock + slot * HUSK_CLASSIFIER_PAGE ** (levels - 1), levels - 1)
            : slotOf(firstBlock + slot);
      }
      return this.pages.push({ leadsTo: levels > 1 ? 'pages' : 'references', slots }) - 1;
    };
    const slotOf = (block: number): number => {
      if (startsAt(current + 1, block)) current++;
      const first = current;
      while (current + 1 < count && blocks.numbers[current + 1] === block) current++;
      if (first === current) return referenceOf(first);
      return isIpv4
        ? this.#tree4(field, first, current, referenceOf)
        : this.#tree6(field, BigInt(block), first, current, referenceOf);
    };
    for (let index = 0; index < root.length; index++) {
      root[index] = pageOf(index * HUSK_CLASSIFIER_PAGE ** pageLevels, pageLevels);
    }
    return root;

    function startsBelow(interval: number, endBlock: number): boolean {
      return interval < count && (blocks.numbers[interval] as number) < endBlock;
    }
    function startsAt(interval: number, block: number): boolean {
      return interval < count && blocks.numbers[interval] === block && blocks.isAtStart[interval] === 1;
    }
  }

  #uniformPage(reference: number, levels: number): number {
    const leadsTo = levels > 1 ? 'pages' : 'references';
    const slot = levels > 1 ? this.#uniformPage(reference, levels - 1) : reference;
    let page = this.#uniform[leadsTo].get(slot);
    if (page === undefined) {
      page = this.pages.push({ leadsTo, slots: new Int32Array(HUSK_CLASSIFIER_PAGE).fill(slot) }) - 1;
      this.#uniform[leadsTo].set(slot, page);
    }
    return page;
  }

  #tree4(
    { starts }: AddressField,
    first: number,
    last: number,
    referenceOf: (interval: number) => number,
  ): number {
    const items: Item[] = [{ key: 0n, reference: referenceOf(first) }];
    for (let interval = first + 1; interval <= last; interval++) {
      const key = BigInt((starts[interval * 4 + 3] as number) & 0x7fff);
      items.push({ key, reference: referenceOf(interval) });
    }
    return this.#tree('ipv4', items);
  }

  /** Intervals `first` to `last`; the first one holds already where the block begins. */
  #tree6(
    { starts }: AddressField,
    block: bigint,
    first: number,
    last: number,
    referenceOf: (interval: number) => number,
  ): number {
    const items: Item[] = [{ key: block << 36n, reference: referenceOf(first) }];
    const put = (key: bigint, reference: number): void => {
      if (items.at(-1)?.key === key) items.pop();
      items.push({ key, reference });
    };
    let interval = first + 1;
    let current = referenceOf(first);
    while (interval <= last) {
      const upper = halfAt(starts, interval * 4);
      if (halfAt(starts, interval * 4 + 2) === 0n) current = referenceOf(interval++);
      const inside: Item[] = [{ key: 0n, reference: current }];
      for (; interval <= last && halfAt(starts, interval * 4) === upper; interval++) {
        current = referenceOf(interval);
        inside.push({ key: halfAt(starts, interval * 4 + 2), reference: current });
      }
      put(upper, this.#tree('lower', inside));
      if (inside.length > 1 && (upper + 1n) >> 36n === block) put(upper + 1n, current);
    }
    return this.#tree('upper', items);
  }

  /** A tree over items in order of key; without a node where there is one item. */
  #tree(kind: NodeKind, items: readonly Item[]): number {
    const fanout = (kind === 'ipv4' ? HUSK_CLASSIFIER_KEYS4 : HUSK_CLASSIFIER_KEYS6) + 1;
    let level = items;
    let depth = 0;
    while (level.length > 1) {
      depth++;
      const nodes = Math.ceil(level.length / fanout);
      const from = (node: number) => Math.floor((node * level.length) / nodes);
      level = Array.from({ length: nodes }, (_, node): Item => {
        const part = level.slice(from(node), from(node + 1));
        const keys = part.slice(1).map((item) => item.key);
        const index = this.nodes.push({ kind, keys, children: part.map((item) => item.reference) }) - 1;
        return { key: part[0]?.key ?? 0n, reference: ~index };
      });
    }
    this.depth[kind] = Math.max(this.depth[kind], depth);
    return level[0]?.reference ?? 0;
  }
}

const halfAt = (words: Uint32Array, at: number) =>
  (BigInt(words[at] as number) << 32n) | BigInt(words[at + 1] as number);

/** By interval: the block it starts in, and whether that is the block's first address. */
function blocksOf({ family, starts }: AddressField): { numbers: Uint32Array; isAtStart: Uint8Array } {
  const count = starts.length / 4;
  const numbers = new Uint32Array(count);
  const isAtStart = new Uint8Array(count);
  for (let interval = 0; interval < count; interval++) {
    const at = interval * 4;
    const word = (family === 'ipv4' ? starts[at + 3] : starts[at]) as number;
    numbers[interval] = word >>> (family === 'ipv4' ? 15 : 4);
    const rest =
      family === 'ipv4'
        ? word & 0x7fff
        : (word & 0xf) | (starts[at + 1] as number) | (starts[at + 2] as number) | (starts[at + 3] as number);
    isAtStart[interval] = rest === 0 ? 1 : 0;
  }
  return { numbers, isAtStart };
}
