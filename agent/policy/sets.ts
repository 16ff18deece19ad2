// What the sets of a bundle's documents hold: names and lists resolved to ranges.
//
// A resolver belongs to one array of documents and reads each list once, however many rules name it.
// The documents were checked (check.ts): what does not resolve here is a broken promise of the caller.

import type {
  AddressMatch,
  AddressSet,
  CallMatch,
  PacketPolicy,
  PolicyDocument,
} from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import { type AddressRanges, rangesFrom } from './ranges.ts';

export interface ResolvedSet {
  /** The same for two conditions that name the same set. */
  readonly key: string;
  /** `document/set` or `document/addressSet` for a set with a name; null for addresses written at the rule. */
  readonly name: string | null;
  readonly ranges: AddressRanges;
  /** Whether everything but these is meant. */
  readonly not: boolean;
}

export class SetResolver {
  readonly #addressSets: ReadonlyMap<string, AddressSet>;
  /** Lists that were read, or could not be. */
  readonly #ranges = new Map<string, AddressRanges | RefusalError>();

  constructor(documents: readonly PolicyDocument[]) {
    this.#addressSets = new Map(
      documents.flatMap((one) => (one.kind === 'AddressSet' ? [[one.metadata.name, one]] : [])),
    );
  }

  /** The condition `from` or `to` of a packet rule. */
  match(document: PacketPolicy, match: AddressMatch): ResolvedSet {
    if (typeof match === 'string') return this.#written([match], false);
    if (isList(match)) return this.#written(match, false);
    if ('set' in match) return { ...this.#named(document, match.set), not: match.not ?? false };
    return this.#written(typeof match.not === 'string' ? [match.not] : match.not, true);
  }

  /** The condition of a call rule; null where every address is meant. */
  callMatch(document: string, match: CallMatch): ResolvedSet | null {
    const source = match.to ?? match.except;
    if (source === undefined) return null;
    const not = match.except !== undefined;
    if (isList(source)) return this.#written(source, not);
    return { ...this.#addressSet(`${document}/${source.addressSet}`, source.addressSet), not };
  }

  #named(document: PacketPolicy, set: string): ResolvedSet {
    const name = `${document.metadata.name}/${set}`;
    const sets = document.spec.sets ?? {};
    const source = Object.hasOwn(sets, set) ? sets[set] : undefined;
    if (source === undefined) throw new RefusalError('policy.invalid', `${name}: there is no such set`);
    if (!isList(source)) return this.#addressSet(name, source.addressSet);
    return { key: `set ${name}`, name, ranges: this.#read(`set ${name}`, source), not: false };
  }

  #addressSet(name: string, addressSet: string): ResolvedSet {
    const addresses = this.#addressSets.get(addressSet)?.spec.addresses;
    if (addresses === undefined) {
      throw new RefusalError(
        'policy.invalid',
        `${name}: there is no AddressSet ${addressSet} with addresses`,
      );
    }
    const key = `addressSet ${addressSet}`;
    return { key, name, ranges: this.#read(key, addresses), not: false };
  }

  #written(entries: readonly string[], not: boolean): ResolvedSet {
    const key = `written ${entries.join(' ')}`;
    return { key, name: null, ranges: this.#read(key, entries), not };
  }

  #read(key: string, entries: readonly string[]): AddressRanges {
    let ranges = this.#ranges.get(key);
    if (ranges === undefined) {
      ranges = readEntries(entries);
      this.#ranges.set(key, ranges);
    }
    if (ranges instanceof RefusalError) throw ranges;
    return ranges;
  }
}

function readEntries(entries: readonly string[]): AddressRanges | RefusalError {
  let refusal: RefusalError | null = null;
  const ranges = rangesFrom(entries, (index, message) => {
    refusal ??= new RefusalError('policy.invalid', `"${entries[index]}" ${message}`);
  });
  return refusal ?? ranges;
}

/** Array.isArray does not narrow readonly arrays. */
export const isList = (value: unknown): value is readonly string[] => Array.isArray(value);
