// husk policy diff: which traffic two policies decide differently, over all packets there are.

import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { ClassesTooManyError, shortBounds, usualBounds } from '../../agent/policy/classes/diagram.ts';
import {
  type Difference,
  type DifferenceKind,
  diffPolicies,
  type PolicyDifference,
} from '../../agent/policy/classes/diff.ts';
import { decider, type Outcome, type Step } from '../../agent/policy/classes/outcome.ts';
import { formatFault } from '../../agent/policy/faults.ts';
import { readPolicyFiles } from '../policy/documents.ts';
import { slowly } from '../policy/proofs.ts';
import { type CommandFile, collect, count, withJson } from './common.ts';
import { Failure, type Io, shown } from './io.ts';

interface Options {
  readonly json?: boolean;
  readonly exitCode?: boolean;
  readonly thorough?: boolean;
  readonly most: number;
  readonly with?: readonly string[];
}

export const policyDiff: CommandFile = (parent, io) => {
  withJson(parent, 'diff <before> <after>', 'Which traffic changes its verdict between two policy files')
    .option(
      '--with <file>',
      'read this file on both sides, as for address lists; may be given again',
      collect,
    )
    .option('--exit-code', 'exit 1 where they differ')
    .option('--most <count>', 'differences told of each zone and direction', count(1, 1_000_000), 200)
    .option('--thorough', 'go on for minutes where many rules overlap, with some gigabytes of memory')
    .addHelpText(
      'after',
      `
Every packet there is counts, not a sample: both policies are parted into classes of packets and laid over one another. Zones
are compared by interface, so that a renamed zone is no change. Each change shows the packets field by field, the rules that
decide, and one packet, which was judged under both. What a device's configuration never drops is left out. Of hardening
policies and of what is to be proven it is said which are written otherwise, and not what that changes. Exit 0 whatever the difference, unless --exit-code is given. Needs no controller.

Example:
  husk policy diff branch.yaml branch-new.yaml --with lists.yaml`,
    )
    .action((before: string, after: string, options: Options) => {
      const common = options.with ?? [];
      const sides = [read([before, ...common], io), read([after, ...common], io)] as const;
      const difference = differenceOf(sides, options, io);
      if (options.json === true) io.out(JSON.stringify(jsonOf(difference), null, 2));
      else say(difference, io);
      const isSame = [difference.differences, difference.settings, difference.texts].every(
        ({ length }) => length === 0,
      );
      if (options.exitCode === true && !isSame) throw new Failure('the policies differ');
    });
};

function read(files: readonly string[], io: Io): readonly PolicyDocument[] {
  const { documents, faults } = readPolicyFiles(files);
  const errors = faults.filter(({ severity }) => severity === 'error');
  for (const fault of errors) io.err(formatFault(fault));
  if (errors.length > 0) throw new Failure(`${errors.length} fault${errors.length === 1 ? '' : 's'}`);
  return documents;
}

function differenceOf(
  [before, after]: readonly [readonly PolicyDocument[], readonly PolicyDocument[]],
  { thorough: isThorough = false, most }: Options,
  io: Io,
): PolicyDifference {
  const slow = slowly(io.progress?.bind(io), 'comparing');
  try {
    return diffPolicies(before, after, {
      bounds: { ...(isThorough ? usualBounds : shortBounds), onSteps: slow.onSteps },
      differencesMax: most,
      onProgress: slow.lists,
    });
  } catch (error) {
    if (!(error instanceof ClassesTooManyError)) throw error;
    const advice = isThorough
      ? 'compare in smaller steps: a version between the two, or one zone at a time'
      : '--thorough goes on for minutes; a version between the two, with fewer rules changed, is compared sooner';
    throw new Failure(`${error.message}; ${advice}`);
  } finally {
    slow.end();
  }
}

const kindWords: Readonly<Record<DifferenceKind, string>> = {
  verdict: '',
  limit: 'limits',
  mode: 'monitor mode',
  report: 'logging and answers',
  rule: 'same verdict, by another rule',
};

function say({ differences, untold, rules, settings, texts }: PolicyDifference, io: Io): void {
  let heading = '';
  for (const one of differences) {
    const place = `${zoneWords(one)}, ${one.direction}: ${changeWords(one)}`;
    if (place !== heading) io.out(io.paint('bold', shown(place)));
    heading = place;
    for (const { text } of one.packets) io.out(shown(`  ${text}`));
    if (!one.isAll) io.out('  and more packets like these');
    io.out(io.paint('dim', shown(`    ${whoWords(one.before)} → ${whoWords(one.after)}`)));
    io.out(io.paint('dim', shown(`    such as ${one.example.words}`)));
  }
  const left = Object.entries(untold).filter(([, number]) => number > 0);
  if (left.length > 0) {
    const words = left.map(
      ([kind, number]) => `${number} of ${kindWords[kind as DifferenceKind] || 'verdict'}`,
    );
    io.out(`and more differences: ${words.join(', ')}; --most tells more of them`);
  }
  if (differences.length === 0) io.out('no packet is decided otherwise');
  for (const setting of settings) io.out(shown(`setting ${setting}`));
  for (const text of texts) io.out(shown(`${text}, not compared`));
  io.out(
    [
      named(rules.added, 'added'),
      named(rules.removed, 'removed'),
      named(rules.changed, 'written otherwise'),
    ].join(', '),
  );
}

function zoneWords({ zones: [before, after], interface: name }: Difference): string {
  if (before === after) return `zone ${before}`;
  return `interfaces such as ${name} (zone ${before ?? 'none'} → ${after ?? 'none'})`;
}

function changeWords({ kind, before, after }: Difference): string {
  if (kind !== 'verdict') return kindWords[kind];
  return `${decider(before).verdict} → ${decider(after).verdict}`;
}

/** `rule branch/ssh, allow within 10/s, per source, else dropped`. */
function whoWords({ stages }: Outcome): string {
  const [first] = stages;
  const notes = [
    ...(first?.monitored == null ? [] : [`monitored by ${first.monitored}`]),
    ...(first?.logged == null ? [] : [`logged by ${first.logged}`]),
  ];
  return [...stages.map(stepWords), ...notes].join(', ');
}

function stepWords({ reason, rule, verdict, limit, over, rejectWith, reported }: Step): string {
  const by =
    reason === 'rule'
      ? `rule ${rule}`
      : reason === 'default'
        ? `default${rule === null ? '' : ` ${rule}`}`
        : reason === 'unzoned'
          ? 'in no zone'
          : reason;
  const within =
    limit === null ? '' : ` within ${limit}${over === 'drop' ? ', else dropped' : ', else on to'}`;
  const answer = rejectWith === null ? '' : ` with ${rejectWith}`;
  const sample =
    reported === null || (reported === 1 && verdict !== 'allow') ? '' : `, reported 1 in ${reported}`;
  return `${by} (${verdict}${answer}${within}${sample})`;
}

function named(rules: readonly string[], what: string): string {
  const names = rules.length > 0 && rules.length <= 5 ? ` (${rules.map(shown).join(', ')})` : '';
  return `${rules.length} rule${rules.length === 1 ? '' : 's'} ${what}${names}`;
}

/** Without what the example is judged with: bytes as they are and the device made up for it. */
function jsonOf({ differences, ...rest }: PolicyDifference) {
  return {
    differences: differences.map(({ example, ...one }) => {
      const { at: _, device: __, ...packet } = example;
      return { ...one, example: packet };
    }),
    ...rest,
  };
}
