// Chains to one list: what a hook decides, as conditions and verdicts of which the first that holds counts.
//
// A jump is the called chain under the conditions of the jump; what it does not decide comes back and goes on
// behind it. RETURN and goto take packets out of the rest of a chain: the rest is walked under what is left, which
// is calculated exactly (box.ts). Where several chains hang on one hook, what one accepts is judged by the next,
// so each accept is the whole of the next chain under its conditions.
//
//   -A INPUT -j guests               guests: from guests, to 53       → allow
//   -A guests ! -s GUESTS -j RETURN                from guests           → drop
//   -A guests --dport 53 -j ACCEPT   INPUT:  …
//   -A guests -j DROP
//
// What cannot be carried over never becomes an allow. An accept is left out. A drop is left out, and which later
// accepts now see its packets is found in the finished list. A jump stands for its whole chain. Behind a RETURN
// or goto that cannot be carried over, accepts leave out what it may have taken away, and drops stand.

import type { RejectWith } from '../../contract/policy.ts';
import { type Box, conjoin, everything, subtractAll } from './box.ts';
import { ImportError, type Origin, type Report } from './report.ts';
import type { Base, Hook, LimitTerm, Ruleset, Step } from './ruleset.ts';

/** One rule of the finished list. */
export interface Flat {
  readonly box: Box;
  readonly action: 'allow' | 'drop' | 'reject' | 'log';
  readonly rejectWith?: RejectWith;
  /** `over: drop` where the verdict is for packets above the rate. */
  readonly limit?: { readonly term: LimitTerm; readonly over: 'next' | 'drop' };
  readonly log?: boolean;
  readonly origin: Origin;
  /** It is the policy of a chain. */
  readonly isPolicy: boolean;
}

/** Rules of one hook; a zone takes no more (see ../shapes.ts). */
const flatsMax = 10_000;
/** Boxes that a rest of a chain may fall into before RETURN counts as not carried over. */
const piecesMax = 64;
/** Places in one chain behind which accepts are cut one by one. */
const taintsMax = 16;
/** Conjunctions over one hook: bounds the time that hostile chains cost. */
const workMax = 400_000;
/** The kernel takes 16 jumps in nft, and no loops anywhere. */
const depthMax = 64;

/** Throws ImportError where chains call each other in a circle or come to too many rules. */
export function flatten(ruleset: Ruleset, hook: Hook, report: Report): readonly Flat[] {
  return new Walk(ruleset, hook, report).run();
}

/** Packets that a RETURN or goto that cannot be carried over may have taken out. */
interface Taint {
  readonly boxes: readonly Box[];
  readonly origin: Origin;
}

interface Frame {
  readonly base: number;
  readonly stack: readonly string[];
  readonly taints: readonly Taint[];
  /** Why nothing below can be carried over, where a jump on the way cannot. */
  readonly unknown: readonly string[];
}

/** Something left out, with the place in the list where it would have stood. */
interface LeftOut {
  readonly origin: Origin;
  readonly reason: string;
  readonly boxes: readonly Box[];
  readonly at: number;
  readonly was: 'accept' | 'drop';
}

class Walk {
  readonly #ruleset: Ruleset;
  readonly #bases: readonly Base[];
  readonly #report: Report;
  readonly #flats: Flat[] = [];
  readonly #leftOut: LeftOut[] = [];
  #work = 0;

  constructor(ruleset: Ruleset, hook: Hook, report: Report) {
    this.#ruleset = ruleset;
    this.#bases = ruleset.bases.filter((base) => base.hook === hook);
    this.#report = report;
  }

  run(): readonly Flat[] {
    if (this.#bases.length === 0) return [];
    this.#enter(0, [everything], null);
    for (const one of this.#leftOut) this.#tell(one);
    return this.#flats;
  }

  /** Packets that all chains before `index` have accepted; `last` is the step that accepted them. */
  #enter(index: number, boxes: readonly Box[], last: { step: Step | null; origin: Origin } | null): void {
    if (boxes.length === 0) return;
    const base = this.#bases[index];
    if (base === undefined) {
      if (last === null) return;
      for (const box of boxes) this.#emit({ ...flatOf(last), box });
      return;
    }
    const mine = base.family === null ? boxes : this.#both(boxes, [{ family: base.family }]);
    const frame: Frame = { base: index, stack: [base.chain], taints: [], unknown: [] };
    this.#chain(base.chain, mine, frame);
    const policy = { step: null, origin: base.origin };
    if (base.policy === 'accept') this.#enter(index + 1, mine, policy);
    else for (const box of mine) this.#emit({ box, action: 'drop', origin: base.origin, isPolicy: true });
    if (base.family !== null) {
      const other = this.#both(boxes, [{ family: base.family === 4 ? 6 : 4 }]);
      this.#enter(index + 1, other, last ?? policy);
    }
  }

  #chain(name: string, entering: readonly Box[], frame: Frame): void {
    const steps = this.#ruleset.chains.get(name) ?? [];
    let spaces = entering;
    let taints = frame.taints;
    for (const [index, step] of steps.entries()) {
      if (spaces.length === 0) return;
      const boxes = this.#both(spaces, step.boxes);
      if (boxes.length === 0) continue;
      const here: Frame = { ...frame, taints };
      if (!takesAway(step)) {
        this.#step(step, boxes, here);
        continue;
      }
      if (step.does.kind === 'goto') this.#step(step, boxes, here);
      const left = this.#takeAway(step, steps[index + 1], spaces, boxes, here);
      if (left === null) taints = [...taints, { boxes, origin: step.origin }];
      else spaces = left;
    }
  }

  #step(step: Step, boxes: readonly Box[], frame: Frame): void {
    const { does, origin, limit } = step;
    const unknown = [...frame.unknown, ...step.unknown];
    switch (does.kind) {
      case 'none':
      case 'return':
        return;
      case 'undecided':
        this.#leave(step, boxes, does.reason, 'drop');
        return;
      case 'log':
        if (unknown.length > 0 || limit?.isAbove === true)
          this.#report.add(origin, `${unknown[0] ?? aboveReason}; nothing is logged for it`, 'none');
        else for (const box of boxes) this.#emit({ ...logOf(step), box });
        return;
      case 'accept':
        if (unknown.length > 0) this.#leave(step, boxes, unknown.join('; '), 'accept');
        else if (limit?.isAbove === true) this.#leave(step, boxes, aboveReason, 'accept');
        else if (limit !== null && frame.base + 1 < this.#bases.length)
          this.#leave(step, boxes, 'a limit in front of another chain on the same hook', 'accept');
        else this.#accept(step, boxes, frame);
        return;
      case 'drop':
      case 'reject':
        if (unknown.length > 0) this.#leave(step, boxes, unknown.join('; '), 'drop');
        else this.#refuse(step, boxes);
        return;
      case 'jump':
      case 'goto':
        this.#jump(step, does.chain, boxes, { ...frame, unknown });
    }
  }

  #accept(step: Step, boxes: readonly Box[], frame: Frame): void {
    let left: readonly Box[] | null = boxes;
    if (frame.taints.length > taintsMax) {
      this.#leave(
        step,
        boxes,
        'too much before it that cannot be carried over may have taken its packets',
        'accept',
      );
      return;
    }
    for (const taint of frame.taints) {
      if (left === null || this.#both(left, taint.boxes).length === 0) continue;
      const reason = `what ${placeOf(taint.origin)} may have taken out before, which cannot be carried over`;
      this.#leave(step, this.#both(left, taint.boxes), reason, 'accept');
      this.#count(null, left.length * taint.boxes.length);
      left = subtractAll(left, taint.boxes, piecesMax);
    }
    if (left !== null) this.#enter(frame.base + 1, left, { step, origin: step.origin });
  }

  #refuse(step: Step, boxes: readonly Box[]): void {
    const { origin, limit, does } = step;
    if (limit?.isAbove === true) {
      if (does.kind === 'reject')
        this.#report.add(origin, 'above a rate packets are dropped, without an answer', 'none');
      for (const box of boxes) this.#emit({ ...aboveOf(limit, origin), box });
      return;
    }
    const limited = limit === null ? {} : { limit: { term: limit, over: 'next' as const } };
    const verdict =
      does.kind === 'reject'
        ? { action: 'reject' as const, ...(does.with === null ? {} : { rejectWith: does.with }) }
        : { action: 'drop' as const };
    for (const box of boxes) this.#emit({ box, ...verdict, ...limited, origin, isPolicy: false });
  }

  #jump(step: Step, chain: string, boxes: readonly Box[], frame: Frame): void {
    if (frame.stack.includes(chain) || frame.stack.length >= depthMax)
      throw new ImportError(
        `${placeOf(step.origin)}: chain ${nameOf(chain)} is called from within itself, or too deep`,
      );
    let { unknown } = frame;
    if (step.limit !== null && unknown.length === 0) unknown = ['a limit on a jump'];
    if (unknown.length > 0)
      this.#report.add(
        step.origin,
        `${unknown.join('; ')}: nor can what chain ${nameOf(chain)} does then`,
        'none',
      );
    const reasons =
      unknown.length === 0 ? [] : [`is reached by ${placeOf(step.origin)}: ${unknown.join('; ')}`];
    this.#chain(chain, boxes, { ...frame, unknown: reasons, stack: [...frame.stack, chain] });
  }

  /** What stays in the chain behind a RETURN or goto; null where that cannot be said. */
  #takeAway(
    step: Step,
    next: Step | undefined,
    spaces: readonly Box[],
    boxes: readonly Box[],
    frame: Frame,
  ): readonly Box[] | null {
    const { origin, limit } = step;
    const unknown = [...frame.unknown, ...step.unknown];
    // Below a jump that cannot be carried over nothing becomes a rule, so that nothing has to be kept apart.
    if (frame.unknown.length > 0) return spaces;
    this.#count(null, spaces.length * boxes.length);
    const gone = unknown.length === 0 ? subtractAll(spaces, boxes, piecesMax) : null;
    if (
      gone !== null &&
      limit !== null &&
      !limit.isAbove &&
      step.does.kind === 'return' &&
      dropsAllOf(next, boxes)
    ) {
      // RETURN within a rate, and then a drop: who is within goes on behind the chain, who is above is dropped.
      for (const box of boxes) this.#emit({ ...aboveOf(limit, origin), box });
      return gone;
    }
    if (gone !== null && limit === null) return gone;
    const reason =
      unknown[0] ?? (limit === null ? 'what it leaves in the chain cannot be said' : 'a limit on it');
    this.#report.add(
      origin,
      `${reason}; accepts behind it leave out what it may have taken away`,
      'stricter',
    );
    return null;
  }

  #leave(step: Step, boxes: readonly Box[], reason: string, was: LeftOut['was']): void {
    this.#leftOut.push({ origin: step.origin, reason, boxes, at: this.#flats.length, was });
    if (this.#leftOut.length > flatsMax) throw tooMany(step.origin);
  }

  /** Which later rules decide about what was left out. */
  #tell({ origin, reason, boxes, at, was }: LeftOut): void {
    const meets = (flat: Flat) => boxes.some((box) => this.#count(conjoin(box, flat.box)) !== null);
    const later = this.#flats.slice(at);
    if (was === 'accept') {
      const isDropped = later.some(({ action, limit }, index) => {
        const flat = later[index];
        return (
          (action === 'drop' || action === 'reject' || limit?.over === 'drop') &&
          flat !== undefined &&
          meets(flat)
        );
      });
      this.#report.add(origin, reason, isDropped ? 'stricter' : 'none');
      return;
    }
    const allows = later.filter((flat) => flat.action === 'allow' && meets(flat));
    const mayPass = [...new Set(allows.map((flat) => `${placeOf(flat.origin)}: ${flat.origin.text}`))];
    this.#report.add(origin, reason, mayPass.length > 0 ? 'wider' : 'none', mayPass);
  }

  #both(a: readonly Box[], b: readonly Box[]): readonly Box[] {
    const boxes: Box[] = [];
    for (const one of a) {
      for (const other of b) {
        const both = this.#count(conjoin(one, other));
        if (both !== null) boxes.push(both);
      }
    }
    return boxes;
  }

  #count<T>(value: T, work = 1): T {
    this.#work += work;
    if (this.#work > workMax)
      throw new ImportError('its chains take too much work to be written out as rules');
    return value;
  }

  #emit(flat: Flat): void {
    if (this.#flats.length >= flatsMax) throw tooMany(flat.origin);
    this.#flats.push(flat);
  }
}

/** A chain as its ruleset calls it; keys begin with family and table. */
const nameOf = (key: string) => key.split(' ').at(-1) ?? key;

const aboveReason = 'a condition that holds above a rate only';

const tooMany = (origin: Origin) =>
  new ImportError(`${placeOf(origin)}: chains written out come to more than ${flatsMax} rules`);

export const placeOf = (origin: Origin): string => (origin.line > 0 ? `line ${origin.line}` : origin.name);

const takesAway = ({ does }: Step) => does.kind === 'return' || does.kind === 'goto';

/** Whether the step drops all of the packets, whatever else it drops. */
const dropsAllOf = (step: Step | undefined, boxes: readonly Box[]): boolean =>
  step !== undefined &&
  step.does.kind === 'drop' &&
  step.limit === null &&
  step.unknown.length === 0 &&
  subtractAll(boxes, step.boxes, piecesMax)?.length === 0;

function flatOf({ step, origin }: { step: Step | null; origin: Origin }): Omit<Flat, 'box'> {
  const limited =
    step === null || step.limit === null ? {} : { limit: { term: step.limit, over: 'next' as const } };
  const logged = step?.log === true ? { log: true } : {};
  return { action: 'allow', ...limited, ...logged, origin, isPolicy: step === null };
}

const logOf = ({ origin, limit }: Step): Omit<Flat, 'box'> => ({
  action: 'log',
  ...(limit === null ? {} : { limit: { term: limit, over: 'next' as const } }),
  origin,
  isPolicy: false,
});

/** Drops what is above the rate and lets the rest go on: the one action that goes on is log. */
const aboveOf = (term: LimitTerm, origin: Origin): Omit<Flat, 'box'> => ({
  action: 'log',
  limit: { term, over: 'drop' },
  origin,
  isPolicy: false,
});
