// Names of interfaces that no glob of some policies tells apart, one name for each kind.
//
// All globs are followed at once, one character after another, over the characters that they name and one that none
// of them does; what is reached with fifteen characters or fewer (IFNAMSIZ) is every combination there is.

import { ClassesTooManyError } from './diagram.ts';

const nameLengthMax = 15;
const loopback = 'lo';
const statesMax = 100_000;

export interface InterfaceClass {
  /** A name of this kind. */
  readonly name: string;
  /** Of the globs that were given, those that it fits. */
  readonly fits: ReadonlySet<string>;
}

/** Every kind of name save the loopback interface's, which is in no zone. Throws ClassesTooManyError. */
export function interfaceClasses(globs: readonly string[]): readonly InterfaceClass[] {
  // The loopback interface is told apart from all others, so that no kind is known by its name alone.
  const distinct = [...new Set([...globs, loopback])];
  const characters = new Set(distinct.join('').replaceAll(/[*?]/g, ''));
  const filler = [...'0123456789xyzvwabcdefg'].find((one) => !characters.has(one)) ?? '~';
  const alphabet = [...[...characters].filter(isNameCharacter), filler];
  const found = new Map<string, InterfaceClass>();
  let states = new Map([[distinct.map(() => '0').join(), { name: '', at: distinct.map(startOf) }]]);
  const seen = new Set<string>();
  for (let length = 0; length <= nameLengthMax && states.size > 0; length++) {
    const next: typeof states = new Map();
    for (const { name, at } of states.values()) {
      const fits = distinct.filter((glob, index) => (at[index] ?? []).includes(glob.length));
      const key = fits.join(' ');
      if (name !== '' && !fits.includes(loopback) && !found.has(key))
        found.set(key, { name, fits: new Set(fits) });
      for (const character of alphabet) {
        const reached = at.map((positions, index) => advance(distinct[index] ?? '', positions, character));
        const state = reached.map((positions) => positions.join('.')).join();
        if (seen.has(state)) continue;
        seen.add(state);
        next.set(state, { name: name + character, at: reached });
        if (seen.size > statesMax) {
          throw new ClassesTooManyError(
            'the globs of interfaces can be combined in more ways than can be gone through; name interfaces outright',
          );
        }
      }
    }
    states = next;
  }
  return [...found.values()].map((one) => ({ ...one, name: numbered(one, distinct) }));
}

const isNameCharacter = (character: string) => character !== '/' && !/\s/.test(character);

/** `wwan*` is rather called wwan0 than wwan. */
function numbered({ name, fits }: InterfaceClass, globs: readonly string[]): string {
  const longer = `${name}0`;
  if (/\d$/.test(name) || longer.length > nameLengthMax) return name;
  return globs.every((glob) => fitsGlob(glob, longer) === fits.has(glob)) ? longer : name;
}

function fitsGlob(glob: string, name: string): boolean {
  return [...name]
    .reduce((at, character) => advance(glob, at, character), startOf(glob))
    .includes(glob.length);
}

const startOf = (glob: string) => closure(glob, [0]);

/** Positions in the glob after one more character; a star may be passed over at any time. */
function advance(glob: string, positions: readonly number[], character: string): readonly number[] {
  const moved = positions.flatMap((at) => {
    const one = glob[at];
    if (one === '*') return [at];
    return one === '?' || one === character ? [at + 1] : [];
  });
  return closure(glob, moved);
}

function closure(glob: string, positions: readonly number[]): readonly number[] {
  const all = new Set(positions);
  for (const at of all) if (glob[at] === '*') all.add(at + 1);
  return [...all].sort((a, b) => a - b);
}
