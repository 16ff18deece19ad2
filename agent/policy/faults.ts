// What is wrong with a document, and where: every fault at once, each with its place.
//
// A document that was read from a text remembers where its parts stood there (`rememberSource`), so that
// a check of the values alone can still say line and column. Without a text the path has to do.

export type Path = readonly (string | number)[];

export interface Fault {
  /** A warning is said and does not refuse. */
  readonly severity: 'error' | 'warning';
  /** Empty without a text. */
  readonly file: string;
  /** From 1; 0 without a text. */
  readonly line: number;
  readonly column: number;
  /** Inside the document, as in `spec.ingress[0].rules[2].ports`; without a text it starts with `documents[3]`. */
  readonly path: string;
  readonly message: string;
}

/** More are counted and not listed: a hostile document may have a million. */
const faultsMax = 1000;

/** Where a document was read from. */
export interface Source {
  readonly file: string;
  /** The place of a value, or of its key; of what is around it where it is not there. */
  locate(path: Path, what: 'key' | 'value'): { readonly line: number; readonly column: number };
}

// By identity, and gone with the document: what the documents say does not depend on it.
const sources = new WeakMap<object, Source>();

export const rememberSource = (document: object, source: Source): void => void sources.set(document, source);
export const sourceOf = (document: object): Source | undefined => sources.get(document);

export interface FaultPlace {
  /** The document, by identity, and its index among those at hand. */
  readonly document: object;
  readonly index: number;
  readonly path: Path;
  readonly what?: 'key' | 'value';
}

/** Gathers faults up to the limit and counts the rest. */
export class FaultList {
  readonly #faults: Fault[] = [];
  #more = 0;

  /** Whether something was found that refuses. */
  hasErrors = false;

  add(fault: Fault): void {
    if (fault.severity === 'error') this.hasErrors = true;
    if (this.#faults.length < faultsMax) this.#faults.push(fault);
    else this.#more++;
  }

  addAt(place: FaultPlace, message: string, severity: Fault['severity'] = 'error'): void {
    const source = sourceOf(place.document);
    const path = source === undefined ? ['documents', place.index, ...place.path] : place.path;
    const { line, column } = source?.locate(place.path, place.what ?? 'value') ?? { line: 0, column: 0 };
    this.add({ severity, file: source?.file ?? '', line, column, path: formatPath(path), message });
  }

  /** In the order of the text. */
  all(): readonly Fault[] {
    const sorted = this.#faults.toSorted(
      (a, b) => compareText(a.file, b.file) || a.line - b.line || a.column - b.column,
    );
    if (this.#more === 0) return sorted;
    const message = `and ${this.#more} more faults that are not listed`;
    return [...sorted, { severity: 'error', file: '', line: 0, column: 0, path: '', message }];
  }
}

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** `spec.ingress[0].rules`; keys that would mislead are quoted. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    if (!/^[A-Za-z0-9_-]+$/.test(part)) return `${text}[${JSON.stringify(part)}]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');
}

/** `file:line:column: path: message`, as editors and terminals know to follow it. */
export function formatFault(fault: Fault): string {
  const place = fault.line > 0 ? `${fault.file}:${fault.line}:${fault.column}` : fault.file;
  const severity = fault.severity === 'warning' ? 'warning' : '';
  const message = [fault.path, severity, fault.message].filter((part) => part !== '').join(': ');
  return printable(place === '' ? message : `${place}: ${message}`);
}

/** One line a fault. */
export const formatFaults = (faults: readonly Fault[]): string => faults.map(formatFault).join('\n');

/** Text of a document may reach a terminal here: characters that control one are shown, not obeyed. */
const printable = (text: string) =>
  text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
