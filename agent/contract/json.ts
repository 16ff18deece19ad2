// JSON from outside, read strictly: what two parsers could understand differently is refused.
//
// JSON.parse takes duplicate keys (the last wins), rounds integers above 2^53-1, makes strings with lone
// surrogates and nests as deep as the stack. A signature over such a document says nothing about what was
// understood, so a scanner reads the text first and JSON.parse only turns it into values.
//
// The order is: length, UTF-8 (RFC 8259 §8.1, no byte order mark), grammar with depth and keys, values.
// It costs about twice what JSON.parse alone does: a bundle of 2 MB takes some tens of milliseconds.

import { jsonDepthMax } from './limits.ts';

export interface JsonLimits {
  readonly bytesMax: number;
  /** Arrays and objects within one another; the outermost is the first. */
  readonly depthMax?: number;
}

/** A text that is not the strict JSON asked for. `offset` counts UTF-16 units from the start. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
  readonly offset: number;
  constructor(what: string, offset: number, options?: ErrorOptions) {
    super(`${what}, at ${offset}`, options);
    this.offset = offset;
  }
}

/** The value of a strict JSON text; throws JsonError. Reads nothing of a text that is too long. */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): unknown {
  if (bytes.length > limits.bytesMax)
    throw new JsonError(`${bytes.length} bytes, ${limits.bytesMax} allowed`, 0);
  const text = decodeUtf8(bytes);
  new Scanner(text, limits.depthMax ?? jsonDepthMax).scan();
  return JSON.parse(text);
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    // ignoreBOM keeps a byte order mark in the text, where the scanner refuses it.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new JsonError('not UTF-8', 0, { cause });
  }
}

const code = {
  quote: 0x22,
  minus: 0x2d,
  plus: 0x2b,
  dot: 0x2e,
  zero: 0x30,
  nine: 0x39,
  comma: 0x2c,
  colon: 0x3a,
  arrayOpen: 0x5b,
  backslash: 0x5c,
  arrayClose: 0x5d,
  objectOpen: 0x7b,
  objectClose: 0x7d,
} as const;

/** Keys of one object up to which they are compared one by one; more go into a set. */
const fewKeys = 8;

class Scanner {
  private readonly text: string;
  private readonly depthMax: number;
  private at = 0;

  constructor(text: string, depthMax: number) {
    this.text = text;
    this.depthMax = depthMax;
  }

  scan(): void {
    this.space();
    this.value(1);
    this.space();
    if (this.at < this.text.length) this.fail('text after the value');
  }

  private value(depth: number): void {
    const c = this.text.charCodeAt(this.at);
    if (c === code.quote) this.string();
    else if (c === code.objectOpen) this.object(depth);
    else if (c === code.arrayOpen) this.array(depth);
    else if (c === code.minus || isDigit(c)) this.number();
    else if (!this.word('true') && !this.word('false') && !this.word('null')) this.fail('a value expected');
  }

  private object(depth: number): void {
    if (depth > this.depthMax) this.fail(`nested deeper than ${this.depthMax}`);
    this.at += 1;
    this.space();
    if (this.take(code.objectClose)) return;
    const keys: string[] = [];
    let many: Set<string> | null = null;
    for (;;) {
      const start = this.at;
      if (this.text.charCodeAt(start) !== code.quote) this.fail('a key expected');
      const key = this.string()
        ? (JSON.parse(this.text.slice(start, this.at)) as string)
        : this.text.slice(start + 1, this.at - 1);
      if (many === null ? keys.includes(key) : many.has(key)) this.fail(`key ${shown(key)} twice`, start);
      // An own key of that name would become a prototype wherever somebody copies the object by assignment.
      if (key === '__proto__') this.fail('key "__proto__"', start);
      if (many !== null) many.add(key);
      else if (keys.push(key) > fewKeys) many = new Set(keys);
      this.space();
      if (!this.take(code.colon)) this.fail('":" expected');
      this.space();
      this.value(depth + 1);
      this.space();
      if (this.take(code.objectClose)) return;
      if (!this.take(code.comma)) this.fail('"," or "}" expected');
      this.space();
    }
  }

  private array(depth: number): void {
    if (depth > this.depthMax) this.fail(`nested deeper than ${this.depthMax}`);
    this.at += 1;
    this.space();
    if (this.take(code.arrayClose)) return;
    for (;;) {
      this.value(depth + 1);
      this.space();
      if (this.take(code.arrayClose)) return;
      if (!this.take(code.comma)) this.fail('"," or "]" expected');
      this.space();
    }
  }

  /** Moves behind the closing quote; says whether there were escapes. */
  private string(): boolean {
    const { text } = this;
    const start = this.at;
    let at = start + 1;
    let escaped = false;
    for (;;) {
      const c = text.charCodeAt(at);
      if (c === code.quote) {
        this.at = at + 1;
        return escaped;
      }
      if (c === code.backslash) {
        escaped = true;
        this.at = at;
        at = this.escape();
      } else if (c >= 0x20) {
        at += 1;
      } else {
        // Past the end charCodeAt gives NaN, which is neither.
        this.fail(at >= text.length ? 'a string without its end' : 'a control character in a string', at);
      }
    }
  }

  /** The offset behind an escape. A surrogate escaped alone is refused; the decoder has refused raw ones. */
  private escape(): number {
    const letter = this.text[this.at + 1];
    if (letter !== 'u') {
      if (letter === undefined || !'"\\/bfnrt'.includes(letter))
        this.fail('an escape that JSON does not have');
      return this.at + 2;
    }
    const unit = this.hex(this.at + 2);
    if (unit >= 0xdc00 && unit <= 0xdfff) this.fail('a lone surrogate');
    if (unit < 0xd800 || unit > 0xdbff) return this.at + 6;
    if (!this.text.startsWith('\\u', this.at + 6)) this.fail('a lone surrogate');
    const low = this.hex(this.at + 8);
    if (low < 0xdc00 || low > 0xdfff) this.fail('a lone surrogate');
    return this.at + 12;
  }

  private hex(at: number): number {
    const digits = this.text.slice(at, at + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail('four hex digits expected', at);
    return Number.parseInt(digits, 16);
  }

  private number(): void {
    const start = this.at;
    this.take(code.minus);
    if (this.text.charCodeAt(this.at) === code.zero) this.at += 1;
    else this.digits();
    if (this.take(code.dot)) this.digits();
    const e = this.text[this.at];
    if (e === 'e' || e === 'E') {
      this.at += 1;
      if (!this.take(code.minus)) this.take(code.plus);
      this.digits();
    }
    // Short ones cannot reach 2^53: most numbers are not converted twice.
    if (this.at - start <= 15 && e !== 'e' && e !== 'E') return;
    if (Math.abs(Number(this.text.slice(start, this.at))) > Number.MAX_SAFE_INTEGER) {
      this.fail('a number above 2^53-1', start);
    }
  }

  private digits(): void {
    const start = this.at;
    while (isDigit(this.text.charCodeAt(this.at))) this.at += 1;
    if (this.at === start) this.fail('a digit expected');
  }

  private word(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  private take(c: number): boolean {
    if (this.text.charCodeAt(this.at) !== c) return false;
    this.at += 1;
    return true;
  }

  private space(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.at += 1;
    }
  }

  private fail(what: string, at = this.at): never {
    throw new JsonError(at >= this.text.length ? `${what}, but the text ends` : what, at);
  }
}

function isDigit(c: number): boolean {
  return c >= code.zero && c <= code.nine;
}

/** A key as a message may quote it: not the whole of a long one. */
function shown(key: string): string {
  return JSON.stringify(key.length > 40 ? `${key.slice(0, 40)}…` : key);
}
