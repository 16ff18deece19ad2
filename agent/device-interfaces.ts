// What the kernel says of interfaces → what judging needs to know of them (policy/device-view.ts).
//
// What cannot be known is left out, never guessed: an interface whose frames begin with something that no program
// reads is not there at all, and a PPPoE session whose parent is not sure lies on nothing.

import type { NetworkInterface } from '../native/index.ts';
import type { DeviceInterface, InterfaceOver } from './policy/device-view.ts';

/** ARPHRD_ numbers of <linux/if_arp.h>. */
const arphrd = {
  ether: 1,
  ppp: 512,
  rawIp: 519,
  tunnel: 768,
  tunnel6: 769,
  loopback: 772,
  sit: 776,
  ipGre: 778,
  ip6Gre: 823,
  none: 0xfffe,
} as const;

/** Frames begin with the IP header: tun and WireGuard, ppp, wwan, tunnels. */
const bare: ReadonlySet<number> = new Set([
  arphrd.none,
  arphrd.ppp,
  arphrd.rawIp,
  arphrd.tunnel,
  arphrd.tunnel6,
  arphrd.sit,
  arphrd.ipGre,
  arphrd.ip6Gre,
]);

/** What shares its parent's card, whose hooks see every frame of it. */
const sharing: ReadonlySet<string> = new Set(['macvlan', 'macvtap', 'ipvlan', 'ipvtap']);
const bonding: ReadonlySet<string> = new Set(['bond', 'team']);

/** `pppoe`: the text of /proc/net/pppoe, '' where there is none. */
export function deviceInterfaces(all: readonly NetworkInterface[], pppoe = ''): readonly DeviceInterface[] {
  const parentOfPpp = pppoeParent(all, pppoe);
  return all.flatMap((one): readonly DeviceInterface[] => {
    const link = linkOf(one);
    if (one.index === 0 || link === null) return [];
    const over = overOf(one, all, parentOfPpp);
    return [
      {
        name: one.name,
        index: one.index,
        link,
        addresses: one.addresses,
        ...(over === null ? {} : { over }),
        ...(one.stripsTags ? { stripsTags: true } : {}),
      },
    ];
  });
}

/** null: frames of a kind that is not read. */
function linkOf({ hardwareType }: NetworkInterface): DeviceInterface['link'] | null {
  if (hardwareType === arphrd.ether) return 'ethernet';
  if (hardwareType === arphrd.loopback) return 'loopback';
  return bare.has(hardwareType) ? 'ip' : null;
}

function overOf(
  { kind, parent, vlan, index, hardwareType }: NetworkInterface,
  all: readonly NetworkInterface[],
  parentOfPpp: number | null,
): InterfaceOver | null {
  if (kind === 'bridge') return { kind: 'bridge', ports: portsOf(index, all) };
  if (bonding.has(kind)) return { kind: 'bond', ports: portsOf(index, all) };
  if (hardwareType === arphrd.ppp && parentOfPpp !== null) return { kind: 'pppoe', parent: parentOfPpp };
  // 0: in another namespace, where none of our hooks is.
  if (parent === 0) return null;
  if (kind === 'vlan') return { kind: 'vlan', parent, id: vlan };
  if (sharing.has(kind)) return { kind: 'macvlan', parent };
  return null;
}

const portsOf = (master: number, all: readonly NetworkInterface[]) =>
  all.filter((one) => one.master === master).map((one) => one.index);

/**
 * The interface that every PPPoE session runs on; null: none, or not sure. /proc/net/pppoe tells sessions and their
 * devices, and nothing tells which ppp interface a session is: that is known only where all run on one device, and
 * there are no more ppp interfaces than sessions (one more may be a modem's, or L2TP's).
 */
function pppoeParent(all: readonly NetworkInterface[], pppoe: string): number | null {
  // "Id       Address              Device", then "0001     02:00:00:00:00:01     eth0" (net/pppoe: pppoe_seq_show).
  const devices = pppoe
    .split('\n')
    .map((line) => /^[0-9A-Fa-f]+\s+(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\s+(\S+)\s*$/.exec(line)?.[1])
    .filter((device) => device !== undefined);
  const sessions = all.filter((one) => one.hardwareType === arphrd.ppp).length;
  if (sessions === 0 || sessions > devices.length || new Set(devices).size !== 1) return null;
  return all.find((one) => one.name === devices[0])?.index ?? null;
}
