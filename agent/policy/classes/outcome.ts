// What a packet comes to under one policy, as far as rules say it.
//
// Of a packet it is not known how many came before it: where the rule that decides has a limit, it decides within that
// limit, and what happens above is the next stage. A rule with `over: drop` is the last stage and drops above.

import type { Limit, PacketRule } from '../../contract/policy.ts';

export type Verdict = 'allow' | 'drop' | 'reject';

export interface Stage {
  /** The rule or default by its stable id; null: nothing judges here. */
  readonly rule: string | null;
  readonly reason: 'rule' | 'default' | 'unzoned';
  readonly verdict: Verdict;
  /** In words; null: none. */
  readonly limit: string | null;
  /** What happens above the limit: the next stage, or dropped. */
  readonly over: 'drop' | 'next' | null;
  readonly rejectWith: string | null;
  /** One in so many packets is reported; null: none for this rule's sake. */
  readonly reported: number | null;
}

/** A stage as it is come to. */
export interface Step extends Stage {
  /** The first rule or default in monitor mode that holds before it. */
  readonly monitored: string | null;
  /** The first rule of action log that holds before it. */
  readonly logged: string | null;
}

export interface Outcome {
  /** At least one; each but the last has a limit with `over: next`. */
  readonly stages: readonly Step[];
}

/** Whether every packet gets one of the verdicts whatever the rates are; `within` leaves out what is above a limit with `over: drop`. */
export function surely(
  { stages }: Outcome,
  wanted: 'allow' | 'drop',
  { within }: { within: boolean },
): boolean {
  const isAllowed = wanted === 'allow';
  return stages.every(
    ({ verdict, over }) => (verdict === 'allow') === isAllowed && (within || !isAllowed || over !== 'drop'),
  );
}

export const decider = (outcome: Outcome): Step => {
  const first = outcome.stages[0];
  if (first === undefined) throw new RangeError('an outcome without a stage');
  return first;
};

/** `10/s, burst 20, per source /32 /64`. */
export function limitWords({ rate, burst, per = 'rule', prefix }: Limit): string {
  const source = per === 'source' ? ` /${prefix?.ipv4 ?? 32} and /${prefix?.ipv6 ?? 64}` : '';
  return [rate, ...(burst === undefined ? [] : [`burst ${burst}`]), `per ${per}${source}`].join(', ');
}

/** Default: drop for allow, next for the others. */
export const overOf = ({ action, limit }: PacketRule): Stage['over'] =>
  limit === undefined ? null : (limit.over ?? (action === 'allow' ? 'drop' : 'next'));

/** Numbers for outcomes: the same outcome is the same number. */
export class Outcomes {
  readonly #numbers = new Map<string, number>();
  readonly #all: Outcome[] = [];

  number(outcome: Outcome): number {
    const key = JSON.stringify(outcome);
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#all.length;
      this.#numbers.set(key, number);
      this.#all.push(outcome);
    }
    return number;
  }

  at(number: number): Outcome {
    const outcome = this.#all[number];
    if (outcome === undefined) throw new RangeError(`no outcome ${number}`);
    return outcome;
  }
}
