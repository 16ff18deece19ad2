// The tables that follow the device's interfaces: who is in which zone, and what is left to whom.

import {
  encodeHuskDeferred,
  encodeHuskZone,
  HUSK_DEFERRED_MAX,
  HUSK_INTERFACES_MAX,
  HUSK_LINK_BARE,
  HUSK_LINK_ETHERNET,
  HUSK_NEVER_DROP_ARP,
  HUSK_NEVER_DROP_DHCP_CLIENT,
  HUSK_NEVER_DROP_DHCP_SERVER,
  HUSK_NEVER_DROP_NEIGHBOURS,
  HUSK_NEVER_DROP_REPLIES,
  HUSK_ZONE_AWAITS_IPV4,
  HUSK_ZONE_DEFERS_PPPOE,
  HUSK_ZONE_DEFERS_VLANS,
  HUSK_ZONE_LEFT_OUT,
  HuskDeferred,
  HuskTable,
  HuskZone,
} from '../../bpf/abi/layout.gen.ts';
import type { DeviceView } from './device-view.ts';
import { matchesGlob } from './globs.ts';
import type { Named } from './packet-conditions.ts';
import type { Table } from './table-image.ts';
import { hashTable, holdTo } from './tables.ts';
import { type DeferredVlan, type NeverDropItem, neverDropOn, type ZoneOf } from './zone-rows.ts';

export interface CompiledZone {
  /** `document/zone`. */
  readonly name: string;
  readonly interfaces: readonly string[];
  /** What is the same on every interface of it. */
  readonly row: Pick<
    HuskZone,
    | 'zone'
    | 'ingressDefaultRule'
    | 'egressDefaultRule'
    | 'ingressDefault'
    | 'ingressMode'
    | 'egressDefault'
    | 'egressMode'
    | 'synCookiesRule'
    | 'flags'
  >;
}

const neverDropBits: Readonly<Record<NeverDropItem, number>> = {
  arp: HUSK_NEVER_DROP_ARP,
  neighbourDiscovery: HUSK_NEVER_DROP_NEIGHBOURS,
  dhcpClient: HUSK_NEVER_DROP_DHCP_CLIENT,
  dhcpServer: HUSK_NEVER_DROP_DHCP_SERVER,
  replies: HUSK_NEVER_DROP_REPLIES,
};
const vlanPresent = 0x1000;

/** `conditions`: on names of interfaces; the index is the bit. */
export function zoneTable(
  placed: readonly ZoneOf<CompiledZone>[],
  { neverDrop }: DeviceView,
  conditions: readonly Named[],
): Table {
  const rows = placed.map((one) => {
    const { name, index, link } = one.interface;
    const items = neverDropOn(neverDrop, name);
    const value = new Uint8Array(HuskZone.size);
    encodeHuskZone(new DataView(value.buffer), 0, {
      ...one.zone.row,
      interfaceBits: bitsOf(conditions.map((condition) => holds(condition, name))),
      link: link === 'ip' ? HUSK_LINK_BARE : HUSK_LINK_ETHERNET,
      neverDrop: (Object.keys(neverDropBits) as NeverDropItem[]).reduce(
        (bits, item) => bits | (items[item] ? neverDropBits[item] : 0),
        0,
      ),
      flags:
        one.zone.row.flags |
        (one.defersVlans ? HUSK_ZONE_DEFERS_VLANS : 0) |
        (one.defersPppoe ? HUSK_ZONE_DEFERS_PPPOE : 0) |
        (one.leftOut === null ? 0 : HUSK_ZONE_LEFT_OUT) |
        (one.awaitsIpv4 ? HUSK_ZONE_AWAITS_IPV4 : 0),
    });
    return { key: word(index), value };
  });
  holdTo(HUSK_INTERFACES_MAX, rows.length, 'interfaces in zones');
  const sizes = { keySize: 4, valueSize: HuskZone.size, maxEntries: HUSK_INTERFACES_MAX };
  return hashTable(HuskTable.ZONES, sizes, rows);
}

export function deferredTable(deferred: readonly DeferredVlan[]): Table {
  holdTo(HUSK_DEFERRED_MAX, deferred.length, 'VLAN interfaces in zones of their own');
  const rows = deferred.map(({ parent, id, to }) => {
    const key = new Uint8Array(HuskDeferred.size);
    encodeHuskDeferred(new DataView(key.buffer), 0, { ifindex: parent, vlan: id | vlanPresent });
    return { key, value: word(to) };
  });
  const sizes = { keySize: HuskDeferred.size, valueSize: 4, maxEntries: HUSK_DEFERRED_MAX };
  return hashTable(HuskTable.DEFERRED, sizes, rows);
}

const holds = ({ names, not }: Named, name: string) => names.some((glob) => matchesGlob(glob, name)) !== not;
const bitsOf = (bits: readonly boolean[]) =>
  bits.reduce((sum, bit, index) => (bit ? sum | (1 << index) : sum), 0) >>> 0;

function word(number: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number, true);
  return bytes;
}
