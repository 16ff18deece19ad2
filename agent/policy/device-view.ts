// What judging a packet needs to know of the device: its interfaces, its addresses, what it never drops.
//
// All of it is the device's own: a policy says nothing of these, and means something different on each device.

export interface DeviceInterface {
  readonly name: string;
  readonly index: number;
  /** What a frame begins with: an Ethernet header, or the IP header. */
  readonly link: 'ethernet' | 'ip' | 'loopback';
  /** With prefix length, as in `192.0.2.1/24`. */
  readonly addresses: readonly string[];
  /** What it lies on, where it is a VLAN interface, a PPPoE session, a macvlan, or a bridge or bond with ports. */
  readonly over?: InterfaceOver;
  /** The card takes VLAN tags off before XDP could see them. */
  readonly stripsTags?: boolean;
}

/** Indexes of other interfaces. */
export type InterfaceOver =
  | { readonly kind: 'vlan'; readonly parent: number; readonly id: number }
  | { readonly kind: 'pppoe' | 'macvlan'; readonly parent: number }
  | { readonly kind: 'bridge' | 'bond'; readonly ports: readonly number[] };

/** Interfaces, by name or glob, on which each item of the never-drop list holds (PACKETS.md §4). */
export interface NeverDrop {
  readonly arp: readonly string[];
  readonly neighbourDiscovery: readonly string[];
  readonly dhcpClient: readonly string[];
  readonly dhcpServer: readonly string[];
  readonly replies: readonly string[];
  /** The connections of the device whose replies are never dropped; at most 16. */
  readonly services: readonly Service[];
}

export interface Service {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  /** null: at any address. */
  readonly address: string | null;
}

export interface DeviceView {
  readonly interfaces: readonly DeviceInterface[];
  readonly neverDrop: NeverDrop;
}

/** DNS and NTP; the controller's address is added where it is known. */
const usualServices: readonly Service[] = [
  { protocol: 'udp', port: 53, address: null },
  { protocol: 'tcp', port: 53, address: null },
  { protocol: 'udp', port: 123, address: null },
];

export const usualNeverDrop: NeverDrop = {
  arp: ['*'],
  neighbourDiscovery: ['*'],
  dhcpClient: ['*'],
  dhcpServer: [],
  replies: ['*'],
  services: usualServices,
};

/** A device of which nothing is known but its own addresses, as in `192.0.2.1/24`. */
export const deviceOfAddresses = (addresses: readonly string[]): DeviceView => ({
  interfaces: [{ name: 'lo', index: 1, link: 'loopback', addresses }],
  neverDrop: usualNeverDrop,
});

/** A device with plain Ethernet interfaces, numbered from 1000 on: for simulation and tests. */
export function plainDevice(names: readonly string[], addresses: readonly string[] = []): DeviceView {
  return {
    interfaces: names.map((name, index) => ({
      name,
      index: 1000 + index,
      link: 'ethernet',
      addresses: index === 0 ? addresses : [],
    })),
    neverDrop: usualNeverDrop,
  };
}
