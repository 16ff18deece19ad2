// Places at a listener where nobody is known yet: so many for each network, and each for a while.
//
// Places of all together are the listener's own bound. Without these two anybody who reaches it could hold
// all of them for ever, at the price of idle sockets.

import type { Socket } from 'node:net';

export interface PlaceLimits {
  readonly perNetworkMax: number;
  readonly msMax: number;
}

/** Groups of 16 bits that name a network: whoever has one IPv6 address has the other 2^64 as well. */
const networkGroups = 4;

export class Places {
  readonly #limits: PlaceLimits;
  readonly #onLate: () => void;
  /** No more entries than connections. */
  readonly #held = new Map<string, number>();

  constructor(limits: PlaceLimits, onLate: () => void) {
    this.#limits = limits;
    this.#onLate = onLate;
  }

  /** Gives the connection a place until it closes, and ends it when its time is over; false where none is left. */
  take(socket: Socket): boolean {
    const network = networkOf(socket.remoteAddress ?? '');
    const held = this.#held.get(network) ?? 0;
    if (held >= this.#limits.perNetworkMax) return false;
    this.#held.set(network, held + 1);
    const late = setTimeout(() => {
      this.#onLate();
      socket.destroy();
    }, this.#limits.msMax);
    late.unref();
    socket.once('close', () => {
      clearTimeout(late);
      this.#giveBack(network);
    });
    return true;
  }

  #giveBack(network: string): void {
    const left = (this.#held.get(network) ?? 0) - 1;
    if (left > 0) this.#held.set(network, left);
    else this.#held.delete(network);
  }
}

/** The IPv4 address, also where it is mapped into IPv6; of an IPv6 address its /64. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  // What `::` stands for reaches the end of the /64, unless the groups after it begin before that.
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  while (groups.length + after.length < 8) groups.push('0');
  return `${[...groups, ...after].slice(0, networkGroups).join(':')}::/64`;
}
