// Interfaces of a ruleset as zones of a policy.
//
// A rule can narrow its zone by `interface`, with globs as in the ruleset: one zone with all interfaces is enough,
// and exact. Only where a forwarded packet came in has to be said by a zone (`origin`): if rules of FORWARD ask for
// both ways, the interfaces they ask for by name get zones of their own, and the others a rest zone.
//
// An interface is in one zone at the most, and globs have no word for "all others". A rest zone is therefore made
// of the names the device is said to have, or, where nobody said, of globs that come close: first letters and
// usual names, without those that are taken. What no glob reaches is in no zone, and that is reported.

import { globsOverlap } from '../globs.ts';
import { globCovers, type InterfaceTerm } from './box.ts';
import { ImportError } from './report.ts';

export interface Zoned {
  readonly name: string;
  readonly globs: readonly string[];
}

export interface Zoning {
  readonly zones: readonly Zoned[];
  /** Pattern of a rule → the zones it means; only of patterns that were asked for. */
  readonly zonesOf: ReadonlyMap<string, readonly string[]>;
  /** Whether every interface is in a zone. */
  readonly isWhole: boolean;
}

/** What a zone may list (../packet-schema.ts). */
const globsMax = 64;

/** One zone with everything. `known`: the names the device has, or null. */
export function oneZone(known: readonly string[] | null): Zoning {
  if (known !== null && known.length > globsMax) throw tooManyInterfaces();
  return { zones: [{ name: 'all', globs: known ?? ['*'] }], zonesOf: new Map(), isWhole: true };
}

/** A zone for each pattern, and one for the rest. */
export function severalZones(patterns: readonly string[], known: readonly string[] | null): Zoning {
  // Names before globs, and narrow globs before wide ones: what is inside another is taken out of it.
  const sorted = [...new Set(patterns)].toSorted((a, b) => width(a) - width(b) || (a < b ? -1 : 1));
  const zones = known === null ? openZones(sorted) : knownZones(sorted, known);
  const filled = zones.filter(({ globs }) => globs.length > 0);
  if (filled.some(({ globs }) => globs.length > globsMax)) throw tooManyInterfaces();
  const zonesOf = new Map(
    sorted.map((pattern) => [
      pattern,
      filled.flatMap(({ name, pattern: own }) => (own !== null && globCovers(pattern, own) ? [name] : [])),
    ]),
  );
  return { zones: filled, zonesOf, isWhole: known !== null };
}

interface Patterned extends Zoned {
  readonly pattern: string | null;
}

const width = (glob: string) => (/[*?]/.test(glob) ? 100 - glob.length : 0);
const tooManyInterfaces = () =>
  new ImportError(`a zone takes ${globsMax} interfaces; name fewer, or by globs`);

function knownZones(patterns: readonly string[], known: readonly string[]): readonly Patterned[] {
  const names = zoneNames([...patterns, null]);
  const byPattern = new Map<string | null, string[]>([...patterns, null].map((pattern) => [pattern, []]));
  for (const glob of known) {
    const pattern = patterns.find((one) => globCovers(one, glob)) ?? null;
    const clash = patterns.find((one) => !globCovers(one, glob) && globsOverlap(one, glob));
    if (clash !== undefined)
      throw new ImportError(`interfaces "${glob}" are some of them "${clash}"; name each of them`);
    byPattern.get(pattern)?.push(glob);
  }
  return [...byPattern].map(([pattern, globs], index) => ({ pattern, globs, name: names[index] ?? 'rest' }));
}

function openZones(patterns: readonly string[]): readonly Patterned[] {
  const names = zoneNames([...patterns, null]);
  const zones = patterns.map((pattern, index) => {
    const narrower = patterns.slice(0, index).filter((one) => globCovers(pattern, one));
    return { pattern, name: names[index] ?? '', globs: without([pattern], narrower) };
  });
  const usual = [...usualNames.map((name) => `${name}*`), ...letters.map((letter) => `${letter}*`)];
  const rest = {
    pattern: null,
    name: names.at(-1) ?? 'rest',
    globs: without(usual, patterns).slice(0, globsMax),
  };
  return [...zones, rest];
}

const letters = Array.from('abcdefghijklmnopqrstuvwxyz');
/** How interfaces are usually called, for letters that are taken by others. */
const usualNames =
  'bond br can docker dsl dummy en eth gre ham ib ifb ip lan lte macvlan ppp sit sw tap team tun usb veth virbr vlan vmbr vnet vti vxlan wan wg wifi wl wlan ww xfrm zt'.split(
    ' ',
  );

/** Globs that fit no name of the patterns, and most of the names that were there without them. */
function without(globs: readonly string[], patterns: readonly string[]): readonly string[] {
  let left = [...globs];
  for (const pattern of patterns) {
    left = left.flatMap((glob) => (globsOverlap(glob, pattern) ? cut(glob, pattern) : [glob]));
  }
  const unique = [...new Set(left)].filter(
    (glob) => !patterns.some((pattern) => globsOverlap(glob, pattern)),
  );
  return unique.filter((glob) => !unique.some((other) => other !== glob && globCovers(other, glob)));
}

/** `br*` without `br-lan`: names of other lengths, and the numbers beside one that ends in a number. */
function cut(glob: string, pattern: string): readonly string[] {
  const stem = /^([^*?]*)\*$/.exec(glob)?.[1];
  const taken = pattern.replace(/\*$/, '');
  if (stem === undefined || /[*?]/.test(taken) || !taken.startsWith(stem)) return [];
  const shorter = Array.from({ length: taken.length - stem.length }, (_, more) => stem + '?'.repeat(more));
  const kept = shorter.filter((one) => one !== '');
  if (pattern !== taken) return kept;
  const digits = /\d$/.test(taken) ? Array.from('0123456789', (digit) => taken.slice(0, -1) + digit) : [];
  const longer = `${stem}${'?'.repeat(taken.length - stem.length + 1)}*`;
  return [...kept, ...(longer.length <= 15 ? [longer] : []), ...digits.filter((one) => one !== taken)];
}

function zoneNames(patterns: readonly (string | null)[]): readonly string[] {
  const seen = new Set<string>();
  return patterns.map((pattern) => {
    const plain = (pattern ?? 'rest')
      .replaceAll('*', '')
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^[^A-Za-z0-9]+/, '');
    let name = plain === '' || plain === 'device' ? `zone-${plain}`.replace(/-$/, '') : plain;
    for (let count = 2; seen.has(name); count++) name = `${plain}-${count}`;
    seen.add(name);
    return name;
  });
}

/** How a condition on interfaces stands in a rule of a zone. */
export type Narrowed =
  | { readonly kind: 'never' | 'always' }
  | { readonly kind: 'some'; readonly globs: readonly string[]; readonly not: boolean }
  /** No words for it. */
  | { readonly kind: 'inexpressible' };

/** Terms that all have to hold, of interfaces of a zone. */
export function narrow(terms: readonly InterfaceTerm[], zone: Zoned): Narrowed {
  const open = terms.filter((term) => !holdsThroughout(term, zone));
  if (open.some((term) => holdsNowhere(term, zone))) return { kind: 'never' };
  const wanted = open.filter(({ not }) => !not);
  const inZone = (globs: readonly string[]) =>
    globs.filter((glob) => zone.globs.some((one) => globsOverlap(glob, one)));
  const unwanted = [...new Set(inZone(open.filter(({ not }) => not).flatMap(({ globs }) => globs)))];
  if (wanted.length === 0) {
    if (unwanted.length === 0) return { kind: 'always' };
    return unwanted.length <= globsMax
      ? { kind: 'some', globs: unwanted, not: true }
      : { kind: 'inexpressible' };
  }
  let globs = inZone(wanted[0]?.globs ?? []);
  for (const { globs: others } of wanted.slice(1)) {
    const common: string[] = [];
    for (const glob of globs) {
      for (const other of others) {
        if (globCovers(other, glob)) common.push(glob);
        else if (globCovers(glob, other)) common.push(other);
        else if (globsOverlap(glob, other)) return { kind: 'inexpressible' };
      }
    }
    globs = [...new Set(common)];
  }
  globs = globs.filter((glob) => !unwanted.some((one) => globCovers(one, glob)));
  if (globs.some((glob) => unwanted.some((one) => globsOverlap(one, glob)))) {
    // A glob without some of its names: the names of the zone, where they are written out, say it.
    const named = zone.globs.filter((name) => !/[*?]/.test(name));
    if (named.length !== zone.globs.length) return { kind: 'inexpressible' };
    globs = named.filter((name) =>
      open.every((term) => term.globs.some((glob) => globCovers(glob, name)) !== term.not),
    );
  }
  if (globs.length === 0) return { kind: 'never' };
  return globs.length <= globsMax ? { kind: 'some', globs, not: false } : { kind: 'inexpressible' };
}

const holdsThroughout = ({ globs, not }: InterfaceTerm, zone: Zoned) =>
  not
    ? zone.globs.every((one) => !globs.some((glob) => globsOverlap(glob, one)))
    : zone.globs.every((one) => globs.some((glob) => globCovers(glob, one)));
const holdsNowhere = ({ globs, not }: InterfaceTerm, zone: Zoned) =>
  not
    ? zone.globs.every((one) => globs.some((glob) => globCovers(glob, one)))
    : zone.globs.every((one) => !globs.some((glob) => globsOverlap(glob, one)));
