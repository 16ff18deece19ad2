// A proposed policy as YAML, with what each line rests on beside it.

import { Document, isMap, isScalar, isSeq, type YAMLMap } from 'yaml';
import type { Proposal } from './propose-policy.ts';

/** Devices asked that gave no profile, and why: `router-3: offline`. */
export interface Unanswered {
  readonly device: string;
  readonly why: string;
}

/** `asked`: devices that the profile was asked of. */
export function proposalText(proposal: Proposal, unanswered: readonly Unanswered[], lost: number): string {
  const { policy, devices, devicesSeeing, leftOut } = proposal;
  const document = new Document(policy, { aliasDuplicateObjects: false });
  const rules = document.getIn(['spec', 'rules']);
  if (isSeq(rules)) for (const rule of rules.items) if (isMap(rule)) comment(rule, proposal);
  const asked = devices + unanswered.length;
  document.commentBefore = [
    `Proposed from what ${devices} of ${asked} devices learnt. All that was seen is allowed, the rest is denied.`,
    'Read it, take out what the service need not do, try it in shadow, then set mode to enforce.',
    ...(devicesSeeing < devices
      ? [
          `${devices - devicesSeeing} of these devices see calls alone: what is done to files and programs is of the others.`,
        ]
      : []),
    ...(lost > 0 ? [`${lost} things were not kept for want of room: learn again with narrower rules.`] : []),
    ...unanswered.map(({ device, why }) => `no answer: ${oneLine(device)}: ${oneLine(why)}`),
    ...leftOut.map(({ what, why }) => `left out: ${oneLine(what)}: ${oneLine(why)}`),
  ]
    .map((line) => ` ${line}`)
    .join('\n');
  return document.toString({ lineWidth: 0 });
}

function comment(rule: YAMLMap, { seenOn, devices, devicesSeeing }: Proposal): void {
  const id = String(rule.get('id'));
  const isCall = rule.has('connect') || rule.has('bind');
  const note = (word: string) => {
    const count = seenOn.get(`${id}/${word}`);
    return count === undefined ? null : ` seen on ${count} of ${isCall ? devices : devicesSeeing}`;
  };
  const whole = note('');
  const idNode = rule.get('id', true);
  if (whole !== null && isScalar(idNode)) idNode.comment = whole;
  const used = [...seenOn].filter(([key]) => key.startsWith(`${id}/not `));
  if (used.length > 0 && isScalar(idNode)) {
    const each = used.map(([key, count]) => `${key.slice(`${id}/not `.length)} ${count} of ${devicesSeeing}`);
    idNode.comment = ` used: ${each.map(oneLine).join(', ')}`;
  }
  commentItems(rule, note);
}

/** Every text of a list that was counted. */
function commentItems(node: unknown, note: (word: string) => string | null): void {
  if (isMap(node)) for (const { value } of node.items) commentItems(value, note);
  if (!isSeq(node)) return;
  for (const item of node.items) {
    const said = isScalar(item) && typeof item.value === 'string' ? note(item.value) : null;
    if (isScalar(item) && said !== null) item.comment = said;
  }
}

const oneLine = (text: string) =>
  text
    .toWellFormed()
    .replace(/[\p{Cc}\u2028\u2029]/gu, '?')
    .slice(0, 300);
