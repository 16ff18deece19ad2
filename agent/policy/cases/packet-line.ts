// The beginning of a packet's line: where it is seen, and how it came there.
//
//   egress wan0 came-by lan0 at 3.5: ipv4 … => allow by p/out state new

import type { DeviceView } from '../device-view.ts';
import type { PacketAt } from '../judgement.ts';
import { frameFromText } from './frame-text.ts';

const line = /^(ingress|egress) (\S+)((?: (?:came-by|at|stripped) \S+)*): (.*) => (.*)$/;
const ethernetBytes = 14;

export interface PacketLine {
  readonly at: PacketAt;
  readonly verdict: string;
}

/** Packets after one that says `at` are at the same time, until another says it. */
export class PacketLines {
  readonly #device: DeviceView | null;
  #timeNs = 0n;

  constructor(device: DeviceView | null) {
    this.#device = device;
  }

  /** Throws Error with a sentence about what cannot be understood. */
  read(text: string): PacketLine {
    const parts = line.exec(text);
    if (parts === null) {
      throw new Error(
        'has to be DIRECTION INTERFACE [came-by IF] [at SECONDS] [stripped ID,…]: HEADERS => VERDICT',
      );
    }
    const [, direction, name = '', words = '', headers = '', verdict = ''] = parts;
    const said = new Map(
      [...words.matchAll(/ (\S+) (\S+)/g)].map(([, word = '', value = '']) => [word, value]),
    );
    const seconds = said.get('at');
    if (seconds !== undefined) this.#timeNs = nanoseconds(seconds);
    const stripped = said.get('stripped');
    const link = this.#device?.interfaces.find((one) => one.name === name)?.link;
    const frame = frameFromText(headers);
    return {
      at: {
        direction: direction === 'egress' ? 'egress' : 'ingress',
        interface: name,
        // Headers are written as on Ethernet; links without one begin with the IP header.
        frame: link === 'ip' ? frame.slice(ethernetBytes) : frame,
        ...(this.#timeNs === 0n ? {} : { timeNs: this.#timeNs }),
        ...(said.has('came-by') ? { cameBy: said.get('came-by') ?? null } : {}),
        ...(stripped === undefined ? {} : { strippedTags: stripped.split(',').map(Number) }),
      },
      verdict,
    };
  }
}

function nanoseconds(text: string): bigint {
  const parts = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text);
  if (parts === null) throw new Error(`"${text}" is no number of seconds`);
  return BigInt(parts[1] ?? 0) * 1_000_000_000n + BigInt((parts[2] ?? '').padEnd(9, '0'));
}
