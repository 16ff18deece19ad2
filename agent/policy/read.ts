// Documents out of a text: YAML or JSON, several in a file, every fault with its line and column.
//
// YAML is kept to what JSON can say plus comments and a little comfort: version 1.2 with the core schema
// (`off` and `no` are words, not booleans), no tags, no duplicate keys, keys that are text, and few
// aliases, since ten lines of them can stand for a billion nodes. JSON is read as the YAML it also is, up
// to the length at which YAML takes too much memory; beyond that it is read as JSON alone.

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
} from 'yaml';
import { JsonError, parseJson } from '../contract/json.ts';
import { bundleBytesMax } from '../contract/limits.ts';
import type { PolicyDocument } from '../contract/policy.ts';
import { checkDocuments } from './check.ts';
import { type Fault, FaultList, formatPath, type Path, rememberSource, type Source } from './faults.ts';
import { type Parsed, parseDocument, type ShapeFault } from './parse.ts';
import { findOutOfBounds } from './yaml-bounds.ts';

/** JSON may be as long as a bundle. */
const textLengthMax = bundleBytesMax;
/** YAML becomes a tree of some hundred times its length; long lists of addresses have files of their own. */
const yamlLengthMax = 2 * 1024 * 1024;
const documentsMax = 1024;
/** Uses of an anchor in one document, as the library counts them: nested ones multiply. */
const aliasesMax = 100;

/** Listed of one document; finding the path of each costs a walk over all of it. */
const syntaxFaultsMax = 100;

export interface TextFile {
  readonly file: string;
  readonly text: string;
}

/** The documents of a text that are faultless in shape, and every fault of the others. */
export function readDocuments(text: string, file: string): Parsed {
  const faults = new FaultList();
  const read = readText({ text, file }, faults);
  return { documents: read.flatMap(({ document }) => document ?? []), faults: faults.all() };
}

/**
 * Reads and checks several files as one bundle: every fault of shape and of meaning at once.
 * `documents` is empty where an error was found. `beforeCheck` may replace documents (read in lists).
 */
export function readAndCheck(
  files: readonly TextFile[],
  beforeCheck: (document: PolicyDocument) => PolicyDocument = (document) => document,
): Checked {
  const faults = new FaultList();
  const read = files.flatMap((one) => readText(one, faults));
  const likely = read.flatMap(({ document, mended }) => document ?? mended ?? []).map(beforeCheck);
  const isWhole = read.every(({ document, mended }) => document !== null || mended !== null);
  for (const fault of checkDocuments(likely, { isWhole })) faults.add(fault);
  return { documents: faults.hasErrors ? [] : likely, faults: faults.all(), isWhole };
}

export interface Checked extends Parsed {
  /** False where the form of a document is wrong: what it means was not looked at, and more may be wrong. */
  readonly isWhole: boolean;
}

interface Entry {
  readonly document: PolicyDocument | null;
  /** What the document would be without the keys that are not known: good for finding more faults, for nothing else. */
  readonly mended: PolicyDocument | null;
}

function readText({ text, file }: TextFile, faults: FaultList): readonly Entry[] {
  const textFault = (message: string, line = 1, column = 1): readonly Entry[] => {
    faults.add({ severity: 'error', file, line, column, path: '', message });
    return [{ document: null, mended: null }];
  };
  if (text.length > textLengthMax) return textFault(`is longer than ${textLengthMax} characters`);
  if (text.length > yamlLengthMax) return readLongJson({ text, file }, faults);
  const outside = findOutOfBounds(text);
  if (outside !== null) return textFault(outside.message, ...placeIn(text, outside.offset));
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, {
    version: '1.2',
    schema: 'core',
    resolveKnownTags: false,
    uniqueKeys: true,
    stringKeys: true,
    strict: true,
    prettyErrors: false,
    logLevel: 'silent',
    lineCounter: lines,
  });
  const yaml = [...parsed].filter((one) => !isNothing(one.contents) || one.errors.length > 0);
  if (yaml.length === 0) return textFault('holds no document');
  if (yaml.length > documentsMax) return textFault(`holds more than ${documentsMax} documents`);
  return yaml.map((one) =>
    readOne(one as Document<Node>, sourceIn(one as Document<Node>, file, lines), faults),
  );
}

/** A text that is too long for YAML: one document of strict JSON, whose faults have a path and the place 1:1. */
function readLongJson({ text, file }: TextFile, faults: FaultList): readonly Entry[] {
  const start = { line: 1, column: 1 };
  const source: Source = { file, locate: () => start };
  try {
    const value = parseJson(new TextEncoder().encode(text), { bytesMax: 3 * textLengthMax });
    const parsed = parseDocument(value);
    if (!isFaulty(parsed)) {
      rememberSource(parsed, source);
      return [{ document: parsed, mended: null }];
    }
    const place = {};
    rememberSource(place, source);
    for (const { path, what, message } of parsed) {
      faults.addAt({ document: place, index: 0, path, what }, message);
    }
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const [line, column] = placeIn(text, error.offset);
    const message = `is longer than ${yamlLengthMax} characters, which only JSON may be; as JSON: ${error.message}`;
    faults.add({ severity: 'error', file, line, column, path: '', message });
  }
  return [{ document: null, mended: null }];
}

function placeIn(text: string, offset: number): readonly [line: number, column: number] {
  const before = text.slice(0, offset);
  return [before.split('\n').length, offset - before.lastIndexOf('\n')];
}

/** Between two `---` there may be nothing but comments. A written `null` is something. */
const isNothing = (contents: unknown) =>
  contents === null || (isScalar(contents) && contents.value === null && !contents.source);

function readOne(yaml: Document<Node>, source: YamlSource, faults: FaultList): Entry {
  const nothing: Entry = { document: null, mended: null };
  const place: object = {};
  rememberSource(place, source);
  if (!addSyntaxFaults(yaml, source, faults)) return nothing;
  const value = plainValue(yaml, source, faults);
  if (value === undefined) return nothing;
  const parsed = parseDocument(value);
  if (!isFaulty(parsed)) {
    rememberSource(parsed, source);
    return yaml.errors.length + yaml.warnings.length === 0
      ? { document: parsed, mended: null }
      : { document: null, mended: parsed };
  }
  for (const { path, what, message } of parsed) {
    faults.addAt({ document: place, index: 0, path, what }, message);
  }
  const mended = mend(value, parsed);
  if (mended !== null) rememberSource(mended, source);
  return { document: null, mended };
}

const isFaulty = (parsed: PolicyDocument | readonly ShapeFault[]): parsed is readonly ShapeFault[] =>
  Array.isArray(parsed);

/** Reports what YAML itself finds. False where the value cannot be trusted to be what was meant. */
function addSyntaxFaults(yaml: Document<Node>, source: YamlSource, faults: FaultList): boolean {
  const add = (offset: number, message: string) => faults.add(source.faultAt(offset, message));
  const found = [...yaml.errors, ...yaml.warnings];
  for (const { pos, code, message } of found.slice(0, syntaxFaultsMax)) {
    add(pos[0], yamlSentence(code, message));
  }
  const more = found.length - syntaxFaultsMax;
  if (more > 0) add(found.at(syntaxFaultsMax)?.pos[0] ?? 0, `and ${more} more faults from here on`);
  if (yaml.directives?.yaml.version !== '1.2') {
    add(yaml.range?.[0] ?? 0, 'is not YAML 1.2');
    return false;
  }
  return yaml.errors.every((error) => error.code === 'DUPLICATE_KEY');
}

function yamlSentence(code: string, message: string): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return 'is there twice';
    case 'NON_STRING_KEY':
      return 'a key has to be text';
    case 'TAG_RESOLVE_FAILED':
      return `tags are not allowed (${message.replace(/^.*: /, '')})`;
    case 'RESOURCE_EXHAUSTION':
      return 'is nested too deep';
    default:
      return message.replaceAll(/\s+/g, ' ').slice(0, 200);
  }
}

/** The value, or undefined where aliases would make it grow without measure. */
function plainValue(yaml: Document<Node>, source: YamlSource, faults: FaultList): unknown {
  try {
    return yaml.toJS({ maxAliasCount: aliasesMax });
  } catch (error) {
    // The library throws ReferenceError for aliases and RangeError when nesting exhausts the stack.
    if (!(error instanceof ReferenceError) && !(error instanceof RangeError)) throw error;
    const message = error instanceof ReferenceError ? 'uses too many aliases' : 'is nested too deep';
    faults.add(source.faultAt(yaml.range?.[0] ?? 0, message));
    return undefined;
  }
}

/** The document without its unknown keys, where that is all that is wrong with it. */
function mend(value: unknown, wrong: readonly ShapeFault[]): PolicyDocument | null {
  if (!wrong.every(({ what, message }) => what === 'key' && message === 'is not known here')) return null;
  const copy: unknown = structuredClone(value);
  for (const { path } of wrong) {
    const holder = path
      .slice(0, -1)
      .reduce<unknown>((at, part) => (at as Record<string, unknown>)?.[part], copy);
    if (typeof holder === 'object' && holder !== null)
      delete (holder as Record<string, unknown>)[String(path.at(-1))];
  }
  const parsed = parseDocument(copy);
  return isFaulty(parsed) ? null : parsed;
}

interface YamlSource extends Source {
  faultAt(offset: number, message: string): Fault;
}

function sourceIn(yaml: Document<Node>, file: string, lines: LineCounter): YamlSource {
  const positionOf = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  return {
    file,
    locate: (path, what) => positionOf(offsetOf(yaml, path, what)),
    faultAt: (offset, message) => ({
      severity: 'error',
      file,
      ...positionOf(offset),
      path: formatPath(pathAt(yaml, offset)),
      message,
    }),
  };
}

/** Where the value at a path starts, or its key; where there is none, what is around it. */
function offsetOf(yaml: Document<Node>, path: Path, what: 'key' | 'value'): number {
  let node: unknown = yaml.contents;
  let offset = yaml.contents?.range?.[0] ?? 0;
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(yaml);
    if (isMap(node)) {
      const pair = node.items.find((one) => keyText(one.key) === String(part));
      if (pair === undefined) return offset;
      offset = startOf(pair.key) ?? offset;
      const wantsKey = what === 'key' && depth === path.length - 1;
      if (!wantsKey) offset = startOf(pair.value) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part];
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

const keyText = (key: unknown) => String((key as { value?: unknown } | null)?.value ?? key);
const startOf = (node: unknown): number | undefined => (node as Node | null)?.range?.[0];

/** The path of the innermost value whose text holds an offset. */
function pathAt(yaml: Document<Node>, offset: number): Path {
  let found: Path = [];
  const within = (from: unknown, to: unknown) => {
    const start = (from as Node | null)?.range?.[0];
    const end = ((to ?? from) as Node | null)?.range?.[2];
    return start !== undefined && end !== undefined && start <= offset && offset < Math.max(end, start + 1);
  };
  // From the outside in; each thing that holds the offset is one step of the way to it.
  visit(yaml, {
    Pair: (_, pair) => {
      if (within(pair.key, pair.value)) found = [...found, keyText(pair.key)];
    },
    Node: (key, node) => {
      if (!within(node, node)) return visit.SKIP;
      if (typeof key === 'number') found = [...found, key];
      return undefined;
    },
  });
  return found;
}
