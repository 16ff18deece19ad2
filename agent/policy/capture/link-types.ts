// What a packet is behind the header of the link it was captured on (draft-ietf-opsawg-pcaplinktype, whose
// registry gives the numbers and the forms of the headers).
//
// Two kinds come out: frames with an Ethernet header, and IP packets without any link header. Cooked captures
// of Ethernet links have all of an Ethernet header but the receiver's address, and become frames again.

import { CaptureError } from './captured-packet.ts';

export type LinkPacket =
  | { readonly kind: 'ethernet'; readonly bytes: Uint8Array }
  /** From the IP header on; the EtherType that the link said, or that the version of the packet says. */
  | { readonly kind: 'ip'; readonly etherType: number; readonly bytes: Uint8Array }
  /** What was captured ends inside the link's own header. */
  | { readonly kind: 'cut-short' };

export interface Decapsulated {
  readonly packet: LinkPacket;
  /** Bytes of link header that were taken away, less those that were made: original lengths shrink by it. */
  readonly removed: number;
  /** Where the link's header says that the host sent it. */
  readonly direction: 'egress' | 'ingress' | null;
}

interface LinkType {
  readonly name: string;
  readonly open: (bytes: Uint8Array) => Decapsulated;
}

const ethernetBytes = 14;
const etherTypeIpv4 = 0x0800;
const etherTypeIpv6 = 0x86dd;
/** IEEE 802 local experimental EtherType 2: stands for whatever is not IP and has no EtherType. */
const etherTypeOther = 0x88b6;

const rawIp: LinkType = { name: 'raw IP', open: (bytes) => ip(bytes, 0, versionType(bytes[0] ?? 0)) };

const linkTypes: Readonly<Record<number, LinkType>> = {
  1: {
    name: 'Ethernet',
    open: (bytes) => ({ packet: { kind: 'ethernet', bytes }, removed: 0, direction: null }),
  },
  // 101 is the registered one; 12 and 14 are DLT_RAW of the BSDs, which some programs write into files.
  12: rawIp,
  14: rawIp,
  101: rawIp,
  228: { name: 'raw IPv4', open: (bytes) => ip(bytes, 0, etherTypeIpv4) },
  229: { name: 'raw IPv6', open: (bytes) => ip(bytes, 0, etherTypeIpv6) },
  0: { name: 'BSD loopback (null)', open: openNull },
  108: { name: 'OpenBSD loopback', open: openNull },
  113: { name: 'Linux cooked', open: (bytes) => openCooked(bytes, cooked1) },
  276: { name: 'Linux cooked v2', open: (bytes) => openCooked(bytes, cooked2) },
};

/** Links that people do capture on and that we do not read, so that the refusal can say more than a number. */
const otherNames: Readonly<Record<number, string>> = {
  6: 'Token Ring',
  8: 'SLIP',
  9: 'PPP',
  10: 'FDDI',
  50: 'PPP in HDLC-like framing',
  51: 'PPPoE session',
  104: 'Cisco HDLC',
  105: 'IEEE 802.11',
  127: 'IEEE 802.11 with radiotap',
  147: 'private use 0',
  163: 'IEEE 802.11 with AVS header',
  187: 'Bluetooth HCI',
  189: 'USB of Linux',
  192: 'per-packet information',
  195: 'IEEE 802.15.4',
  201: 'Bluetooth HCI with direction',
  220: 'USB of Linux, mapped',
  227: 'CAN of Linux',
  239: 'Netfilter log',
  249: 'USBPcap',
  253: 'Netlink of Linux',
  272: 'nRF sniffer',
};

/** Throws CaptureError link-type for a link whose packets are not read. `offset` is where the file says it. */
export function checkLinkType(linkType: number, offset: number): void {
  if (linkTypes[linkType] !== undefined) return;
  const name = otherNames[linkType];
  throw new CaptureError(
    'link-type',
    offset,
    `link type ${linkType}${name === undefined ? '' : ` (${name})`} is not read; Ethernet, raw IP, Linux cooked and BSD loopback are`,
  );
}

/** The words for a link type, for people. */
export const linkTypeName = (linkType: number): string =>
  linkTypes[linkType]?.name ?? otherNames[linkType] ?? `link type ${linkType}`;

/** Takes the link's header off. For link types that were checked. */
export function decapsulate(linkType: number, bytes: Uint8Array): Decapsulated {
  const known = linkTypes[linkType];
  if (known === undefined) throw new RangeError(`link type ${linkType} was not checked`);
  return known.open(bytes);
}

const cutShort: Decapsulated = { packet: { kind: 'cut-short' }, removed: 0, direction: null };

function ip(bytes: Uint8Array, header: number, etherType: number): Decapsulated {
  if (bytes.length <= header) return cutShort;
  const packet = { kind: 'ip', etherType, bytes: bytes.subarray(header) } as const;
  return { packet, removed: header, direction: null };
}

/** A version that is neither stays an IPv4 packet with a wrong version, which is unparseable as it should be. */
const versionType = (first: number) => (first >> 4 === 6 ? etherTypeIpv6 : etherTypeIpv4);

/** AF_INET is 2 everywhere; AF_INET6 is 10 on Linux and differs among the BSDs and macOS. */
const nullFamilies: Readonly<Record<number, number>> = {
  2: etherTypeIpv4,
  10: etherTypeIpv6,
  24: etherTypeIpv6,
  28: etherTypeIpv6,
  30: etherTypeIpv6,
};

/** Four bytes of address family: in the byte order of the capturing host (0), or of the network (108). */
function openNull(bytes: Uint8Array): Decapsulated {
  if (bytes.length < 4) return cutShort;
  const view = viewOf(bytes);
  // Families are small numbers, so that the wrong order gives a number nobody has.
  const family = nullFamilies[view.getUint32(0)] ?? nullFamilies[view.getUint32(0, true)];
  if (family !== undefined) return ip(bytes, 4, family);
  return { packet: frame(etherTypeOther, bytes.subarray(4)), removed: 4 - ethernetBytes, direction: null };
}

interface CookedForm {
  readonly bytes: number;
  readonly protocol: number;
  readonly hardware: number;
  readonly type: (view: DataView) => number;
  readonly addressLength: (view: DataView) => number;
  readonly address: number;
}
/** LINKTYPE_LINUX_SLL. */
const cooked1: CookedForm = {
  bytes: 16,
  type: (view) => view.getUint16(0),
  hardware: 2,
  addressLength: (view) => view.getUint16(4),
  address: 6,
  protocol: 14,
};
/** LINKTYPE_LINUX_SLL2. */
const cooked2: CookedForm = {
  bytes: 20,
  protocol: 0,
  hardware: 8,
  type: (view) => view.getUint8(10),
  addressLength: (view) => view.getUint8(11),
  address: 12,
};

/** PACKET_ numbers of <linux/if_packet.h> and ARPHRD_ numbers of <linux/if_arp.h>. */
const packetBroadcast = 1;
const packetOutgoing = 4;
const hardwareEthernet = 1;
const hardwareLoopback = 772;
/** Below it the field is no EtherType but one of Linux's own numbers (ETH_P_802_3 and so on). */
const etherTypeMin = 0x0600;

function openCooked(bytes: Uint8Array, form: CookedForm): Decapsulated {
  if (bytes.length < form.bytes) return cutShort;
  const view = viewOf(bytes);
  const type = form.type(view);
  const direction = type === packetOutgoing ? 'egress' : 'ingress';
  const protocol = view.getUint16(form.protocol);
  const hardware = view.getUint16(form.hardware);
  const behind = bytes.subarray(form.bytes);
  const isEthernet = hardware === hardwareEthernet || hardware === hardwareLoopback;
  if (!isEthernet && (protocol === etherTypeIpv4 || protocol === etherTypeIpv6)) {
    return { ...ip(bytes, form.bytes, protocol), direction };
  }
  const source = form.addressLength(view) === 6 ? bytes.subarray(form.address, form.address + 6) : null;
  const destination = type === packetBroadcast ? broadcast : null;
  const etherType = protocol < etherTypeMin ? etherTypeOther : protocol;
  return {
    packet: frame(etherType, behind, source, destination),
    removed: form.bytes - ethernetBytes,
    direction,
  };
}

const broadcast = new Uint8Array(6).fill(0xff);

/** An address that is not known is all zeros. */
function frame(
  etherType: number,
  payload: Uint8Array,
  source: Uint8Array | null = null,
  destination: Uint8Array | null = null,
): LinkPacket {
  const bytes = new Uint8Array(ethernetBytes + payload.length);
  if (destination !== null) bytes.set(destination, 0);
  if (source !== null) bytes.set(source, 6);
  viewOf(bytes).setUint16(12, etherType);
  bytes.set(payload, ethernetBytes);
  return { kind: 'ethernet', bytes };
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
