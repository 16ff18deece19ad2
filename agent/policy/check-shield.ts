// What is wrong inside one Shield.

import type { PacketPolicy, Shield } from '../contract/policy.ts';
import type { AppliesTo, ShieldPacketRule } from '../contract/shield.ts';
import { checkHardeningPolicy } from './check-hardening.ts';
import { checkPacketPolicy } from './check-packet.ts';
import { checkTwice, pathFault } from './check-paths.ts';
import type { Checking } from './checking.ts';
import { endMs } from './expiry.ts';
import type { Path } from './faults.ts';
import { parseRange } from './firmware-version.ts';
import { type Direction, directions } from './ids.ts';
import { hardeningOf, packetRuleOf } from './shields-as-policies.ts';

export function checkShield(shield: Shield, checking: Checking): void {
  const { spec } = shield;
  const { fault } = checking;
  if (typeof spec.cve === 'object') checkTwice(spec.cve, ['spec', 'cve'], fault);
  if (endMs(spec.expires) === null) fault(['spec', 'expires'], `"${spec.expires}" is no day that there is`);
  if (spec.appliesTo !== undefined) checkAppliesTo(spec.appliesTo, checking);
  checkParts(shield, checking);
  const hardening = hardeningOf(shield);
  if (hardening !== null) checkHardeningPolicy(hardening, checking);
  if (spec.packets !== undefined) checkPackets(shield, checking);
}

/** Which of its parts there are. */
function checkParts({ spec }: Shield, { fault }: Checking): void {
  const { subject, rules, packets, default: defaults } = spec;
  if (subject === undefined) {
    for (const key of ['rules', 'default', 'minimumTier'] as const) {
      if (spec[key] !== undefined)
        fault(['spec', key], 'is about a subject, and there is none', { what: 'key' });
    }
  } else if (rules === undefined && defaults === undefined) {
    fault(['spec', 'subject'], 'has no rules', { what: 'key' });
  }
  if (subject === undefined && packets === undefined)
    fault(['spec'], 'has neither subject with rules nor packets: it closes nothing');
}

function checkAppliesTo(appliesTo: AppliesTo, { fault }: Checking): void {
  const at = ['spec', 'appliesTo'];
  const { firmware, executable } = appliesTo;
  if (Object.keys(appliesTo).length === 0)
    fault(at, 'says nothing: without it the shield is for every device', { what: 'key' });
  for (const key of ['vendor', 'model', 'firmware'] as const) {
    const value = appliesTo[key];
    if (typeof value === 'object') checkTwice(value, [...at, key], fault);
  }
  const ranges = typeof firmware === 'object' ? firmware : firmware === undefined ? [] : [firmware];
  ranges.forEach((text, index) => {
    const range = parseRange(text);
    const path = typeof firmware === 'object' ? [...at, 'firmware', index] : [...at, 'firmware'];
    if (typeof range === 'string') fault(path, range);
  });
  if (executable === undefined) return;
  const message = pathFault(executable.path);
  if (message !== null) fault([...at, 'executable', 'path'], `"${executable.path}" ${message}`);
  checkTwice(executable.sha256, [...at, 'executable', 'sha256'], fault);
}

function checkPackets({ metadata, spec }: Shield, checking: Checking): void {
  const { fault } = checking;
  const at = ['spec', 'packets'];
  const { packets } = spec;
  if (packets === undefined) return;
  if (packets.zones !== undefined && packets.interfaces !== undefined)
    fault([...at, 'interfaces'], 'stands beside zones; one of the two has to go', { what: 'key' });
  checkTwice(packets.zones, [...at, 'zones'], fault);
  checkTwice(packets.interfaces, [...at, 'interfaces'], fault);
  if (packets.ingress === undefined && packets.egress === undefined)
    fault(at, 'has neither ingress nor egress');
  for (const direction of directions) {
    const rules = packets[direction] ?? [];
    rules.forEach((rule, index) => {
      checkRule(rule, packets.interfaces !== undefined, [...at, direction, index], checking);
    });
    checkAsPolicy({ metadata, spec }, direction, checking);
  }
}

function checkRule(rule: ShieldPacketRule, hasInterfaces: boolean, at: Path, { fault }: Checking): void {
  if (rule.action === 'limit' && rule.limit === undefined)
    fault([...at, 'action'], 'is limit, and no limit is written');
  if (rule.action !== 'limit' && rule.limit !== undefined)
    fault([...at, 'limit'], `is for action limit, not for ${rule.action}`, { what: 'key' });
  if (hasInterfaces && rule.interface !== undefined)
    fault([...at, 'interface'], 'stands beside the interfaces of the shield; one of the two has to go', {
      what: 'key',
    });
  for (const side of ['from', 'to'] as const) {
    const match = rule[side];
    if (typeof match === 'object' && 'set' in match)
      fault([...at, side], 'names a set, which a shield has none of: write the addresses out');
  }
}

/** Conditions and actions are those of a PacketPolicy, in a zone of its own. */
function checkAsPolicy(
  { metadata, spec }: Pick<Shield, 'metadata' | 'spec'>,
  direction: Direction,
  checking: Checking,
): void {
  const rules = (spec.packets?.[direction] ?? []).filter(({ from, to }) => ![from, to].some(namesSet));
  if (rules.length === 0 || spec.mode === 'off' || spec.mode === 'learn') return;
  const list = { zone: 'all', default: 'allow', rules: rules.map(packetRuleOf) } as const;
  const policy: PacketPolicy = {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata,
    spec: {
      mode: spec.mode,
      zones: { all: { interfaces: ['*'] } },
      ingress: [],
      egress: [],
      [direction]: [list],
    },
  };
  const written = spec.packets?.[direction] ?? [];
  const fault: Checking['fault'] = (path, message, options) => {
    const [, where, , , index, ...rest] = path;
    const rule = typeof index === 'number' ? rules[index] : undefined;
    if (where !== direction || rule === undefined) return;
    checking.fault(['spec', 'packets', direction, written.indexOf(rule), ...rest], message, options);
  };
  checkPacketPolicy(policy, { ...checking, fault });
}

const namesSet = (match: ShieldPacketRule['from']) => typeof match === 'object' && 'set' in match;
