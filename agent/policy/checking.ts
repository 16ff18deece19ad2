// What the checks of the several kinds of document have in common: where faults go, and values of both.

import type { DefaultName, PortMatch } from '../contract/policy.ts';
import type { Fault, Path } from './faults.ts';
import { portRanges } from './ports.ts';
import { rangesOfList } from './ranges.ts';
import type { SetResolver } from './sets.ts';

/** What a check of one document is given. */
export interface Checking {
  readonly sets: SetResolver;
  /** Names of the AddressSet documents; null where they are not all at hand. */
  readonly addressSets: ReadonlySet<string> | null;
  /** What some policy of the bundle denies by default. */
  readonly deniedByDefault: ReadonlySet<DefaultName>;
  /** Adds a fault of this document. */
  fault(path: Path, message: string, options?: FaultOptions): void;
}

export interface FaultOptions {
  readonly severity?: Fault['severity'];
  readonly what?: 'key' | 'value';
}

/** Each entry that is no address, prefix or range. */
export function checkEntries(entries: readonly string[], path: Path, fault: Checking['fault']): void {
  rangesOfList(entries, (index, message) => fault([...path, index], `"${entries[index]}" ${message}`));
}

/** An entry that does not stand in a list. */
export function checkEntry(entry: string, path: Path, fault: Checking['fault']): void {
  checkEntries([entry], path, (_, message) => fault(path, message));
}

/** A reference to an AddressSet document. */
export function checkAddressSetName(name: string, path: Path, { addressSets, fault }: Checking): void {
  if (addressSets?.has(name) === false) fault(path, `there is no AddressSet "${name}" in the bundle`);
}

/** Ports of packets and of calls alike. */
export function checkPorts(match: PortMatch | undefined, path: Path, fault: Checking['fault']): void {
  if (match === undefined) return;
  portRanges(match, (index, message) => {
    const entry = index === null || !Array.isArray(match) ? match : match[index];
    fault(index === null ? path : [...path, index], `"${entry}" ${message}`);
  });
}

/** Numbers and ranges that are no ports: VLAN ids, lengths. `what`: one of them, as in `a VLAN id`. */
export function checkNumbers(
  match: PortMatch,
  path: Path,
  fault: Checking['fault'],
  { last, what }: { readonly last: number; readonly what: string },
): void {
  const several = Array.isArray(match);
  const entries: readonly (number | string)[] = several ? match : [match as number | string];
  entries.forEach((entry, index) => {
    const at = several ? [...path, index] : path;
    const parts = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(String(entry));
    if (parts === null) {
      fault(at, `"${entry}" is not ${what} or a range of them`);
      return;
    }
    const [first, end] = [Number(parts[1]), Number(parts[2] ?? parts[1])];
    if (first > last || end > last) fault(at, `"${entry}" is beyond ${last}, the last that can be ${what}`);
    else if (first > end) {
      fault(at, `"${entry}" wraps: it ends before it starts; the other way round it is ${end}-${first}`);
    }
  });
}
