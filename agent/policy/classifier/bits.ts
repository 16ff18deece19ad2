// Bit vectors, and the interner that gives equal ones one number.

export type Bits = Uint32Array;

/** An even number of words, so that it is whole words of 64 bits as well. */
export const bitsOf = (count: number): Bits => new Uint32Array(Math.ceil(count / 64) * 2);

export function setBit(bits: Bits, index: number): void {
  bits[index >> 5] = (bits[index >> 5] as number) | (1 << (index & 31));
}

export function flipBit(bits: Bits, index: number): void {
  bits[index >> 5] = (bits[index >> 5] as number) ^ (1 << (index & 31));
}

export function orInto(target: Bits, source: Bits): void {
  for (let word = 0; word < target.length; word++) {
    target[word] = (target[word] as number) | (source[word] as number);
  }
}

/** target = a & b. */
export function andInto(target: Bits, a: Bits, b: Bits): void {
  for (let word = 0; word < target.length; word++) target[word] = (a[word] as number) & (b[word] as number);
}

/** The bits that are set, ascending. */
export function indexesOf(bits: Bits): Int32Array {
  const out: number[] = [];
  for (let word = 0; word < bits.length; word++) {
    let rest = bits[word] as number;
    while (rest !== 0) {
      out.push(word * 32 + 31 - Math.clz32(rest & -rest));
      rest &= rest - 1;
    }
  }
  return Int32Array.from(out);
}

/** Equal vectors get the same number, in order of appearance. */
export class Interner {
  readonly all: Bits[] = [];
  readonly #buckets = new Map<number, number[]>();

  /** The number of the vector; keeps a copy of one it had not seen. */
  numberOf(bits: Bits): number {
    const hash = hashOf(bits);
    const bucket = this.#buckets.get(hash);
    const known = bucket?.find((one) => isEqual(this.all[one] as Bits, bits));
    if (known !== undefined) return known;
    const number = this.all.length;
    this.all.push(bits.slice());
    if (bucket === undefined) this.#buckets.set(hash, [number]);
    else bucket.push(number);
    return number;
  }
}

function hashOf(bits: Bits): number {
  let hash = 0x811c9dc5;
  for (let word = 0; word < bits.length; word++) {
    hash = Math.imul(hash ^ (bits[word] as number), 0x01000193);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}

function isEqual(a: Bits, b: Bits): boolean {
  for (let word = 0; word < a.length; word++) if (a[word] !== b[word]) return false;
  return true;
}
