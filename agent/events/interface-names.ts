// Names of interfaces by their numbers, as far as they are or were known.
//
// Interfaces come and go; an event about one that has just gone is still told with its name. Numbers are
// given anew only after a long time, and a number that is given again has its new name at the next look.

import type { Clock } from '../os/clock.ts';

export interface InterfaceOf {
  readonly name: string;
  readonly index: number;
}

const lookEveryMs = 1000;
/** Names of the gone that are kept: a router's ppp links in a bad night. */
const namesMax = 1024;

export class InterfaceNames {
  readonly #list: () => readonly InterfaceOf[];
  readonly #clock: Clock;
  readonly #names = new Map<number, string>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(list: () => readonly InterfaceOf[], clock: Clock) {
    this.#list = list;
    this.#clock = clock;
  }

  nameOf(ifindex: number): string | null {
    this.#look();
    return this.#names.get(ifindex) ?? null;
  }

  #look(): void {
    const nowMs = this.#clock.bootMs();
    if (nowMs - this.#lookedMs < lookEveryMs) return;
    this.#lookedMs = nowMs;
    for (const { index, name } of this.#list()) {
      // Last in the map is last seen.
      this.#names.delete(index);
      this.#names.set(index, name);
    }
    for (const oldest of this.#names.keys()) {
      if (this.#names.size <= namesMax) break;
      this.#names.delete(oldest);
    }
  }
}
