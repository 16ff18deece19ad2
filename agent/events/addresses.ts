// Addresses of the ABI as text: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d.

import { HUSK_FAMILY_IPV4, HUSK_FAMILY_IPV6 } from '../../bpf/abi/layout.gen.ts';

/** By the packet's family; '' where it has no IP addresses. */
export function addressText(bytes: Uint8Array, family: number): string {
  if (family === HUSK_FAMILY_IPV4) return ipv4Text(bytes);
  if (family === HUSK_FAMILY_IPV6) return ipv6Text(bytes);
  return '';
}

export function ipv4Text(bytes: Uint8Array): string {
  return `${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups as `::`, the first of equals. */
export function ipv6Text(bytes: Uint8Array): string {
  if (isMapped(bytes)) return `::ffff:${ipv4Text(bytes)}`;
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  let runStart = -1;
  let runLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end += 1;
    if (end - start > runLength) {
      runStart = start;
      runLength = end - start;
    }
    if (end > start) start = end;
  }
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return runStart < 0 ? text(0, 8) : `${text(0, runStart)}::${text(runStart + runLength, 8)}`;
}

/** Whether the address is an IPv4 one in an IPv6 coat (RFC 4291 §2.5.5.2). */
function isMapped(bytes: Uint8Array): boolean {
  for (let at = 0; at < 10; at++) if (bytes[at] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}
