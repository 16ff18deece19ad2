// The addresses of a device as the programs look them up, worked out by the page and not by the agent.

import { parseAddress } from '../../../agent/policy/addresses.ts';
import type { DeviceView } from '../../../agent/policy/device-view.ts';

/** PACKETS.md §6: those of all interfaces, and the broadcast addresses of IPv4 networks that have one; 16 bytes each. */
export function ownAddresses({ interfaces }: DeviceView): readonly Uint8Array[] {
  return interfaces
    .flatMap(({ addresses }) => addresses)
    .flatMap((text) => {
      const [address = '', length = '32'] = text.split('/');
      const bytes = parseAddress(address);
      if (address.includes(':') || Number(length) > 30) return [bytes];
      const broadcast = Uint8Array.from(bytes);
      const view = new DataView(broadcast.buffer);
      view.setUint32(12, (view.getUint32(12) | (0xffffffff >>> Number(length))) >>> 0);
      return [bytes, broadcast];
    });
}
