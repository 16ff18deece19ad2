// Reads the `.BTF` section of an object file and compares its structs with the layout this agent encodes.
//
// The section is hostile until it has been read: each offset and count is held against what is there, types
// are followed a bounded number of steps, and what is malformed throws BtfError. Only names that begin with
// `husk_` are looked into; libbpf and the kernel judge the rest. The format: kernel, Documentation/bpf/btf.rst.

import type { Layout, LayoutField } from '../../bpf/abi/layout.gen.ts';

/** The section is not BTF, or not whole. */
export class BtfError extends Error {
  override readonly name = 'BtfError';
}

const magic = 0xeb9f;
const headerBytes = 24;
const typeBytes = 12;
/** Our objects carry about 20 KB; a kernel's own BTF, 6 MB, is not what this reader is for. */
const sectionBytesMax = 1 << 20;
/** Typedefs and arrays between a member and what it is made of: ours take three. */
const resolveStepsMax = 16;

const kind = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  forward: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  func: 12,
  funcProto: 13,
  variable: 14,
  dataSection: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

/** Bytes that follow a type: `fixed`, and `each` of its members. */
const trailers: Readonly<Record<number, { readonly fixed: number; readonly each: number }>> = {
  [kind.int]: { fixed: 4, each: 0 },
  [kind.pointer]: { fixed: 0, each: 0 },
  [kind.array]: { fixed: 12, each: 0 },
  [kind.struct]: { fixed: 0, each: 12 },
  [kind.union]: { fixed: 0, each: 12 },
  [kind.enum]: { fixed: 0, each: 8 },
  [kind.forward]: { fixed: 0, each: 0 },
  [kind.typedef]: { fixed: 0, each: 0 },
  [kind.volatile]: { fixed: 0, each: 0 },
  [kind.const]: { fixed: 0, each: 0 },
  [kind.restrict]: { fixed: 0, each: 0 },
  [kind.func]: { fixed: 0, each: 0 },
  [kind.funcProto]: { fixed: 0, each: 8 },
  [kind.variable]: { fixed: 4, each: 0 },
  [kind.dataSection]: { fixed: 0, each: 12 },
  [kind.float]: { fixed: 0, each: 0 },
  [kind.declTag]: { fixed: 4, each: 0 },
  [kind.typeTag]: { fixed: 0, each: 0 },
  [kind.enum64]: { fixed: 0, each: 12 },
};

interface BtfType {
  readonly name: string;
  readonly kind: number;
  readonly flag: boolean;
  readonly count: number;
  readonly sizeOrType: number;
  /** Where what follows the type begins. */
  readonly at: number;
}

/** The structs and enums named `husk_…`, in the section's order, written as the generated layout is. */
export function readBtf(section: Uint8Array): Layout {
  const { view, types, text } = readTypes(section);
  const ours = types.filter((type) => type?.name.startsWith('husk_'));
  return {
    structs: ours.flatMap((type) =>
      type?.kind === kind.struct
        ? [{ name: type.name, size: type.sizeOrType, fields: readFields(view, types, text, type) }]
        : [],
    ),
    enums: ours.flatMap((type) =>
      type?.kind === kind.enum ? [{ name: type.name, values: readEnumerators(view, text, type) }] : [],
    ),
  };
}

/** What differs, a sentence each; none: the object was built from the same headers. */
export function compareLayout(found: Layout, expected: Layout): string[] {
  return [
    ...compareNamed('struct', found.structs, expected.structs, (one) => [
      `${one.size} bytes`,
      ...one.fields.map((field) => `${field.name} at ${field.offset} as ${field.type}`),
    ]),
    ...compareNamed('enum', found.enums, expected.enums, (one) =>
      one.values.map(([name, value]) => `${name} = ${value}`),
    ),
  ];
}

function compareNamed<T extends { readonly name: string }>(
  what: string,
  found: readonly T[],
  expected: readonly T[],
  facts: (one: T) => string[],
): string[] {
  const differences: string[] = [];
  const byName = new Map<string, T>();
  for (const one of found) {
    if (byName.has(one.name)) differences.push(`${what} ${one.name} is there twice`);
    byName.set(one.name, one);
  }
  for (const one of expected) {
    const other = byName.get(one.name);
    byName.delete(one.name);
    if (other === undefined) {
      differences.push(`${what} ${one.name} is missing`);
      continue;
    }
    const there = new Set(facts(other));
    const wanted = new Set(facts(one));
    const extra = [...there].filter((fact) => !wanted.has(fact));
    const absent = [...wanted].filter((fact) => !there.has(fact));
    if (extra.length + absent.length > 0) {
      differences.push(
        `${what} ${one.name} has ${extra.join(', ') || 'less'}, expected ${absent.join(', ') || 'less'}`,
      );
    }
  }
  for (const name of byName.keys()) differences.push(`${what} ${name} is unknown`);
  return differences;
}

type Text = (offset: number) => string;

/** Index 0 is void and has no entry. */
function readTypes(section: Uint8Array): {
  view: DataView;
  types: readonly (BtfType | null)[];
  text: Text;
} {
  if (section.length > sectionBytesMax)
    throw new BtfError(`${section.length} bytes, at most ${sectionBytesMax}`);
  if (section.length < headerBytes) throw new BtfError(`${section.length} bytes are no header`);
  const view = new DataView(section.buffer, section.byteOffset, section.byteLength);
  if (view.getUint16(0, true) !== magic || view.getUint8(2) !== 1) throw new BtfError('not BTF, version 1');
  const header = view.getUint32(4, true);
  const typesAt = header + view.getUint32(8, true);
  const typesEnd = typesAt + view.getUint32(12, true);
  const stringsAt = header + view.getUint32(16, true);
  const stringsEnd = stringsAt + view.getUint32(20, true);
  if (header < headerBytes || typesEnd > section.length || stringsEnd > section.length) {
    throw new BtfError('types or strings are past the end');
  }
  const text: Text = (offset) => {
    const end = section.indexOf(0, stringsAt + offset);
    if (stringsAt + offset >= stringsEnd || end < 0 || end >= stringsEnd) {
      throw new BtfError(`no string at ${offset}`);
    }
    return new TextDecoder().decode(section.subarray(stringsAt + offset, end));
  };

  const types: (BtfType | null)[] = [null];
  for (let at = typesAt; at < typesEnd; ) {
    if (at + typeBytes > typesEnd) throw new BtfError(`type ${types.length} is cut off`);
    const info = view.getUint32(at + 4, true);
    const type: BtfType = {
      name: text(view.getUint32(at, true)),
      kind: (info >>> 24) & 0x1f,
      flag: info >>> 31 === 1,
      count: info & 0xffff,
      sizeOrType: view.getUint32(at + 8, true),
      at: at + typeBytes,
    };
    const trailer = trailers[type.kind];
    if (trailer === undefined) throw new BtfError(`type ${types.length} is of unknown kind ${type.kind}`);
    at = type.at + trailer.fixed + trailer.each * type.count;
    if (at > typesEnd) throw new BtfError(`type ${types.length} is cut off`);
    types.push(type);
  }
  return { view, types, text };
}

function readFields(
  view: DataView,
  types: readonly (BtfType | null)[],
  text: Text,
  struct: BtfType,
): LayoutField[] {
  return Array.from({ length: struct.count }, (_, index) => {
    const at = struct.at + index * 12;
    const name = text(view.getUint32(at, true));
    const bits = view.getUint32(at + 8, true);
    // With the flag, the upper byte is the size of a bit field; the ABI has none.
    const isPlain = (struct.flag ? bits >>> 24 : 0) === 0 && bits % 8 === 0;
    return {
      name,
      offset: bits / 8,
      type: isPlain ? typeText(view, types, view.getUint32(at + 4, true)) : 'bit field',
    };
  });
}

/** As the generated layout writes it: `u8[10][32]`, `husk_rule[128]`. What the ABI has no place for is named. */
function typeText(view: DataView, types: readonly (BtfType | null)[], start: number): string {
  let id = start;
  let dimensions = '';
  for (let step = 0; step < resolveStepsMax; step++) {
    const type = types[id];
    if (type === undefined) throw new BtfError(`no type ${id}`);
    switch (type?.kind) {
      case kind.typedef:
      case kind.const:
      case kind.volatile:
        id = type.sizeOrType;
        break;
      case kind.array:
        dimensions += `[${view.getUint32(type.at + 8, true)}]`;
        id = view.getUint32(type.at, true);
        break;
      case kind.struct:
        return type.name + dimensions;
      case kind.int:
        return intText(view, type) + dimensions;
      default:
        return `${type === null ? 'void' : `kind ${type.kind}`}${dimensions}`;
    }
  }
  throw new BtfError(`type ${start} takes more than ${resolveStepsMax} steps`);
}

function intText(view: DataView, type: BtfType): string {
  if (type.name === 'char') return 'char';
  // Bits 24 to 27: signed, char, bool.
  const encoding = (view.getUint32(type.at, true) >>> 24) & 0x0f;
  return `${encoding === 0 ? 'u' : 's'}${type.sizeOrType * 8}`;
}

function readEnumerators(view: DataView, text: Text, type: BtfType): (readonly [string, number])[] {
  return Array.from({ length: type.count }, (_, index) => {
    const at = type.at + index * 8;
    return [text(view.getUint32(at, true)), view.getUint32(at + 4, true)] as const;
  });
}
