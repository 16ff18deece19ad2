// Policy files of an operator: read, lists beside them read in, checked together; every fault with its place.
//
// An AddressSet may name a file (`spec.file`, relative to its document): one entry a line, `#` comments,
// what follows the entry on its line is ignored (lists come with counts), .gz too. It is read in here, since
// what is signed has to be what the device enforces; the document then carries the addresses themselves.

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { bundleBytesMax } from '../../agent/contract/limits.ts';
import type { AddressSet, PolicyDocument } from '../../agent/contract/policy.ts';
import { rangeWords, readRange } from '../../agent/policy/addresses.ts';
import { checkFit } from '../../agent/policy/check-fit.ts';
import { type Fault, rememberSource, sourceOf } from '../../agent/policy/faults.ts';
import { readAndCheck, type TextFile } from '../../agent/policy/read.ts';

export interface PolicyFiles {
  /** Empty where an error was found. */
  readonly documents: readonly PolicyDocument[];
  readonly faults: readonly Fault[];
}

/** Faults in one list that are said one by one. */
const listFaultsMax = 20;

export function readPolicyFiles(paths: readonly string[]): PolicyFiles {
  const faults: Fault[] = [];
  const texts: TextFile[] = [];
  for (const path of paths) {
    const content = readText(path);
    if (typeof content === 'string') texts.push({ file: path, text: content });
    else faults.push(content);
  }
  const read = readAndCheck(texts, (document) => readInList(document, faults));
  const all = [...faults, ...read.faults];
  if (!all.every(isWarning)) return { documents: [], faults: all };
  const unfit = checkFit(read.documents);
  return { documents: unfit.every(isWarning) ? read.documents : [], faults: [...all, ...unfit] };
}

const isWarning = (fault: Fault) => fault.severity === 'warning';

/** The document with its list written out, where it names one. */
function readInList(document: PolicyDocument, faults: Fault[]): PolicyDocument {
  if (document.kind !== 'AddressSet' || document.spec.file === undefined) return document;
  if (document.spec.addresses !== undefined) return document;
  const source = sourceOf(document);
  const path = resolve(dirname(source?.file ?? ''), document.spec.file);
  const content = readText(path);
  const list = typeof content === 'string' ? entriesOf(path, content) : { addresses: [], faults: [content] };
  if (typeof content !== 'string' && source !== undefined) {
    // Said at the document that names it: the list itself is not there to point into.
    const place = source.locate(['spec', 'file'], 'value');
    faults.push({ ...content, file: source.file, ...place, path: 'spec.file' });
  } else {
    faults.push(...list.faults);
  }
  const writtenOut: AddressSet = { ...document, spec: { addresses: list.addresses } };
  if (source !== undefined) rememberSource(writtenOut, source);
  return writtenOut;
}

function entriesOf(
  path: string,
  content: string,
): { readonly addresses: readonly string[]; readonly faults: readonly Fault[] } {
  const addresses: string[] = [];
  const faults: Fault[] = [];
  let wrong = 0;
  const words = new Uint32Array(rangeWords);
  for (const [index, line] of content.split('\n').entries()) {
    const entry = /^\s*([^\s#]+)/.exec(line)?.[1];
    if (entry === undefined) continue;
    const range = readRange(entry, words);
    if (typeof range === 'number') {
      addresses.push(entry);
      continue;
    }
    wrong += 1;
    if (wrong > listFaultsMax) continue;
    const column = line.indexOf(entry) + 1;
    faults.push({ severity: 'error', file: path, line: index + 1, column, path: '', message: range });
  }
  if (wrong > listFaultsMax) {
    faults.push(fault(path, `and ${wrong - listFaultsMax} more entries that cannot be read`));
  }
  return { addresses, faults };
}

/** The file as text; a fault where it cannot be read. */
function readText(path: string): string | Fault {
  try {
    const raw = readFileSync(path);
    const bytes = path.endsWith('.gz') ? gunzipSync(raw, { maxOutputLength: bundleBytesMax }) : raw;
    if (bytes.length > bundleBytesMax) return fault(path, `is longer than ${bundleBytesMax} bytes`);
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    return fault(path, `cannot be read: ${(error as Error).message}`);
  }
}

function fault(file: string, message: string): Fault {
  return { severity: 'error', file, line: 0, column: 0, path: '', message };
}
