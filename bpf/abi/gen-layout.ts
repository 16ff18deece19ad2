// Turns the BTF of layout.bpf.o into layout.gen.ts: sizes, offsets, numbers, types and codecs for the
// TypeScript side of the ABI.
//
//   node bpf/abi/gen-layout.ts build/bpf/layout.bpf.o [bpf/abi/layout.gen.ts]
//
// bpftool reads the BTF, so that agent/kernel/btf.ts, which reads it at load time, is checked against
// another reader. The output depends on the headers alone: the same headers give the same bytes.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A field's type as the canonical layout writes it: `u8[10][32]`, `husk_rule[128]`, `char[16]`. */
interface Field {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly base: string;
  readonly dimensions: readonly number[];
}
interface Struct {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field[];
}
interface Enum {
  readonly name: string;
  readonly values: readonly (readonly [name: string, value: number])[];
}
export interface Abi {
  readonly structs: readonly Struct[];
  readonly enums: readonly Enum[];
  readonly numbers: Enum['values'];
}

// What bpftool prints of a type; only what is read here.
interface BtfType {
  readonly id: number;
  readonly kind: string;
  readonly name: string;
  readonly type_id?: number;
  readonly size?: number;
  readonly nr_elems?: number;
  readonly encoding?: string;
  readonly bitfield_size?: number;
  readonly members?: readonly {
    name: string;
    type_id: number;
    bits_offset: number;
    bitfield_size?: number;
  }[];
  readonly values?: readonly { name: string; val: bigint }[];
}

/** Reads the structs, enums and numbers that layout.bpf.c names. */
export function readAbi(objectPath: string): Abi {
  const text = execFileSync('bpftool', ['-j', 'btf', 'dump', 'file', objectPath], { encoding: 'utf8' });
  // bpftool 7.1 sign-extends unsigned enumerators to 64 bits, more than a number holds: read the digits.
  const exactly = (key: string, value: unknown, context?: { source?: string }) =>
    key === 'val' ? BigInt(context?.source ?? '0') : value;
  const dump = JSON.parse(text, exactly as (key: string, value: unknown) => unknown) as { types: BtfType[] };
  const types = new Map(dump.types.map((type) => [type.id, type]));

  const structs = dump.types.filter((type) => type.kind === 'STRUCT').map((type) => structOf(types, type));
  const enums = dump.types.filter((type) => type.kind === 'ENUM').map(enumOf);
  const numbers = enums.find((one) => one.name === 'layout_numbers')?.values ?? [];
  return {
    structs,
    enums: enums.filter((one) => one.name !== 'layout_numbers'),
    numbers: numbers.map(([name, value]) => [name.slice(0, -1), value]),
  };
}

function structOf(types: ReadonlyMap<number, BtfType>, type: BtfType): Struct {
  const fields = (type.members ?? []).map((member): Field => {
    if (member.bitfield_size)
      throw new Error(`${type.name}.${member.name}: bit fields have no place in the ABI`);
    const { base, size, dimensions } = resolve(types, member.type_id);
    return { name: member.name, offset: member.bits_offset / 8, size, base, dimensions };
  });
  return { name: type.name, size: type.size ?? 0, fields };
}

function resolve(
  types: ReadonlyMap<number, BtfType>,
  id: number,
): Pick<Field, 'base' | 'size' | 'dimensions'> {
  const type = types.get(id);
  if (type?.kind === 'TYPEDEF') return resolve(types, type.type_id ?? 0);
  if (type?.kind === 'STRUCT') return { base: type.name, size: type.size ?? 0, dimensions: [] };
  if (type?.kind === 'INT' && type.name === 'char') return { base: 'char', size: 1, dimensions: [] };
  if (type?.kind === 'INT' && type.encoding === '(none)') {
    return { base: `u${(type.size ?? 0) * 8}`, size: type.size ?? 0, dimensions: [] };
  }
  if (type?.kind === 'ARRAY') {
    const element = resolve(types, type.type_id ?? 0);
    const count = type.nr_elems ?? 0;
    return { base: element.base, size: element.size * count, dimensions: [count, ...element.dimensions] };
  }
  throw new Error(`type ${id} (${type?.kind ?? 'missing'} ${type?.name ?? ''}) has no place in the ABI`);
}

function enumOf(type: BtfType): Enum {
  const values = (type.values ?? []).map(({ name, val }) => [name, Number(BigInt.asUintN(32, val))] as const);
  return { name: type.name, values };
}

/** The layout as text, one line a fact: what the digest is over and what a changed ABI shows up in. */
export function canonical(abi: Abi): string {
  const lines = [
    ...abi.numbers.map(([name, value]) => `number ${name} ${value}`),
    ...abi.enums.flatMap((one) => one.values.map(([name, value]) => `enum ${one.name} ${name} ${value}`)),
    ...abi.structs.flatMap((struct) => [
      `struct ${struct.name} ${struct.size}`,
      ...struct.fields.map(
        (field) => `field ${struct.name} ${field.name} ${field.offset} ${typeText(field)}`,
      ),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

const typeText = (field: Field) => field.base + field.dimensions.map((count) => `[${count}]`).join('');

/** The whole of layout.gen.ts. */
export function render(abi: Abi): string {
  const digest = createHash('sha256').update(canonical(abi)).digest('hex');
  return `${[
    PREAMBLE,
    section('Numbers of limits.h, abi.h and tables.h.'),
    ...abi.numbers.map(([name, value]) => `export const ${name} = ${numberText(name, value)};`),
    '',
    section('Enumerations, without the common prefix of their names.'),
    ...abi.enums.map(renderEnum),
    section('Structs: size, offsets, types and codecs. Pads are written as zero and not read.'),
    ...abi.structs.map(renderStruct),
    section('What an object built from the same headers carries as BTF; agent/kernel/btf.ts compares.'),
    `export const layoutDigest = '${digest}';`,
    '',
    renderCanonical(abi),
    HELPERS,
  ].join('\n')}`;
}

const PREAMBLE = `// Generated from bpf/abi/*.h by bpf/abi/gen-layout.ts; checked in; do not edit.
//
// Little-endian targets only. u64 is bigint, bytes are Uint8Array, char arrays are strings up to the first NUL.
// Decoded byte arrays are copies. Reading or writing past the view throws RangeError.
`;

const section = (title: string) => `// ${title}\n`;

/** Masks read best in hexadecimal, sizes in decimal. */
const numberText = (name: string, value: number) =>
  name.startsWith('HUSK_LIVE') && value > 255 ? `0x${value.toString(16)}` : String(value);

function renderEnum(one: Enum): string {
  const names = one.values.map(([name]) => name);
  const prefix = commonPrefix(names);
  const type = pascal(one.name);
  return [
    `export const ${type} = {`,
    ...one.values.map(([name, value]) => `  ${name.slice(prefix.length)}: ${value},`),
    '} as const;',
    `export type ${type} = (typeof ${type})[keyof typeof ${type}];`,
    '',
  ].join('\n');
}

/** The longest prefix of all names that ends in an underscore. */
function commonPrefix(names: readonly string[]): string {
  const first = names[0] ?? '';
  let length = first.length;
  while (
    length > 0 &&
    !(first[length - 1] === '_' && names.every((name) => name.startsWith(first.slice(0, length))))
  ) {
    length--;
  }
  return first.slice(0, length);
}

function renderStruct(struct: Struct): string {
  const type = pascal(struct.name);
  const fields = struct.fields.filter((field) => field.name !== 'pad');
  const entries = (pick: (field: Field) => number | undefined) =>
    fields.flatMap((field) =>
      pick(field) === undefined ? [] : [`    ${camel(field.name)}: ${pick(field)},`],
    );
  const counts = entries((field) => field.dimensions[0]);
  return [
    `export interface ${type} {`,
    ...fields.map((field) => `  readonly ${camel(field.name)}: ${typescriptType(field)};`),
    '}',
    `export const ${type} = {`,
    `  size: ${struct.size},`,
    '  offset: {',
    ...entries((field) => field.offset),
    '  },',
    ...(counts.length > 0 ? ['  count: {', ...counts, '  },'] : []),
    '} as const;',
    `export function encode${type}(view: DataView, at: number, value: ${type}): void {`,
    `  mustHold(view, at, ${struct.size});`,
    ...struct.fields.map((field) => `  ${writer(field)};`),
    '}',
    `export function decode${type}(view: DataView, at: number): ${type} {`,
    `  mustHold(view, at, ${struct.size});`,
    '  return {',
    ...fields.map((field) => `    ${camel(field.name)}: ${reader(field)},`),
    '  };',
    '}',
    '',
  ].join('\n');
}

const isBytes = (field: Field) => field.base === 'u8' && field.dimensions.length > 0;
const isText = (field: Field) => field.base === 'char';
const scalarType = (base: string) =>
  base === 'u64' ? 'bigint' : base.startsWith('husk_') ? pascal(base) : 'number';

function typescriptType(field: Field): string {
  if (isText(field)) return 'string';
  if (isBytes(field)) return field.dimensions.length === 1 ? 'Uint8Array' : 'readonly Uint8Array[]';
  return field.dimensions.length === 0 ? scalarType(field.base) : `readonly ${scalarType(field.base)}[]`;
}

const METHOD: Record<string, string> = { u8: 'Uint8', u16: 'Uint16', u32: 'Uint32', u64: 'BigUint64' };
const littleEndian = (base: string) => (base === 'u8' ? '' : ', true');

function writer(field: Field): string {
  const value = `value.${camel(field.name)}`;
  const at = `at + ${field.offset}`;
  const what = `'${camel(field.name)}'`;
  if (field.name === 'pad') return `putZeros(view, ${at}, ${field.size})`;
  if (isText(field)) return `putText(view, ${at}, ${field.size}, ${value}, ${what})`;
  if (isBytes(field) && field.dimensions.length === 1) {
    return `putBytes(view, ${at}, ${field.size}, ${value}, ${what})`;
  }
  const [count, ...inner] = field.dimensions;
  if (count === undefined) return writeOne(field.base, at, value);
  const step = field.size / count;
  const one =
    inner.length > 0 ? `putBytes(view, to, ${step}, one, ${what})` : writeOne(field.base, 'to', 'one');
  return `putEach(view, ${at}, ${step}, ${count}, ${value}, ${what}, (to, one) => ${one})`;
}

function writeOne(base: string, at: string, value: string): string {
  if (base.startsWith('husk_')) return `encode${pascal(base)}(view, ${at}, ${value})`;
  return `view.set${METHOD[base]}(${at}, ${value}${littleEndian(base)})`;
}

function reader(field: Field): string {
  const at = `at + ${field.offset}`;
  if (isText(field)) return `getText(view, ${at}, ${field.size})`;
  if (isBytes(field) && field.dimensions.length === 1) return `getBytes(view, ${at}, ${field.size})`;
  const [count, ...inner] = field.dimensions;
  if (count === undefined) return readOne(field.base, at);
  const step = field.size / count;
  const one = inner.length > 0 ? `getBytes(view, from, ${step})` : readOne(field.base, 'from');
  return `getEach(${at}, ${step}, ${count}, (from) => ${one})`;
}

function readOne(base: string, at: string): string {
  if (base.startsWith('husk_')) return `decode${pascal(base)}(view, ${at})`;
  return `view.get${METHOD[base]}(${at}${littleEndian(base)})`;
}

function renderCanonical(abi: Abi): string {
  return [
    'export interface LayoutField {',
    '  readonly name: string;',
    '  readonly offset: number;',
    '  /** As in `u8[10][32]`, `husk_rule[128]`, `char[16]`. */',
    '  readonly type: string;',
    '}',
    'export interface Layout {',
    '  readonly structs: readonly { readonly name: string; readonly size: number; readonly fields: readonly LayoutField[] }[];',
    '  readonly enums: readonly { readonly name: string; readonly values: readonly (readonly [name: string, value: number])[] }[];',
    '}',
    'export const layout: Layout = {',
    '  structs: [',
    ...abi.structs.flatMap((struct) => [
      `    { name: '${struct.name}', size: ${struct.size}, fields: [`,
      ...struct.fields.map(
        (field) => `      { name: '${field.name}', offset: ${field.offset}, type: '${typeText(field)}' },`,
      ),
      '    ] },',
    ]),
    '  ],',
    '  enums: [',
    ...abi.enums.flatMap((one) => [
      `    { name: '${one.name}', values: [`,
      ...one.values.map(([name, value]) => `      ['${name}', ${value}],`),
      '    ] },',
    ]),
    '  ],',
    '};',
  ].join('\n');
}

const HELPERS = `
function putZeros(view: DataView, at: number, size: number): void {
  bytesOf(view, at, size).fill(0);
}

function putBytes(view: DataView, at: number, size: number, value: Uint8Array, what: string): void {
  if (value.length !== size) throw new RangeError(\`\${what}: \${value.length} bytes, not \${size}\`);
  bytesOf(view, at, size).set(value);
}

function putText(view: DataView, at: number, size: number, value: string, what: string): void {
  const bytes = new TextEncoder().encode(value);
  // One NUL at the end is always there, so that C may read it as a string.
  if (bytes.length >= size) throw new RangeError(\`\${what}: \${bytes.length} bytes of text, at most \${size - 1}\`);
  if (bytes.includes(0)) throw new RangeError(\`\${what}: NUL inside the text\`);
  const to = bytesOf(view, at, size);
  to.set(bytes);
  to.fill(0, bytes.length);
}

/** Fewer elements than the array has are followed by zeros; more are refused. */
function putEach<T>(
  view: DataView,
  at: number,
  step: number,
  count: number,
  values: readonly T[],
  what: string,
  put: (to: number, one: T) => void,
): void {
  if (values.length > count) throw new RangeError(\`\${what}: \${values.length} elements, at most \${count}\`);
  values.forEach((one, index) => put(at + index * step, one));
  bytesOf(view, at + values.length * step, (count - values.length) * step).fill(0);
}

function getBytes(view: DataView, at: number, size: number): Uint8Array {
  return bytesOf(view, at, size).slice();
}

function getText(view: DataView, at: number, size: number): string {
  const bytes = bytesOf(view, at, size);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function getEach<T>(at: number, step: number, count: number, get: (from: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, index) => get(at + index * step));
}

function bytesOf(view: DataView, at: number, size: number): Uint8Array {
  mustHold(view, at, size);
  return new Uint8Array(view.buffer, view.byteOffset + at, size);
}

function mustHold(view: DataView, at: number, size: number): void {
  if (at < 0 || at + size > view.byteLength) throw new RangeError(\`\${size} bytes at \${at} are outside the view\`);
}
`;

const words = (name: string) => name.split('_');
const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);
const pascal = (name: string) => words(name).map(capital).join('');
const camel = (name: string) =>
  words(name)
    .map((word, index) => (index === 0 ? word : capital(word)))
    .join('');

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [objectPath, outputPath = fileURLToPath(new URL('./layout.gen.ts', import.meta.url))] =
    process.argv.slice(2);
  if (objectPath === undefined) {
    console.error('usage: gen-layout.ts OBJECT [OUTPUT]');
    process.exit(2);
  }
  writeFileSync(outputPath, render(readAbi(objectPath)));
}
