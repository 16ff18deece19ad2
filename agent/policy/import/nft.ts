// `nft -j list ruleset`: tables, chains, sets, maps and rules, in the form of libnftables-json(5).
//
// Chains of type filter on the hooks input, forward and output are read, of families ip, ip6 and inet; every rule
// that packets come to by another chain is reported. Where several chains hang on a hook, those of lower priority come first.

import { JsonError, parseJson } from '../../contract/json.ts';
import { documentsOf, type ImportOptions } from './documents.ts';
import { textBytesMax } from './iptables.ts';
import { elementsOf, type NamedValues, readNftRule } from './nft-rule.ts';
import { type Effect, ImportError, type Imported, type ImportFile, type Origin, Report } from './report.ts';
import { type Base, type Hook, hooks, type Step } from './ruleset.ts';

const objectsMax = 100_000;
const depthMax = 48;

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws ImportError where the text is no such listing, or too large. */
export function importNft(file: ImportFile, options: ImportOptions = {}): Imported {
  const report = new Report();
  const reader = new ListingReader(file.file, report);
  for (const object of objectsOf(file)) reader.take(object);
  if (reader.isEmpty) throw new ImportError(`${file.file}: there is no rule and no chain in it`);
  const whole: Origin = { file: file.file, line: 0, text: '', name: 'whole listing' };
  return documentsOf(reader.ruleset(), options, report, whole);
}

function objectsOf({ file, text }: ImportFile): readonly Json[] {
  let listing: unknown;
  try {
    listing = parseJson(new TextEncoder().encode(text), { bytesMax: textBytesMax, depthMax });
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const before = text.slice(0, error.offset).split('\n');
    const place = `${file}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
    throw new ImportError(`${place}: is not the JSON of "nft -j list ruleset": ${error.message}`, {
      cause: error,
    });
  }
  const objects = isObject(listing) ? listing.nftables : null;
  if (!Array.isArray(objects))
    throw new ImportError(`${file}: has no "nftables": is it of "nft -j list ruleset"?`);
  if (objects.length > objectsMax) throw new ImportError(`${file}: more than ${objectsMax} objects`);
  return objects.filter(isObject);
}

interface Chain {
  readonly key: string;
  readonly family: string;
  readonly hook: string | null;
  readonly type: string;
  readonly priority: number;
  readonly policy: string;
  readonly origin: Origin;
}

interface Rule {
  readonly origin: Origin;
  readonly table: string;
  readonly expressions: readonly unknown[];
}

class ListingReader {
  readonly #file: string;
  readonly #report: Report;
  readonly #chains = new Map<string, Chain>();
  readonly #rules = new Map<string, Rule[]>();
  readonly #sets = new Map<string, NamedValues>();
  readonly #documents = new Set<string>();

  constructor(file: string, report: Report) {
    this.#file = file;
    this.#report = report;
  }

  get isEmpty(): boolean {
    return this.#chains.size === 0 && this.#rules.size === 0;
  }

  take(object: Json): void {
    const { chain, rule, set, map } = object;
    if (isObject(chain)) this.#takeChain(chain);
    else if (isObject(rule)) this.#takeRule(rule);
    else if (isObject(set)) this.#takeSet(set);
    else if (isObject(map)) this.#takeSet(map);
  }

  #takeChain(chain: Json): void {
    const key = keyOf(chain.family, chain.table, chain.name);
    this.#chains.set(key, {
      key,
      family: String(chain.family),
      hook: typeof chain.hook === 'string' ? chain.hook : null,
      type: String(chain.type),
      priority: typeof chain.prio === 'number' ? chain.prio : 0,
      policy: String(chain.policy ?? 'accept'),
      origin: {
        file: this.#file,
        line: 0,
        text: `chain ${key}, policy ${String(chain.policy ?? 'accept')}`,
        name: `${String(chain.name)}-policy`,
      },
    });
  }

  #takeRule(rule: Json): void {
    const key = keyOf(rule.family, rule.table, rule.chain);
    const expressions = Array.isArray(rule.expr) ? rule.expr : [];
    const comment = typeof rule.comment === 'string' ? ` "${rule.comment}"` : '';
    const rules = this.#rules.get(key) ?? [];
    // A listing made by hand, or by a program that is not nft, may have no handles.
    const [place, name] =
      typeof rule.handle === 'number'
        ? [`handle ${rule.handle}`, `h${rule.handle}`]
        : [`rule ${rules.length + 1}`, `r${rules.length + 1}`];
    const text = `${key} ${place}${comment}: ${JSON.stringify(expressions)}`;
    const origin = { file: this.#file, line: 0, text, name: `${String(rule.chain)}-${name}` };
    rules.push({ origin, table: `${String(rule.family)} ${String(rule.table)}`, expressions });
    this.#rules.set(key, rules);
  }

  #takeSet(set: Json): void {
    const name = String(set.name);
    const flags = Array.isArray(set.flags) ? set.flags : [set.flags];
    const isLive = flags.includes('timeout') || flags.includes('dynamic') || set.timeout !== undefined;
    const elements = Array.isArray(set.elem) ? set.elem : [];
    // Pairs of a map are taken apart where they are used.
    const values = isLive
      ? 'its elements come and go'
      : set.map === undefined
        ? elementsOf(elements)
        : elements;
    this.#sets.set(keyOf(set.family, set.table, name), {
      values: typeof values === 'string' ? null : values,
      reason: typeof values === 'string' ? `set @${name}: ${values}` : '',
      document: this.#documentName(name),
    });
  }

  #documentName(name: string): string {
    const plain = name
      .toLowerCase()
      .replace(/[^a-z0-9.-]/g, '-')
      .replace(/^[^a-z0-9]+/, '')
      .slice(0, 55);
    const base = plain === '' ? 'set' : plain;
    let unique = base;
    for (let count = 2; this.#documents.has(unique); count++) unique = `${base}-${count}`;
    this.#documents.add(unique);
    return unique;
  }

  ruleset(): { readonly chains: ReadonlyMap<string, readonly Step[]>; readonly bases: readonly Base[] } {
    const bases = [...this.#chains.values()].filter(isJudged).toSorted((a, b) => a.priority - b.priority);
    const chains = new Map<string, readonly Step[]>();
    // Chains are read as they are reached, so that what nothing here leads to can be reported as such.
    const waiting = bases.map(({ key }) => key);
    for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
      if (chains.has(key)) continue;
      const steps = (this.#rules.get(key) ?? []).flatMap((rule) => this.#steps(rule));
      chains.set(key, steps);
      for (const { does } of steps)
        if (does.kind === 'jump' || does.kind === 'goto') waiting.push(does.chain);
    }
    this.#tellOfOthers(chains);
    return { chains, bases: bases.map(baseOf) };
  }

  #steps({ origin, table, expressions }: Rule): readonly Step[] {
    return readNftRule(expressions, {
      origin,
      report: this.#report,
      named: (name) => this.#sets.get(`${table} ${name}`),
      keyOf: (chain) => `${table} ${chain}`,
    });
  }

  /** Chains that no packet comes to by a hook that is judged. */
  #tellOfOthers(read: ReadonlyMap<string, unknown>): void {
    for (const chain of this.#chains.values()) {
      if (read.has(chain.key) || chain.hook === null) continue;
      const [reason, effect] = whyNot(chain);
      if (chain.policy === 'drop')
        this.#report.add(chain.origin, reason, 'wider', ['everything that this chain dropped by its policy']);
      for (const key of this.#reachableFrom(chain.key)) {
        if (read.has(key)) continue;
        for (const rule of this.#rules.get(key) ?? []) this.#leaveOut(rule, reason, effect);
      }
    }
    for (const [key, rules] of this.#rules) {
      if (read.has(key) || this.#chains.has(key)) continue;
      for (const rule of rules) this.#leaveOut(rule, 'the listing does not have the chain of it', 'differs');
    }
  }

  #leaveOut({ origin, expressions }: Rule, reason: string, effect: Effect): void {
    const isDrop = expressions.some(
      (one) => isObject(one) && ('drop' in one || 'reject' in one || 'vmap' in one),
    );
    if (isDrop) this.#report.add(origin, reason, 'wider', ['what this rule dropped']);
    else this.#report.add(origin, reason, effect);
  }

  #reachableFrom(start: string): ReadonlySet<string> {
    const seen = new Set<string>();
    const waiting = [start];
    for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
      if (seen.has(key)) continue;
      seen.add(key);
      for (const { table, expressions } of this.#rules.get(key) ?? []) {
        const text = JSON.stringify(expressions);
        for (const [, target] of text.matchAll(/"target":"([^"\\]{1,255})"/g))
          waiting.push(`${table} ${target}`);
      }
    }
    return seen;
  }
}

const keyOf = (family: unknown, table: unknown, name: unknown) =>
  `${String(family)} ${String(table)} ${String(name)}`;

const families: Readonly<Record<string, 4 | 6 | null>> = { ip: 4, ip6: 6, inet: null };
const isJudged = ({ family, hook, type }: Chain) =>
  Object.hasOwn(families, family) && type === 'filter' && hooks.some((one) => one === hook);

const baseOf = ({ family, hook, key, policy, origin }: Chain): Base => ({
  hook: hook as Hook,
  family: families[family] ?? null,
  chain: key,
  policy: policy === 'drop' ? 'drop' : 'accept',
  origin,
});

function whyNot({ family, hook, type }: Chain): readonly [string, Effect] {
  if (!Object.hasOwn(families, family))
    return [`chains of family ${family} are not carried over and stay as they are`, 'none'];
  if (type === 'nat')
    return [
      'translation is not carried over and stays as it is: packets are judged with the addresses that they have on the wire, coming in before translation and going out after it',
      'differs',
    ];
  return [`a chain of type ${type} on hook ${hook} is not carried over and stays as it is`, 'none'];
}
