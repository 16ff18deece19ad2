// Versions of firmware and ranges of them, as in `<1.1.4` or `>=2.0 <2.3.1`.
//
// Vendors write versions as they like. What is compared is numbers between dots; what follows them decides only where it
// is understood. Everything else can't be compared, and null is the answer: whoever asks takes that for vulnerable.

/** Longer ones are nobody's. */
const lengthMax = 128;
const comparisonsMax = 8;

export interface Version {
  readonly numbers: readonly bigint[];
  /** What follows the numbers, in small letters. */
  readonly suffix: string;
}

/** null: it does not begin with a number. */
export function parseVersion(text: string): Version | null {
  if (text.length > lengthMax) return null;
  const parts = /^[vV]?(\d+(?:\.\d+)*)(.*)$/s.exec(text.trim());
  if (parts === null) return null;
  const [, numbers = '', suffix = ''] = parts;
  return { numbers: numbers.split('.').map(BigInt), suffix: suffix.trim().toLowerCase() };
}

/** Negative, 0, positive; null where nobody can say. */
export function compareVersions(a: Version, b: Version): number | null {
  const length = Math.max(a.numbers.length, b.numbers.length);
  for (let at = 0; at < length; at++) {
    const [one = 0n, other = 0n] = [a.numbers[at], b.numbers[at]];
    if (one !== other) return one < other ? -1 : 1;
  }
  return compareSuffixes(a.suffix, b.suffix);
}

/** Before the release that they are of; those alike are in this order. */
const early = ['dev', 'alpha', 'beta', 'rc'];

function compareSuffixes(a: string, b: string): number | null {
  if (a === b) return 0;
  const [one, other] = [readSuffix(a), readSuffix(b)];
  if (one === null || other === null) return null;
  if (one.word === other.word) return Math.sign(one.number - other.number);
  const [first, second] = [early.indexOf(one.word), early.indexOf(other.word)];
  if (first >= 0 && second >= 0) return Math.sign(first - second);
  // A release comes after what is early of it; of other words nobody knows.
  if (first >= 0 && other.word === '') return -1;
  if (second >= 0 && one.word === '') return 1;
  return null;
}

/** As in `-rc2`, `~beta`, or nothing; null: not understood. */
function readSuffix(text: string): { readonly word: string; readonly number: number } | null {
  const parts = /^(?:[-_+~. ]?([a-z]+)[-_. ]?(\d{0,9}))?$/.exec(text);
  return parts === null ? null : { word: parts[1] ?? '', number: Number(parts[2] ?? 0) };
}

type Operator = '<' | '<=' | '>' | '>=' | '=';

interface Comparison {
  readonly operator: Operator;
  readonly version: Version;
}

/** All of them have to hold. */
export type VersionRange = readonly Comparison[];

/** A range, or what is wrong with it, as in `"x" is no version`. */
export function parseRange(text: string): VersionRange | string {
  const words = text.trim().split(/\s+/);
  if (words.length > comparisonsMax) return `has more than ${comparisonsMax} comparisons`;
  const range: Comparison[] = [];
  for (const word of words) {
    const [, operator = '=', version = ''] = /^(<=|>=|<|>|=)?(.*)$/s.exec(word) ?? [];
    const parsed = parseVersion(version);
    if (parsed === null) return `holds "${word}", which is no comparison such as <1.1.4`;
    range.push({ operator: operator as Operator, version: parsed });
  }
  return canHold(range) ? range : 'holds no version at all';
}

/** Whether some version can be in it: every lower bound below every upper one. */
function canHold(range: VersionRange): boolean {
  const lower = range.filter(({ operator }) => operator !== '<' && operator !== '<=');
  const upper = range.filter(({ operator }) => operator !== '>' && operator !== '>=');
  return lower.every((low) =>
    upper.every((high) => {
      const order = compareVersions(low.version, high.version);
      if (order === null || order < 0) return low.operator !== '=' || high.operator !== '=';
      const isClosed = low.operator !== '>' && high.operator !== '<';
      return order === 0 && isClosed;
    }),
  );
}

function holds({ operator, version }: Comparison, asked: Version): boolean | null {
  const order = compareVersions(asked, version);
  if (order === null) return null;
  switch (operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
    case '=':
      return order === 0;
  }
}

/**
 * Where a version stands to ranges of vulnerable ones. fixed: above the end of one, and in none. before: in none, and
 * not above any. unknown: it can't be compared with some.
 */
export function standing(
  ranges: readonly VersionRange[],
  asked: Version,
): 'in' | 'fixed' | 'before' | 'unknown' {
  const answers = ranges.map((range) => {
    const each = range.map((one) => holds(one, asked));
    return each.includes(false) ? false : each.includes(null) ? null : true;
  });
  if (answers.includes(true)) return 'in';
  if (answers.includes(null)) return 'unknown';
  const isAbove = ranges.some((range) =>
    range.some((one) => one.operator !== '>' && one.operator !== '>=' && isBeyond(one, asked)),
  );
  return isAbove ? 'fixed' : 'before';
}

const isBeyond = ({ operator, version }: Comparison, asked: Version) => {
  const order = compareVersions(asked, version);
  return order !== null && (operator === '<' ? order >= 0 : order > 0);
};
