// The device's own addresses, as the map `own_addresses` has them (PACKETS.md §6).

import { HUSK_OWN_ADDRESSES_MAX } from '../../bpf/abi/layout.gen.ts';
import { bytesToWords, isIpv4, parseAddress, wordsToBytes } from './addresses.ts';
import type { DeviceInterface } from './device-view.ts';

export interface OwnAddresses {
  /** 16 bytes each, IPv4 as ::ffff:a.b.c.d; each once. */
  readonly keys: readonly Uint8Array[];
  /** How many found no room. */
  readonly beyond: number;
}

/** Networks of /31 and /32 have no broadcast address (RFC 3021). */
const broadcastLengthMax = 30;

/** `192.0.2.1`, `2001:db8::1/64`; throws RangeError with what is wrong. */
export function checkOwnAddress(text: string): void {
  const [address = '', length] = text.split('/', 2);
  const words = new Uint32Array(4);
  bytesToWords(parseAddress(address), words, 0);
  const most = isIpv4(words, 0) ? 32 : 128;
  if (length !== undefined && !(/^\d{1,3}$/.test(length) && Number(length) <= most))
    throw new RangeError(`"${text}" has no prefix length from 0 to ${most}`);
}

/** Those of all interfaces, and the broadcast addresses of their IPv4 networks. */
export function ownAddresses(interfaces: readonly Pick<DeviceInterface, 'addresses'>[]): OwnAddresses {
  const keys = new Map<string, Uint8Array>();
  for (const text of interfaces.flatMap(({ addresses }) => addresses)) {
    const [address = '', length = ''] = text.split('/');
    const words = new Uint32Array(4);
    bytesToWords(parseAddress(address), words, 0);
    add(keys, words);
    if (address.includes(':') || length === '' || Number(length) > broadcastLengthMax) continue;
    words[3] = ((words[3] ?? 0) | (0xffffffff >>> Number(length))) >>> 0;
    add(keys, words);
  }
  const all = [...keys.values()];
  return {
    keys: all.slice(0, HUSK_OWN_ADDRESSES_MAX),
    beyond: Math.max(0, all.length - HUSK_OWN_ADDRESSES_MAX),
  };
}

function add(keys: Map<string, Uint8Array>, words: Uint32Array): void {
  keys.set(words.join(' '), wordsToBytes(words, 0));
}
