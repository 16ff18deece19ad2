// The words of one rule of iptables: conditions as boxes, and what is done.
//
// Words come in the order of iptables-save: conditions of the IP header, then `-m match` with its options, then
// `-j target` with its options. Of a match that is not known here all options are skipped and named as the reason.
// iptables-restore takes them in any order, and people write files for it: conditions may stand behind a target.

import type { Box } from './box.ts';
import { allOf, onlyLoopback } from './conditions.ts';
import type { IpSet } from './ipset.ts';
import { type Draft, matches, type Option } from './iptables-matches.ts';
import { ownOptions, readTarget } from './iptables-targets.ts';
import type { Origin, Report } from './report.ts';
import type { Does, Step } from './ruleset.ts';

export interface RuleContext {
  readonly family: 4 | 6;
  /** null: none were given. */
  readonly sets: ReadonlyMap<string, IpSet> | null;
  readonly chains: Set<string>;
  readonly report: Report;
  /** How many rules name each hashlimit. */
  readonly hashlimits: Map<string, number>;
  /** Names of documents by names of sets. */
  readonly setNames: Map<string, string>;
}

/** Combinations of the conditions of one rule. */
const boxesMax = 256;
const wordsMax = 1000;

/** `keyOf`: what a chain is called among those of all families. */
export function readRule(
  words: readonly string[],
  origin: Origin,
  keyOf: (chain: string) => string,
  context: RuleContext,
): Step {
  const draft: Draft = { context, conditions: [], unknown: [], limit: null, protocol: null };
  let does: Does = { kind: 'none' };
  let at = words.length > wordsMax ? words.length : 0;
  if (at > 0) draft.unknown.push(`more than ${wordsMax} words`);
  let match = 'ip';
  let targets = 0;
  while (at < words.length) {
    const word = words[at] ?? '';
    if (word === '-m' || word === '--match') {
      match = words[at + 1] ?? '';
      at = enterMatch(match, words, at + 2, draft);
    } else if (word === '-j' || word === '-g' || word === '--jump' || word === '--goto') {
      const target = {
        name: words[at + 1] ?? '',
        options: words.slice(at + 2),
        isGoto: word === '-g' || word === '--goto',
      };
      does = readTarget(target, { origin, keyOf, context });
      if (++targets > 1) draft.unknown.push('two targets in one rule');
      at += 2 + ownOptions(target, context.chains);
    } else {
      at = readOption(match, words, at, draft);
    }
  }
  const boxes = draft.conditions.some((one) => typeof one === 'string')
    ? draft.conditions.filter((one) => typeof one !== 'string')
    : draft.conditions;
  const joined = allOf(boxes as readonly (readonly Box[])[], boxesMax);
  const unknown = [...draft.unknown, ...draft.conditions.filter((one) => typeof one === 'string')];
  tellOfLoopback(words, does, origin, context);
  if (typeof joined === 'string')
    return { origin, boxes: [{}], limit: null, unknown: [...unknown, joined], does };
  return { origin, boxes: joined, limit: draft.limit, unknown, does };
}

/** Options before any match, and of those matches that a protocol brings with it. */
function readOption(match: string, words: readonly string[], at: number, draft: Draft): number {
  const isNot = words[at] === '!';
  const name = words[at + (isNot ? 1 : 0)] ?? '';
  const own = Object.hasOwn(matches, match) ? matches[match] : undefined;
  const option: Option | undefined =
    lookUp(own, name) ?? lookUp(matches.ip, name) ?? lookUp(matches[draft.protocol ?? ''], name);
  const from = at + (isNot ? 2 : 1);
  if (option === undefined) {
    let end = from;
    while (end < words.length && !/^(-|!$)/.test(words[end] ?? '')) end++;
    const text = words.slice(at, end).join(' ').slice(0, 100);
    draft.unknown.push(match === 'ip' ? `"${text}" is not known here` : `"${text}" of match ${match}`);
    return Math.max(end, at + 1);
  }
  const values = words.slice(from, from + option.values);
  if (values.length < option.values) draft.unknown.push(`"${name}" without its value`);
  else option.read(draft, values, isNot);
  return from + option.values;
}

const lookUp = (options: Readonly<Record<string, Option>> | undefined, name: string): Option | undefined =>
  options !== undefined && Object.hasOwn(options, name) ? options[name] : undefined;

/** Behind `-m NAME`: 'entered' by itself where it is known, else past all of its options. */
function enterMatch(name: string, words: readonly string[], at: number, draft: Draft): number {
  const own = Object.hasOwn(matches, name) ? matches[name] : undefined;
  if (own !== undefined && name !== 'ip') {
    lookUp(own, 'enter')?.read(draft, [], false);
    return at;
  }
  let end = at;
  while (end < words.length && !['-m', '--match', '-j', '--jump', '-g', '--goto'].includes(words[end] ?? ''))
    end++;
  draft.unknown.push(
    `match ${['-m', name, ...words.slice(at, end)].join(' ').slice(0, 120)} cannot be carried over`,
  );
  return end;
}

function tellOfLoopback(words: readonly string[], does: Does, origin: Origin, { report }: RuleContext): void {
  for (const option of ['-i', '-o']) {
    const at = words.indexOf(option);
    const name = words[at + 1];
    if (at < 0 || name === undefined || words[at - 1] === '!' || !onlyLoopback([name])) continue;
    const isAllow =
      does.kind === 'accept' || does.kind === 'none' || does.kind === 'log' || does.kind === 'return';
    const reason = 'the loopback interface is never judged: its packets always pass';
    if (isAllow) report.add(origin, reason, 'none');
    else
      report.add(origin, reason, 'wider', [
        'packets on the loopback interface that this rule, or its chain, dropped',
      ]);
  }
}
