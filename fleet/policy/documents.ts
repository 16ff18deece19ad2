// Policy files of an operator: read, lists beside them read in, checked together; every fault with its place.
//
// An AddressSet may name a file (`spec.file`, relative to its document): the list that
// agent/policy/address-list.ts reads, plain or .gz. It is read in here, since what is signed has to be what
// the device enforces; the document then carries the addresses themselves.

import { dirname, resolve } from 'node:path';
import { bundleBytesMax } from '../../agent/contract/limits.ts';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { parseAddressList, withAddresses } from '../../agent/policy/address-list.ts';
import { shieldTestFaults } from '../../agent/policy/cases/shield-test.ts';
import { checkFit } from '../../agent/policy/check-fit.ts';
import { type Fault, sourceOf } from '../../agent/policy/faults.ts';
import { readAndCheck, type TextFile } from '../../agent/policy/read.ts';
import { FileError, readTextWithin } from './read-file.ts';

export interface PolicyFiles {
  /** Empty where an error was found. */
  readonly documents: readonly PolicyDocument[];
  readonly faults: readonly Fault[];
  /** False where the form of a document is wrong: what it means was not looked at, and more may be wrong. */
  readonly isWhole: boolean;
  /** What one generation's tables take of a device's kernel memory; null where an error was found. */
  readonly tableBytes: number | null;
  /** Rules and defaults that one generation counts. */
  readonly counted: number;
}

/** `tests: 'left'`: those that shields carry are left to the caller. */
export function readPolicyFiles(
  paths: readonly string[],
  { tests = 'run' }: { readonly tests?: 'run' | 'left' } = {},
): PolicyFiles {
  const faults: Fault[] = [];
  const texts: TextFile[] = [];
  for (const path of paths) {
    const content = readText(path);
    if (typeof content === 'string') texts.push({ file: path, text: content });
    else faults.push(content);
  }
  const read = readAndCheck(texts, (document) => readInList(document, faults));
  const all = [...faults, ...read.faults];
  if (!all.every(isWarning))
    return { documents: [], faults: all, isWhole: read.isWhole, tableBytes: null, counted: 0 };
  const { faults: unfit, tableBytes, counted } = checkFit(read.documents);
  // What is signed against an exploit stops it, or is not signed.
  const failed = tests === 'left' ? [] : shieldTestFaults(read.documents);
  const found = [...unfit, ...failed];
  const documents = found.every(isWarning) ? read.documents : [];
  return { documents, faults: [...all, ...found], isWhole: true, tableBytes, counted };
}

const isWarning = (fault: Fault) => fault.severity === 'warning';

/** The document with its list written out, where it names one. */
function readInList(document: PolicyDocument, faults: Fault[]): PolicyDocument {
  if (document.kind !== 'AddressSet' || document.spec.file === undefined) return document;
  if (document.spec.addresses !== undefined) return document;
  const source = sourceOf(document);
  const path = resolve(dirname(source?.file ?? ''), document.spec.file);
  const content = readText(path);
  const list =
    typeof content === 'string' ? parseAddressList(content, path) : { addresses: [], faults: [content] };
  if (typeof content !== 'string' && source !== undefined) {
    // Said at the document that names it: the list itself is not there to point into.
    const place = source.locate(['spec', 'file'], 'value');
    faults.push({ ...content, file: source.file, ...place, path: 'spec.file' });
  } else {
    faults.push(...list.faults);
  }
  return withAddresses(document, list.addresses);
}

/** The file as text; a fault where it cannot be read. */
function readText(path: string): string | Fault {
  try {
    return readTextWithin(path, bundleBytesMax);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    return fault(path, error.message);
  }
}

function fault(file: string, message: string): Fault {
  return { severity: 'error', file, line: 0, column: 0, path: '', message };
}
