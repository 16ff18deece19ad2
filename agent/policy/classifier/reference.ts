// What the classifier must agree with: the first entry of which every dimension holds, one after another.

import { portsHold } from '../ports.ts';
import { holds } from '../ranges.ts';
import type { ClassifierEntry, ClassifierKey } from './entry.ts';

/** The number of the first entry from `from` on that matches; -1 where none does. */
export function firstMatch(entries: readonly ClassifierEntry[], key: ClassifierKey, from = 0): number {
  for (let index = from; index < entries.length; index++) {
    if (entryMatches(entries[index] as ClassifierEntry, key)) return index;
  }
  return -1;
}

function entryMatches(entry: ClassifierEntry, key: ClassifierKey): boolean {
  if (((entry.zones >>> key.zone) & (entry.states >>> key.state) & 1) === 0) return false;
  if (((entry.device >>> key.device) & (entry.fragments >>> key.fragment) & 1) === 0) return false;
  if ((key.sets & entry.sets.care) !== entry.sets.value) return false;
  if (key.family === 'other') return entry.other && entry.protocols === null && entry.ports === null;
  if (entry.protocols !== null && !entry.protocols.includes(key.ipProto)) return false;
  if (entry.ports !== null) {
    if (!key.hasPorts) return false;
    if (!portsHold(entry.ports.from, key.sport) || !portsHold(entry.ports.to, key.dport)) return false;
  }
  const pair = key.family === 'ipv4' ? entry.ipv4 : entry.ipv6;
  return pair !== null && holds(pair.from, key.saddr, 0) && holds(pair.to, key.daddr, 0);
}
