// The table itself: bpf/abi/classifier.h says what lies where.

import {
  HUSK_CLASSIFIER_KEYS4,
  HUSK_CLASSIFIER_KEYS6,
  HUSK_CLASSIFIER_LINE,
  HUSK_CLASSIFIER_PAGE,
  HUSK_CLASSIFIER_PORTS,
  HUSK_CLASSIFIER_UNIT,
  HuskClass,
  HuskClassifier,
  HuskNode4,
  HuskNode6,
} from '../../../bpf/abi/layout.gen.ts';
import { portMax } from '../ports.ts';
import type { AddressTrees, NodeKind } from './address-trees.ts';
import type { ClassifierSize, ClassVectors } from './build.ts';
import type { PortField, SmallField } from './cross-classes.ts';
import type { Order } from './order.ts';

export interface TableParts {
  readonly entries: number;
  readonly roots: Readonly<Record<'source4' | 'destination4' | 'source6' | 'destination6', Uint32Array>>;
  readonly trees: Pick<AddressTrees, 'pages' | 'nodes'>;
  readonly bases: Readonly<Record<'sourceOther' | 'destinationOther' | 'ports' | 'small', number>>;
  readonly ports: PortField;
  readonly small: SmallField;
  readonly classes: ClassVectors;
  readonly order: Order;
  /** By entry. */
  readonly rows: Uint32Array;
}

/** The number by which x & -x becomes 64 different values of six bits (de Bruijn). */
const lowestBitFactor = 0x03f79d71b4cb0a89n;

const portsPerLeaf = 64;
const pageLines = (HUSK_CLASSIFIER_PAGE * 2) / HUSK_CLASSIFIER_LINE;
const leafLines = (portsPerLeaf * 2) / HUSK_CLASSIFIER_LINE;
const node6Units = HuskNode6.size / HUSK_CLASSIFIER_UNIT;
/** As many as a u16 has numbers. */
export const unitsMax = 65536;

const linesFor = (bytes: number) => Math.ceil(bytes / HUSK_CLASSIFIER_LINE);
const align = (line: number, to: number) => Math.ceil(line / to) * to;

/** Where the parts of a table begin. */
interface Plan {
  /** In units. */
  readonly upper: number;
  readonly lower: number;
  readonly node4: number;
  readonly classes: number;
  /** By class. */
  readonly unitOf: Uint32Array;
  readonly unitsEnd: number;
  /** In lines. */
  readonly pages: number;
  readonly leaves: number;
  readonly pairs: number;
  readonly ports: number;
  readonly smalls: number;
  readonly vectors: number;
  readonly rows: number;
  readonly order: number;
  readonly end: number;
  readonly leafOf: LeafTables;
}

interface LeafTables {
  readonly leaves: readonly Uint16Array[];
  readonly sport: Uint16Array;
  readonly dport: Uint16Array;
}

/** Bytes of the table that hold something, in a table of this size. */
export const usedBytes = (parts: TableParts, size: ClassifierSize) =>
  planOf(parts, size).end * HUSK_CLASSIFIER_LINE;

export const usedUnits = (parts: TableParts) => planOf(parts, 'large').unitsEnd;

function planOf(parts: TableParts, size: ClassifierSize): Plan {
  const { trees, ports, small, classes, rows, order } = parts;
  const count = (kind: NodeKind) => trees.nodes.filter((node) => node.kind === kind).length;
  const upper = align(HuskClassifier.size / HUSK_CLASSIFIER_UNIT, node6Units);
  const lower = upper + count('upper') * node6Units;
  const node4 = lower + count('lower') * node6Units;
  const firstClass = align(node4 + count('ipv4'), 2);
  const { unitOf, unitsEnd } = classUnits(classes, firstClass);

  const leafOf = leavesOf(ports, small);
  const pages = align(linesFor(unitsEnd * HUSK_CLASSIFIER_UNIT), pageLines);
  const leaves = pages + trees.pages.length * pageLines;
  const pairs = leaves + leafOf.leaves.length * leafLines;
  const portLines = pairs + linesFor(ports.pairs.length * 2);
  const smalls = portLines + linesFor(ports.table.length * 2);
  const vectors = smalls + linesFor(small.table.length * 2);
  // A small table has its one word in the class.
  const rowLines = vectors + (size === 'small' ? 0 : classes.lines);
  const orderLines = rowLines + linesFor(rows.length * 4);
  return {
    ...{ upper, lower, node4, classes: firstClass, unitOf, unitsEnd },
    ...{ pages, leaves, pairs, ports: portLines, smalls, vectors, rows: rowLines, order: orderLines, leafOf },
    end: orderLines + linesFor(order.entryAt.length * 2),
  };
}

/** Those of two units come first, so that none is in two cache lines. */
function classUnits({ lineOf }: ClassVectors, first: number): Pick<Plan, 'unitOf' | 'unitsEnd'> {
  const unitOf = new Uint32Array(lineOf.length);
  let unitsEnd = first;
  for (const isLong of [true, false]) {
    lineOf.forEach((lines, one) => {
      if ((typeof lines !== 'number') !== isLong) return;
      unitOf[one] = unitsEnd;
      unitsEnd += isLong ? 2 : 1;
    });
  }
  return { unitOf, unitsEnd };
}

/** Both ports' classes in leaves of 64, equal ones once. */
function leavesOf(ports: PortField, small: SmallField): LeafTables {
  const leaves: Uint16Array[] = [];
  const known = new Map<string, number>();
  const split = (classOf: Uint16Array): Uint16Array =>
    Uint16Array.from({ length: HUSK_CLASSIFIER_PORTS }, (_, index) => {
      const leaf = classOf.subarray(index * portsPerLeaf, (index + 1) * portsPerLeaf);
      const text = leaf.join();
      const there = known.get(text);
      if (there !== undefined) return there;
      known.set(text, leaves.length);
      return leaves.push(leaf) - 1;
    });
  const sport = ports.sport ?? small.sport;
  return {
    leaves,
    sport: split(sport?.classOf ?? new Uint16Array(portMax + 1)),
    dport: split(ports.dport.classOf),
  };
}

/** The table in `bytes` bytes, which must be enough. */
export function writeTable(parts: TableParts, size: ClassifierSize, bytes: number): Uint8Array {
  const plan = planOf(parts, size);
  const table = new Uint8Array(bytes);
  const view = new DataView(table.buffer);
  const putAll = (at: number, values: ArrayLike<number>, of = (value: number) => value): void => {
    for (let index = 0; index < values.length; index++)
      view.setUint16(at + index * 2, of(values[index] as number), true);
  };
  writeHeader(parts, plan, view, putAll);
  writeTrees(parts, plan, view, putAll);
  writeClasses(parts.classes, plan, size, view);

  const { ports, small, bases } = parts;
  const classUnit = (base: number) => (one: number) => plan.unitOf[base + one] as number;
  plan.leafOf.leaves.forEach((leaf, index) => {
    putAll((plan.leaves + index * leafLines) * HUSK_CLASSIFIER_LINE, leaf);
  });
  putAll(plan.pairs * HUSK_CLASSIFIER_LINE, ports.pairs);
  putAll(plan.ports * HUSK_CLASSIFIER_LINE, ports.table, classUnit(bases.ports));
  putAll(plan.smalls * HUSK_CLASSIFIER_LINE, small.table, classUnit(bases.small));
  parts.rows.forEach((row, entry) => {
    view.setUint32(plan.rows * HUSK_CLASSIFIER_LINE + entry * 4, row, true);
  });
  // Where there is no entry there is no bit either, and what is written is not read.
  putAll(plan.order * HUSK_CLASSIFIER_LINE, parts.order.entryAt);
  return table;
}

type PutAll = (at: number, values: ArrayLike<number>, of?: (value: number) => number) => void;

function writeHeader(parts: TableParts, plan: Plan, view: DataView, putAll: PutAll): void {
  const { offset } = HuskClassifier;
  const { bases, ports, small, roots } = parts;
  const numbers = {
    entries: parts.entries,
    firstClass: plan.classes,
    firstLowerNode: plan.lower,
    sourceOther: plan.unitOf[bases.sourceOther] as number,
    destinationOther: plan.unitOf[bases.destinationOther] as number,
    pairs: plan.pairs,
    pairsStride: ports.sport === null ? 0 : ports.dport.vectors.length,
    ports: plan.ports,
    portsStride: ports.protocol.vectors.length,
    smalls: plan.smalls,
    smallsStride: small.set.vectors.length,
    sportsStride: small.sport === null ? 1 : 1 + small.sport.vectors.length,
    sportsStep: small.sport === null ? 0 : 1,
    rows: plan.rows,
    order: plan.order,
  };
  for (const [name, value] of Object.entries(numbers)) {
    view.setUint32(offset[name as keyof typeof numbers], value, true);
  }
  for (let bit = 0n; bit < 64n; bit++) {
    view.setUint8(offset.lowestBit + Number(BigInt.asUintN(64, lowestBitFactor << bit) >> 58n), Number(bit));
  }
  parts.order.sectionOf.forEach((section, word) => {
    view.setUint8(offset.section + word, section);
    const at = offset.sectionWords + section * 32 + (word >> 3);
    view.setUint8(at, view.getUint8(at) | (1 << (word & 7)));
  });
  putAll(offset.protocol, ports.protocol.classOf);
  putAll(offset.small, small.small.classOf);
  putAll(offset.set, small.set.classOf);
  const leafLine = (leaf: number) => plan.leaves + leaf * leafLines;
  putAll(offset.sport, plan.leafOf.sport, leafLine);
  putAll(offset.dport, plan.leafOf.dport, leafLine);
  const pageLine = (page: number) => plan.pages + page * pageLines;
  for (const name of ['source4', 'destination4', 'source6', 'destination6'] as const) {
    putAll(offset[name], roots[name], pageLine);
  }
}

function writeTrees({ trees }: TableParts, plan: Plan, view: DataView, putAll: PutAll): void {
  const next = { ipv4: plan.node4, upper: plan.upper, lower: plan.lower };
  const units = trees.nodes.map(({ kind }) => {
    const unit = next[kind];
    next[kind] += kind === 'ipv4' ? 1 : node6Units;
    return unit;
  });
  const unitOf = (reference: number) =>
    (reference < 0 ? units[~reference] : plan.unitOf[reference]) as number;
  const pageLine = (page: number) => plan.pages + page * pageLines;
  trees.pages.forEach(({ leadsTo, slots }, index) => {
    putAll(pageLine(index) * HUSK_CLASSIFIER_LINE, slots, leadsTo === 'pages' ? pageLine : unitOf);
  });
  trees.nodes.forEach(({ kind, keys, children }, index) => {
    const at = (units[index] as number) * HUSK_CLASSIFIER_UNIT;
    const last = children.length - 1;
    if (kind === 'ipv4') {
      for (let key = 0; key <= HUSK_CLASSIFIER_KEYS4; key++) {
        view.setUint16(at + HuskNode4.offset.key + key * 2, Number(keys[key] ?? 0x8000n), true);
      }
      putAll(at + HuskNode4.offset.child, children, unitOf);
    } else {
      for (let key = 0; key < HUSK_CLASSIFIER_KEYS6; key++) {
        view.setBigUint64(at + HuskNode6.offset.key + key * 8, keys[key] ?? 0xffffffffffffffffn, true);
      }
      const all = Array.from(
        { length: HUSK_CLASSIFIER_KEYS6 + 1 },
        (_, child) => children[Math.min(child, last)],
      );
      putAll(at + HuskNode6.offset.child, all as number[], unitOf);
    }
  });
}

/** All bits of a group's number count. */
const everyGroup = 31 << 27;

function writeClasses(classes: ClassVectors, plan: Plan, size: ClassifierSize, view: DataView): void {
  for (let one = 0; one < classes.count; one++) {
    const at = (plan.unitOf[one] as number) * HUSK_CLASSIFIER_UNIT;
    if (size === 'small') {
      view.setUint32(at + HuskClass.offset.any, classes.first[one * 2] as number, true);
      view.setUint32(at + HuskClass.offset.any + 4, classes.first[one * 2 + 1] as number, true);
      continue;
    }
    const lines = classes.lineOf[one] as number | Int32Array;
    const isLong = typeof lines !== 'number';
    for (let word = 0; word < 6; word++) {
      const groups = word === 5 && isLong ? everyGroup : 0;
      view.setUint32(
        at + HuskClass.offset.any + word * 4,
        (classes.any[one * 6 + word] as number) | groups,
        true,
      );
    }
    (isLong ? lines : [lines]).forEach((line, group) => {
      if (line >= 0) view.setUint16(at + HuskClass.offset.group + group * 2, plan.vectors + line, true);
    });
  }
  if (size === 'small') return;
  const from = plan.vectors * HUSK_CLASSIFIER_LINE;
  classes.lineWords.forEach((word, index) => {
    view.setUint32(from + index * 4, word, true);
  });
}
