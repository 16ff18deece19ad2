// Fields that are looked up piece by piece: ports with protocol, and the small fields with the big sets.
//
// Each piece has classes of its own; a table over two pieces gives the class of both. Vectors here are over
// specs, so that a table of a hundred thousand pairs is made in milliseconds.

import { HUSK_CLASSIFIER_NO_PROTOCOL } from '../../../bpf/abi/layout.gen.ts';
import { type PortRange, portMax } from '../ports.ts';
import { andInto, type Bits, bitsOf, flipBit, Interner, indexesOf, setBit } from './bits.ts';
import { type ClassifierEntry, ClassifierLimitError } from './entry.ts';
import { type Field, specsOf } from './field.ts';

/** Elements of one cross table: 2 MiB of the largest table. */
const crossMax = 1 << 20;

/** Values of one piece and their classes. */
interface Piece {
  readonly classOf: Uint16Array;
  readonly vectors: readonly Bits[];
}

/** Ports and protocol; the source port is in one of the two fields. */
export interface PortField extends Field {
  /** null: in the other field. */
  readonly sport: Piece | null;
  readonly dport: Piece;
  readonly protocol: Piece;
  /** Element 0: no ports; 1 + sport class * dport classes + dport class. */
  readonly pairs: Uint32Array;
  /** By pair class * protocol classes + protocol class. */
  readonly table: Uint32Array;
}

export interface SmallField extends Field {
  /** By zone | state << 4 | device << 7 | fragment << 8. */
  readonly small: Piece;
  readonly set: Piece;
  readonly sport: Piece | null;
  /** By small class * set classes + set class; times 1 + sport classes, where the source port is here, + 1 + sport class, 0 without ports. */
  readonly table: Uint32Array;
}

/** With so few classes of ports we do not look for fewer. */
const fewClasses = 512;
/** More than these would not fit any table. */
const classesMax = 32768;

interface PlainFields {
  readonly ports: PortField;
  readonly small: SmallField;
}

/**
 * Both fields. Source ports make a class for each pair with the destination ports that differs, or else with the
 * small fields: they go where that makes fewer. With the destination ports they tell more by one comparison, so
 * there while it is few.
 */
export function plainFields(entries: readonly ClassifierEntry[]): PlainFields {
  const together = joined(portField(entries, true), smallField(entries, false));
  if (together !== null && together.ports.classes.length <= fewClasses) return together;
  const apart = joined(portField(entries, false), smallField(entries, true));
  const better = [together, apart]
    .filter((one) => one !== null)
    .sort((a, b) => classCount(a) - classCount(b));
  if (better[0] === undefined) throw new ClassifierLimitError('port classes', classesMax + 1, classesMax);
  return better[0];
}

const joined = (ports: PortField | null, small: SmallField | null): PlainFields | null =>
  ports === null || small === null ? null : { ports, small };

const classCount = ({ ports, small }: PlainFields) => ports.classes.length + small.classes.length;

type PortDemand = Pick<ClassifierEntry, 'protocols' | 'ports'>;

const rangesText = (ranges: readonly PortRange[]) => ranges.map((one) => `${one.first}-${one.last}`).join();

/** null: too many classes. */
function portField(entries: readonly ClassifierEntry[], withSource: boolean): PortField | null {
  const { specs, specOf } = specsOf<PortDemand>(entries, ({ protocols, ports }) =>
    [
      protocols ?? '*',
      withSource && ports !== null ? rangesText(ports.from) : '*',
      ports === null ? '*' : rangesText(ports.to),
    ].join(' '),
  );
  const sport = withSource ? portPiece(specs, ({ ports }) => ports?.from ?? null) : null;
  const dport = portPiece(specs, ({ ports }) => ports?.to ?? null);
  const protocol = pieceOf(
    HUSK_CLASSIFIER_NO_PROTOCOL + 1,
    specs,
    (value, { protocols }) => protocols?.includes(value) ?? true,
  );
  const pairVectors = new Interner();
  const none = pairVectors.numberOf(specsWithoutPorts(specs));
  const pairs =
    sport === null
      ? Uint32Array.from(dport.vectors, (bits) => pairVectors.numberOf(bits))
      : cross(sport.vectors, dport.vectors, pairVectors);
  if (pairs === null) return null;
  const classes = new Interner();
  const table = cross(pairVectors.all, protocol.vectors, classes);
  if (table === null) return null;
  return {
    specs: specs.length,
    specOf,
    classes: classes.all.map(indexesOf),
    ...{ sport, dport, protocol, table },
    pairs: prepend(none, pairs),
  };
}

function specsWithoutPorts(specs: readonly PortDemand[]): Bits {
  const bits = bitsOf(specs.length);
  specs.forEach(({ ports }, number) => {
    if (ports === null) setBit(bits, number);
  });
  return bits;
}

function prepend(first: number, rest: Uint32Array): Uint32Array {
  const out = new Uint32Array(rest.length + 1);
  out[0] = first;
  out.set(rest, 1);
  return out;
}

/** By a * b.length + b: the number of what both have in common. null: too many of either. */
function cross(a: readonly Bits[], b: readonly Bits[], numbers: Interner): Uint32Array | null {
  if (a.length * b.length > crossMax) return null;
  const table = new Uint32Array(a.length * b.length);
  const common = new Uint32Array(a[0]?.length ?? 0);
  let at = 0;
  for (const one of a) {
    for (const other of b) {
      andInto(common, one, other);
      table[at++] = numbers.numberOf(common);
    }
    if (numbers.all.length > classesMax) return null;
  }
  return table;
}

function portPiece(
  specs: readonly PortDemand[],
  rangesOf: (spec: PortDemand) => readonly PortRange[] | null,
): Piece {
  const bits = bitsOf(specs.length);
  const flips = new Map<number, number[]>([[0, []]]);
  const flip = (port: number, spec: number): void => {
    const there = flips.get(port);
    if (there === undefined) flips.set(port, [spec]);
    else there.push(spec);
  };
  specs.forEach((spec, number) => {
    const ranges = rangesOf(spec);
    if (ranges === null) setBit(bits, number);
    for (const { first, last } of disjoint(ranges ?? [])) {
      flip(first, number);
      if (last < portMax) flip(last + 1, number);
    }
  });
  const numbers = new Interner();
  const classOf = new Uint16Array(portMax + 1);
  for (const port of [...flips.keys()].sort((a, b) => a - b)) {
    for (const spec of flips.get(port) ?? []) flipBit(bits, spec);
    classOf.fill(numbers.numberOf(bits), port);
  }
  return { classOf, vectors: numbers.all };
}

/** The same ports without overlaps: a sweep that flips bits must meet each start and end once. */
function disjoint(ranges: readonly PortRange[]): readonly PortRange[] {
  if (ranges.length < 2) return ranges;
  const out: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const previous = out.at(-1);
    if (previous === undefined || range.first > previous.last) out.push(range);
    else out[out.length - 1] = { first: previous.first, last: Math.max(previous.last, range.last) };
  }
  return out;
}

/** The classes of the numbers below `count`. */
function pieceOf<T>(count: number, specs: readonly T[], holds: (value: number, spec: T) => boolean): Piece {
  const numbers = new Interner();
  const bits = bitsOf(specs.length);
  const classOf = Uint16Array.from({ length: count }, (_, value) => {
    bits.fill(0);
    specs.forEach((spec, number) => {
      if (holds(value, spec)) setBit(bits, number);
    });
    return numbers.numberOf(bits);
  });
  return { classOf, vectors: numbers.all };
}

/** null: too many classes. */
function smallField(entries: readonly ClassifierEntry[], withSource: boolean): SmallField | null {
  const { specs, specOf } = specsOf(entries, ({ zones, states, device, fragments, sets, ports }) =>
    [
      ...[zones, states, device, fragments, sets.care, sets.value],
      withSource && ports !== null ? rangesText(ports.from) : '*',
    ].join(),
  );
  // All four masks at once: which of the 1,024 values hold.
  const small = pieceOf(1024, specs, (value, { zones, states, device, fragments }) => {
    const both = (zones >>> (value & 15)) & (states >>> ((value >>> 4) & 7));
    const fragment = value >>> 8;
    return (both & (device >>> ((value >>> 7) & 1)) & (fragments >>> fragment) & 1) === 1 && fragment < 3;
  });
  const set = pieceOf(256, specs, (value, { sets }) => (value & sets.care) === sets.value);
  const sport = withSource ? portPiece(specs, ({ ports }) => ports?.from ?? null) : null;

  const classes = new Interner();
  const options = sport === null ? null : [specsWithoutPorts(specs), ...sport.vectors];
  const both = options === null ? classes : new Interner();
  const cells = cross(small.vectors, set.vectors, both);
  if (cells === null) return null;
  const table =
    options === null ? cells : withPorts(cells, cross(both.all, options, classes), options.length);
  if (table === null) return null;
  return {
    specs: specs.length,
    specOf,
    classes: classes.all.map(indexesOf),
    ...{ small, set, sport, table },
  };
}

/** Each cell becomes as many as there are options of ports; `classOf` is by what a cell holds and option. */
function withPorts(cells: Uint32Array, classOf: Uint32Array | null, options: number): Uint32Array | null {
  if (classOf === null || cells.length * options > crossMax) return null;
  return Uint32Array.from({ length: cells.length * options }, (_, at) => {
    const cell = cells[Math.floor(at / options)] as number;
    return classOf[cell * options + (at % options)] as number;
  });
}
