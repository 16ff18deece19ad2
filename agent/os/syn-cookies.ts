// The kernel's own setting for SYN cookies, which is its word on whether programs may give them out.

import { readFileSync } from 'node:fs';

/**
 * `net.ipv4.tcp_syncookies` of this network namespace, which holds for IPv6 too: 0 never, 1 where a listener's queue
 * is full, 2 always. null: built without CONFIG_SYN_COOKIES.
 */
export function readSynCookies(): number | null {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/tcp_syncookies', 'utf8'));
  } catch {
    // Absent and unreadable come to the same: nothing vouches for cookies.
    return null;
  }
}
