// What is wrong inside one HardeningPolicy.

import type { CallMatch, HardeningPolicy, HardeningRule } from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import { type Checking, checkAddressSetName, checkEntries, checkPorts } from './checking.ts';
import type { Path } from './faults.ts';
import { callNames, effectiveMode, raisesMode } from './ids.ts';
import { effective } from './packet-conditions.ts';
import { type AddressRanges, anyAddresses, covers, isEmpty } from './ranges.ts';
import { type CallReach, callCovers, callReach } from './reach.ts';
import { isList, type ResolvedSet } from './sets.ts';

interface Reaching {
  readonly rule: HardeningRule;
  readonly reach: CallReach;
}

export function checkHardeningPolicy(document: HardeningPolicy, checking: Checking): void {
  const { spec } = document;
  const reachings: { readonly reaching: Reaching; readonly at: Path }[] = [];
  spec.rules.forEach((rule, index) => {
    const at = ['spec', 'rules', index];
    const isReadable = checkRule(document, rule, at, checking);
    if (!isReadable || effectiveMode(spec.mode, rule.mode) === 'off') return;
    const set = conditionSet(document, rule, checking);
    if (set === 'unreadable') return;
    if (set !== null && isEmpty(effective(set))) {
      checking.fault([...at, 'id'], `rule "${rule.id}" can never match: no call has such an address`);
    } else if (rule.connect !== undefined && set !== null && isAnyAlone(effective(set))) {
      const message = 'Linux takes 0.0.0.0 and :: as a destination for this host, 127.0.0.1 and ::1';
      checking.fault([...at, 'id'], `rule "${rule.id}" can never match: ${message}`);
    } else {
      reachings.push({ reaching: { rule, reach: callReach(rule, set) }, at });
    }
  });
  checkOrder(document, reachings, checking);
}

const isAnyAlone = ({ ipv4, ipv6 }: AddressRanges) =>
  covers(anyAddresses.ipv4, ipv4) && covers(anyAddresses.ipv6, ipv6);

/** Denials are looked at before allowances, both in the order they are written in. */
function checkOrder(
  { spec }: HardeningPolicy,
  reachings: readonly { readonly reaching: Reaching; readonly at: Path }[],
  { fault }: Checking,
): void {
  const deciding: Reaching[] = [];
  for (const action of ['deny', 'allow'] as const) {
    for (const { reaching, at } of reachings) {
      const { rule, reach } = reaching;
      if (rule.action !== action) continue;
      const cover = deciding.find((one) => callCovers(one.reach, reach));
      if (cover !== undefined) {
        const message = `rule "${rule.id}" can never match: rule "${cover.rule.id}" (${cover.rule.action}) takes every call it is about`;
        fault([...at, 'id'], message);
      } else if (effectiveMode(spec.mode, rule.mode) === 'enforce') {
        deciding.push(reaching);
      }
    }
  }
}

/** False where it says nothing that could be compared with other rules. */
function checkRule(document: HardeningPolicy, rule: HardeningRule, at: Path, checking: Checking): boolean {
  const { fault } = checking;
  if (raisesMode(document.spec.mode, rule.mode)) {
    fault(
      [...at, 'mode'],
      `a rule cannot raise the policy's mode from ${document.spec.mode} to ${rule.mode}`,
    );
  }
  const calls = callNames.filter((call) => rule[call] !== undefined);
  for (const call of ['connect', 'bind'] as const) {
    const match = rule[call];
    if (match !== undefined) checkCallMatch(match, [...at, call], checking);
  }
  if (calls.length === 1) return true;
  fault(
    at,
    calls.length === 0
      ? 'has none of connect, bind, socket'
      : `has ${calls.join(' and ')}; a rule is about one call`,
  );
  return false;
}

function checkCallMatch(match: CallMatch, path: Path, checking: Checking): void {
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
