// What the sets of a bundle's documents hold: names and lists resolved to ranges.
//
// A resolver belongs to one array of documents and reads each list once, however many rules name it.
// The documents were checked (check.ts): what does not resolve here is a broken promise of the caller.

import type {
  Addition,
  AddressMatch,
  AddressSet,
  CallMatch,
  PacketPolicy,
  PolicyDocument,
} from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import { type AddressRanges, rangesOfList } from './ranges.ts';

export interface ResolvedSet {
  /** The same for two conditions that name the same set. */
  readonly key: string;
  /** `document/set` or `document/addressSet` for a set with a name; null for addresses written at the rule. */
  readonly name: string | null;
  /** All of it, additions as if none had ended. */
  readonly ranges: AddressRanges;
  /** Entries that are kept one by one, and not folded into a table; null: there are none such. */
  readonly single: SingleEntries | null;
  /** Whether everything but these is meant. */
  readonly not: boolean;
}

/** What of an AddressSet is kept apart from its list. */
export interface SingleEntries {
  /** The list without them. */
  readonly base: AddressRanges;
  readonly additions: readonly Addition[];
  /** Every entry is counted, those of the list too. */
  readonly countEntries: boolean;
}

export interface SetOptions {
  readonly nowMs?: number | null;
  readonly additions?: boolean;
}

export class SetResolver {
  readonly #addressSets: ReadonlyMap<string, AddressSet>;
  readonly #counts: (addition: Addition) => boolean;
  /** Lists that were read, or could not be. */
  readonly #ranges = new Map<string, AddressRanges | RefusalError>();
  /** Sets that are written as one entry, by it. */
  readonly #single = new Map<string, ResolvedSet>();

  /**
   * `nowMs`: since 1970, for additions that count no more; null where it is not known, and all of them count.
   * `additions: false` leaves them out.
   */
  constructor(documents: readonly PolicyDocument[], { nowMs = null, additions = true }: SetOptions = {}) {
    this.#counts = ({ until }) =>
      additions && (until === undefined || nowMs === null || Date.parse(until) > nowMs);
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
    return { key: `set ${name}`, name, ranges: this.#read(`set ${name}`, source), single: null, not: false };
  }

  #addressSet(name: string, addressSet: string): ResolvedSet {
    const spec = this.#addressSets.get(addressSet)?.spec;
    const addresses = spec?.addresses;
    if (spec === undefined || addresses === undefined) {
      throw new RefusalError(
        'policy.invalid',
        `${name}: there is no AddressSet ${addressSet} with addresses`,
      );
    }
    const key = `addressSet ${addressSet}`;
    const base = this.#read(key, addresses);
    const { countEntries = false } = spec;
    const additions = (spec.additions ?? []).filter(this.#counts);
    if (additions.length === 0 && !countEntries) return { key, name, ranges: base, single: null, not: false };
    const added = additions.map(({ address }) => address);
    const ranges = added.length === 0 ? base : this.#read(`${key} whole`, [...addresses, ...added]);
    return { key, name, ranges, single: { base, additions, countEntries }, not: false };
  }

  #written(entries: readonly string[], not: boolean): ResolvedSet {
    // Most rules name one prefix a side, many of them the same, and every reader of a rule asks.
    const [only] = not || entries.length !== 1 ? [] : entries;
    const before = only === undefined ? undefined : this.#single.get(only);
    if (before !== undefined) return before;
    const key = `written ${entries.join(' ')}`;
    const set = { key, name: null, ranges: this.#read(key, entries), single: null, not };
    if (only !== undefined) this.#single.set(only, set);
    return set;
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

const known = new WeakMap<readonly PolicyDocument[], WeakRef<SetResolver>>();

/**
 * A resolver without options for documents that nobody changes: checks, compiler and tries ask for the same sets one
 * after another, and each list is read once. Held weakly, as in `rangesOfList`.
 */
export function resolverOf(documents: readonly PolicyDocument[]): SetResolver {
  const before = known.get(documents)?.deref();
  if (before !== undefined) return before;
  const resolver = new SetResolver(documents);
  known.set(documents, new WeakRef(resolver));
  return resolver;
}

function readEntries(entries: readonly string[]): AddressRanges | RefusalError {
  let refusal: RefusalError | null = null;
  const ranges = rangesOfList(entries, (index, message) => {
    refusal ??= new RefusalError('policy.invalid', `"${entries[index]}" ${message}`);
  });
  return refusal ?? ranges;
}

/** Array.isArray does not narrow readonly arrays. */
export const isList = (value: unknown): value is readonly string[] => Array.isArray(value);
