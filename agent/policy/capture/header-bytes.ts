// How far into a frame its headers reach: whether a capture that kept the first bytes of each packet kept
// enough to judge by.
//
// It follows a frame as packet.ts does and stops where that one stops reading. Where a walk ends early, since
// the packet contradicts itself, that is no matter of the capture: what it is refused for was seen.

import { HUSK_IPV6_HEADERS_MAX, HUSK_VLAN_DEPTH_MAX } from '../../../bpf/abi/layout.gen.ts';
import { etherTypes, ipv6Extensions } from '../packet.ts';

/** Fixed parts of the headers behind IP that are looked into; of no other protocol is anything read. */
const layer4Bytes = {
  ipv4: { 1: 8, 6: 20, 17: 8, 132: 12 },
  ipv6: { 6: 20, 17: 8, 58: 8, 132: 12 },
} as const satisfies Record<string, Readonly<Record<number, number>>>;
const ethernetBytes = 14;

/**
 * Bytes from the Ethernet header on that judging a packet needs. `frame` holds what was captured of the
 * `wireBytes` that were sent. Where it ends within a header, the result is more than it has: the end of that
 * header.
 */
export function headerBytes(frame: Uint8Array, wireBytes: number): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let at = ethernetBytes;
  if (at > frame.length) return Math.min(at, wireBytes);
  let etherType = view.getUint16(12);
  for (let tags = 0; etherType === etherTypes.vlan || etherType === etherTypes.qinq; tags++) {
    if (tags === HUSK_VLAN_DEPTH_MAX || at + 4 > wireBytes) return at;
    at += 4;
    if (at > frame.length) return at;
    etherType = view.getUint16(at - 2);
  }
  if (etherType === etherTypes.ipv4) return ipv4Bytes(view, at, wireBytes);
  if (etherType === etherTypes.ipv6) return ipv6Bytes(view, at, wireBytes);
  return at;
}

function ipv4Bytes(view: DataView, at: number, wireBytes: number): number {
  const seen = at + 20;
  if (seen > wireBytes) return at;
  if (seen > view.byteLength) return seen;
  const behind = at + (view.getUint8(at) & 0x0f) * 4;
  const end = at + view.getUint16(at + 2);
  const isLater = (view.getUint16(at + 6) & 0x1fff) > 0;
  if (view.getUint8(at) >> 4 !== 4 || isLater || behind < seen || end > wireBytes) return seen;
  return withLayer4(layer4Bytes.ipv4, view.getUint8(at + 9), { at: behind, end, seen });
}

function ipv6Bytes(view: DataView, start: number, wireBytes: number): number {
  let seen = start + 40;
  if (seen > wireBytes) return start;
  if (seen > view.byteLength) return seen;
  const end = seen + view.getUint16(start + 4);
  if (view.getUint8(start) >> 4 !== 6 || end > wireBytes) return seen;
  let at = seen;
  let protocol = view.getUint8(start + 6);
  for (let headers = 0; Object.values<number>(ipv6Extensions).includes(protocol); headers++) {
    if (headers === HUSK_IPV6_HEADERS_MAX || at + 8 > end) return seen;
    seen = at + 8;
    if (seen > view.byteLength) return seen;
    const isFragment = protocol === ipv6Extensions.fragment;
    if (isFragment && view.getUint16(at + 2) >> 3 > 0) return seen;
    const units = view.getUint8(at + 1);
    const isAuthentication = protocol === ipv6Extensions.authentication;
    protocol = view.getUint8(at);
    at += isFragment ? 8 : isAuthentication ? (units + 2) * 4 : (units + 1) * 8;
    if (at > end) return seen;
  }
  return withLayer4(layer4Bytes.ipv6, protocol, { at, end, seen });
}

/** Where IP says that the packet ends before its next header does, there is nothing more to see. */
function withLayer4(
  sizes: Readonly<Record<number, number>>,
  protocol: number,
  { at, end, seen }: { readonly at: number; readonly end: number; readonly seen: number },
): number {
  const bytes = sizes[protocol];
  return bytes === undefined || at + bytes > end ? seen : Math.max(seen, at + bytes);
}
