// Stable ids: what counters, events and reports are kept under, whatever else of a policy changes.

import type { DefaultName, HardeningMode, HardeningRule, Mode } from '../contract/policy.ts';

export type Direction = 'ingress' | 'egress';
export const directions = ['ingress', 'egress'] as const satisfies readonly Direction[];

export type CallName = 'connect' | 'bind' | 'socket';
export const callNames = ['connect', 'bind', 'socket'] as const satisfies readonly CallName[];

type Named = { readonly metadata: { readonly name: string } };

/** A rule that a shield put among those of a policy has its full name already (shields-as-policies.ts). */
export const ruleId = (document: Named, rule: { readonly id: string }) =>
  rule.id.includes('/') ? rule.id : `${document.metadata.name}/${rule.id}`;
export const zoneDefaultId = (document: Named, zone: string, direction: Direction) =>
  `${document.metadata.name}/${zone}:default-${direction}`;
export const defaultId = (document: Named, name: DefaultName) => `${document.metadata.name}/default-${name}`;

/** Every default that a HardeningPolicy may have, in the order in which they are counted. */
export const defaultNames = [
  ...callNames,
  'exec',
  'write',
  'create',
  'mount',
] as const satisfies readonly DefaultName[];

/** Whether it is about addresses and sockets; other rules are about what is done to objects. */
export const isCallRule = (rule: HardeningRule) => callNames.some((call) => rule[call] !== undefined);
export const synCookiesId = (document: Named, zone: string) =>
  `${document.metadata.name}/${zone}:syn-cookies`;
/** Whether an id, of whatever document, is one of `synCookiesId`: no rule's own may have a colon in it. */
export const isSynCookiesId = (id: string) => id.endsWith(':syn-cookies');

/** What a policy's subject is known by where it learns: no rule's own id has a colon in it. */
export const learnerId = (document: Named) => `${document.metadata.name}/subject:learn`;

const strictness: Record<HardeningMode, number> = { off: 0, learn: 1, monitor: 2, enforce: 3 };

/** Whether a rule asks for more than its policy; the documents are refused then. */
export const raisesMode = (policy: HardeningMode, rule: HardeningMode | undefined) =>
  rule !== undefined && strictness[rule] > strictness[policy];

/** A rule's own mode, never above its policy's. */
export const effectiveMode = (policy: Mode, rule: Mode | undefined): Mode =>
  rule === undefined || strictness[rule] > strictness[policy] ? policy : rule;

const lower = (policy: HardeningMode, rule: HardeningMode | undefined): HardeningMode =>
  rule === undefined || strictness[rule] > strictness[policy] ? policy : rule;

/** The mode of a rule that decides or is reported; null: it is off, or in a mode that decides nothing. */
export function activeMode(
  policy: HardeningMode,
  rule: HardeningMode | undefined,
): 'monitor' | 'enforce' | null {
  const mode = lower(policy, rule);
  return mode === 'monitor' || mode === 'enforce' ? mode : null;
}

/** Whether what a rule is about is to be kept. */
export const isLearnt = (policy: HardeningMode, rule: HardeningMode | undefined) =>
  lower(policy, rule) === 'learn';

/** How defaults of a policy are judged by; null: they are not. */
export const defaultMode = (policy: HardeningMode) => activeMode(policy, undefined);
