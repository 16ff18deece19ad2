// Words that are added to while a table is built, in memory that doubles.

export class GrowingWords {
  words: Uint32Array;
  /** Of words in use. */
  length = 0;

  constructor(capacity: number) {
    this.words = new Uint32Array(capacity);
  }

  append(...more: readonly number[]): void {
    const at = this.add(more.length);
    this.words.set(more, at);
  }

  /** Room for `count` more words, all zero; returns where. `words` may be others afterwards. */
  add(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.words.length) {
      const grown = new Uint32Array(Math.max(this.words.length * 2, this.length));
      grown.set(this.words);
      this.words = grown;
    }
    return at;
  }

  /** The words in use, in place. */
  used(): Uint32Array {
    return this.words.subarray(0, this.length);
  }
}
