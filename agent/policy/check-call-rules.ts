// What is wrong with rules about calls: addresses and ports, and rules that others leave nothing to.

import type { CallMatch, HardeningPolicy, HardeningRule } from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import { type Checking, checkAddressSetName, checkEntries, checkPorts } from './checking.ts';
import type { Path } from './faults.ts';
import { activeMode } from './ids.ts';
import { effective } from './packet-conditions.ts';
import { type AddressRanges, anyAddresses, covers, isEmpty } from './ranges.ts';
import { type CallReach, callCovers, callReach } from './reach.ts';
import { isList, type ResolvedSet } from './sets.ts';

/** A rule that some call is about. */
export interface Reaching {
  readonly rule: HardeningRule;
  readonly reach: CallReach;
  readonly at: Path;
}

/** null, and a fault: no call is what it is about. */
export function reachingOf(
  document: HardeningPolicy,
  rule: HardeningRule,
  at: Path,
  checking: Checking,
): Reaching | null {
  const set = conditionSet(document, rule, checking);
  if (set === 'unreadable') return null;
  if (set !== null && isEmpty(effective(set))) {
    checking.fault([...at, 'id'], `rule "${rule.id}" can never match: no call has such an address`);
    return null;
  }
  if (rule.connect !== undefined && set !== null && isAnyAlone(effective(set))) {
    const message = 'Linux takes 0.0.0.0 and :: as a destination for this host, 127.0.0.1 and ::1';
    checking.fault([...at, 'id'], `rule "${rule.id}" can never match: ${message}`);
    return null;
  }
  return { rule, reach: callReach(rule, set), at };
}

const isAnyAlone = ({ ipv4, ipv6 }: AddressRanges) =>
  covers(anyAddresses.ipv4, ipv4) && covers(anyAddresses.ipv6, ipv6);

/** Denials are looked at before allowances, both in the order they are written in. */
export function checkCallOrder(
  { spec }: HardeningPolicy,
  reachings: readonly Reaching[],
  { fault }: Checking,
): void {
  const deciding: Reaching[] = [];
  for (const action of ['deny', 'allow'] as const) {
    for (const reaching of reachings) {
      const { rule, reach, at } = reaching;
      if (rule.action !== action) continue;
      const cover = deciding.find((one) => callCovers(one.reach, reach));
      if (cover !== undefined) {
        const message = `rule "${rule.id}" can never match: rule "${cover.rule.id}" (${cover.rule.action}) takes every call it is about`;
        fault([...at, 'id'], message);
      } else if (activeMode(spec.mode, rule.mode) === 'enforce') {
        deciding.push(reaching);
      }
    }
  }
}

export function checkCallMatch(match: CallMatch, path: Path, checking: Checking): void {
  const { fault } = checking;
  if (match.to !== undefined && match.except !== undefined) {
    fault([...path, 'except'], 'stands beside to; one of the two has to go', { what: 'key' });
  }
  for (const side of ['to', 'except'] as const) {
    const source = match[side];
    if (source === undefined) continue;
    if (isList(source)) checkEntries(source, [...path, side], fault);
    else checkAddressSetName(source.addressSet, [...path, side, 'addressSet'], checking);
  }
  checkPorts(match.ports, [...path, 'ports'], fault);
}

function conditionSet(
  { metadata }: HardeningPolicy,
  rule: HardeningRule,
  { sets }: Checking,
): ResolvedSet | null | 'unreadable' {
  try {
    return sets.callMatch(metadata.name, rule.connect ?? rule.bind ?? {});
  } catch (error) {
    if (error instanceof RefusalError) return 'unreadable';
    throw error;
  }
}
