// Where on a device packets are judged (PACKETS.md §1), what is to the device itself (§6), and what it never drops (§4).

import { bytesToWords, compareWords, parseAddress } from '../addresses.ts';
import type { DeviceInterface, DeviceView } from '../device-view.ts';
import { matchesGlob } from '../globs.ts';
import { etherTypeNumbers } from '../numbers.ts';
import { etherTypes, type LinkHeader, type Packet } from '../packet.ts';
import type { Seen } from './conditions.ts';
import type { Connection } from './connections.ts';
import type { Policies, ZoneLines } from './lines.ts';

const loopbackName = 'lo';
const protocolUdp = 17;
/** RFC 2131 §4.1, RFC 8415 §7.2. */
const dhcpPorts = { ipv4: { client: 68, server: 67 }, ipv6: { client: 546, server: 547 } } as const;

export class Points {
  readonly #device: DeviceView;
  readonly #zones: ReadonlyMap<string, ZoneLines | null>;
  readonly #policies: Policies;
  readonly #interfaces: ReadonlyMap<string, DeviceInterface>;
  /** Addresses and broadcast addresses, as words in hex. */
  readonly #own: ReadonlySet<string>;
  /** Interfaces on which a DHCP client may have no address yet. */
  readonly #awaiting: ReadonlySet<string>;

  constructor(policies: Policies, device: DeviceView) {
    this.#device = device;
    this.#policies = policies;
    this.#interfaces = new Map(device.interfaces.map((one) => [one.name, one]));
    this.#own = ownAddresses(device);
    const named = new Map(device.interfaces.map((one) => [one.index, this.#zoneNamed(one.name)]));
    this.#zones = new Map(
      device.interfaces.map((one) => [
        one.name,
        isLeftOut(one, device, named) ? null : (named.get(one.index) ?? null),
      ]),
    );
    this.#awaiting = new Set(
      device.interfaces.filter((one) => this.#awaitsAddress(one)).map(({ name }) => name),
    );
  }

  /** null: packets are not judged here. */
  zoneOf(name: string): ZoneLines | null {
    const known = this.#zones.get(name);
    return known === undefined ? this.#zoneNamed(name) : known;
  }

  linkOf(name: string): DeviceInterface['link'] {
    return this.#interfaces.get(name)?.link ?? 'ethernet';
  }

  /** Whether a frame is left to an interface that lies on this one. */
  isDeferred(name: string, { vlans, etherType }: LinkHeader): boolean {
    const index = this.#interfaces.get(name)?.index;
    return this.#device.interfaces.some(({ name: upper, over }) => {
      if (over === undefined || !('parent' in over) || over.parent !== index) return false;
      if (over.kind === 'macvlan' || this.zoneOf(upper) === null) return false;
      return over.kind === 'vlan' ? vlans?.[0] === over.id : etherType === etherTypeNumbers['pppoe-session'];
    });
  }

  /** Whether never-drop asks for connections to be followed. */
  get hasReplies(): boolean {
    const { replies, services } = this.#device.neverDrop;
    return (
      services.length > 0 &&
      this.#device.interfaces.some(({ name }) => this.zoneOf(name) !== null && fits(replies, name))
    );
  }

  isToDevice({ family, destination }: Packet, connection: Connection | null): boolean {
    if (family === 'other' || connection?.isForwarded === true) return false;
    return isGroup(family, destination) || this.#own.has(destination.join(' '));
  }

  /** Comes in under an address of the device's own. A link-local one may be a neighbour's on another link. */
  isFromOwnAddress({ packet, direction }: Seen): boolean {
    const { family, source } = packet;
    if (direction !== 'ingress' || family === 'other' || isNeighbourDiscovery(packet)) return false;
    if (!this.#own.has(source.join(' '))) return false;
    return family === 'ipv4' || !isLinkLocal(source) || !this.isToDevice(packet, null);
  }

  isNeverDropped(seen: Seen, connection: Connection | null): boolean {
    const { packet, interface: name } = seen;
    const { arp, neighbourDiscovery } = this.#device.neverDrop;
    if (packet.etherType === etherTypes.arp && fits(arp, name)) return true;
    if (isNeighbourDiscovery(packet) && fits(neighbourDiscovery, name)) return true;
    return this.#isDhcp(seen) || this.#isReply(seen, connection);
  }

  /** Of which the device is one end: what it passes on for others is for the rules. */
  #isDhcp({ packet, interface: name, direction, cameBy, isToDevice }: Seen): boolean {
    const { family, protocol, ports } = packet;
    if (family === 'other' || protocol !== protocolUdp || ports === null) return false;
    const { client, server } = dhcpPorts[family];
    const { dhcpClient, dhcpServer } = this.#device.neverDrop;
    const isOwn = direction === 'egress' ? cameBy === null : isToDevice;
    // The client's packets go out where the device is one, and come in where it is the server.
    if (ports.from === client && ports.to === server)
      return isOwn && fits(direction === 'egress' ? dhcpClient : dhcpServer, name);
    if (ports.from !== server || ports.to !== client) return false;
    if (direction === 'egress') return isOwn && fits(dhcpServer, name);
    // RFC 2131 §4.1: an offer may be sent to the address that it offers.
    const isOffer = family === 'ipv4' && this.#awaiting.has(name);
    return (isOwn || isOffer) && fits(dhcpClient, name);
  }

  /** The interface, its bridge, or a VLAN or macvlan on it that is no point of its own has no address but 169.254/16. */
  #awaitsAddress({ index, addresses }: DeviceInterface): boolean {
    const { interfaces } = this.#device;
    const bridge = interfaces.find(({ over }) => over?.kind === 'bridge' && over.ports.includes(index));
    if (bridge !== undefined) return this.#awaitsAddress(bridge);
    if (addresses.every((one) => one.includes(':') || one.startsWith('169.254.'))) return true;
    return interfaces.some(
      (one) =>
        (one.over?.kind === 'vlan' || one.over?.kind === 'macvlan') &&
        one.over.parent === index &&
        this.zoneOf(one.name) === null &&
        this.#awaitsAddress(one),
    );
  }

  /** An answer to a connection that the device opened to one of the services. */
  #isReply({ direction, state, interface: name }: Seen, connection: Connection | null): boolean {
    if (direction !== 'ingress' || connection === null || (state !== 'established' && state !== 'related'))
      return false;
    const { opened, first: endpoints } = connection;
    if (opened.direction !== 'egress' || opened.cameBy !== null) return false;
    const { replies, services } = this.#device.neverDrop;
    return (
      fits(replies, name) &&
      services.some(
        (service) =>
          endpoints.protocol === (service.protocol === 'tcp' ? 6 : protocolUdp) &&
          endpoints.ports?.to === service.port &&
          (service.address === null ||
            compareWords(wordsOf(service.address), 0, endpoints.destination, 0) === 0),
      )
    );
  }

  /** By its name alone. The loopback interface is in no zone, whatever a glob says. */
  #zoneNamed(name: string): ZoneLines | null {
    if (name === loopbackName || this.linkOf(name) === 'loopback') return null;
    return this.#policies.zones.find(({ interfaces }) => fits(interfaces, name)) ?? null;
  }
}

const fits = (globs: readonly string[], name: string) => globs.some((glob) => matchesGlob(glob, name));

/** Where zones name an interface and the one it lies on, one of the two is the point. */
function isLeftOut(
  { index, over }: DeviceInterface,
  { interfaces }: DeviceView,
  zones: ReadonlyMap<number, ZoneLines | null>,
): boolean {
  const isZoned = (one: number) => (zones.get(one) ?? null) !== null;
  if (over?.kind === 'macvlan' && isZoned(over.parent)) return true;
  if (over?.kind === 'bridge' && over.ports.some(isZoned)) return true;
  return interfaces.some(
    (bond) => bond.over?.kind === 'bond' && bond.over.ports.includes(index) && isZoned(bond.index),
  );
}

/**
 * RFC 4861: what crossed a router is void; RFC 6980: so is what was cut into fragments. Listener discovery (RFC 2710 §3,
 * RFC 3810 §5) is what switches learn from where to send the questions of neighbours.
 */
function isNeighbourDiscovery({ family, icmp, hopLimit, fragment, source }: Packet): boolean {
  if (family !== 'ipv6' || icmp === null || icmp.code !== 0 || fragment !== 'none') return false;
  if (icmp.type >= 133 && icmp.type <= 137) return hopLimit === 255;
  const isListener = (icmp.type >= 130 && icmp.type <= 132) || icmp.type === 143;
  return isListener && hopLimit === 1 && isOfLink(source);
}

/** Link-local or unspecified (RFC 4291): no router passes on what is from there. */
const isOfLink = (source: Uint32Array) => isLinkLocal(source) || source.every((word) => word === 0);

const isLinkLocal = (address: Uint32Array) => (address[0] ?? 0) >>> 22 === 0xfe80 >>> 6;

/** RFC 5771, RFC 4291 §2.7, and 255.255.255.255. */
function isGroup(family: 'ipv4' | 'ipv6', address: Uint32Array): boolean {
  if (family === 'ipv6') return (address[0] ?? 0) >>> 24 === 0xff;
  return (address[3] ?? 0) >>> 28 === 0xe || address[3] === 0xffffffff;
}

/** Addresses of all interfaces, and the broadcast addresses of IPv4 networks that have one (RFC 3021). */
function ownAddresses({ interfaces }: DeviceView): ReadonlySet<string> {
  const own = new Set<string>();
  for (const text of interfaces.flatMap(({ addresses }) => addresses)) {
    const [address = '', length = ''] = text.split('/');
    const words = wordsOf(address);
    own.add(words.join(' '));
    if (address.includes(':') || length === '' || Number(length) > 30) continue;
    words[3] = (words[3] ?? 0) | (0xffffffff >>> Number(length));
    own.add(words.join(' '));
  }
  return own;
}

function wordsOf(address: string): Uint32Array {
  const words = new Uint32Array(4);
  bytesToWords(parseAddress(address), words, 0);
  return words;
}
