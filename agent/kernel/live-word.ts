// The live word: which of the two slots every hook judges by, and until when.
//
//                     beginTrial(slot, deadline)
//      ┌───────────┐ ───────────────────────────▶ ┌───────────────┐
//      │ settled A │                              │ trial B until │
//      └───────────┘ ◀─── returnNow / deadline ── └───────────────┘
//            ▲                                            │ confirm
//            └──────────── settled B ◀────────────────────┘
//
// One u32, changed by one atomic store or compare-and-swap, read by programs at any moment. A program that
// meets a trial past its deadline stores the word it saw in `expired`; from then on the other slot is in
// force, for good, whether the agent lives or not. All of it is drawn in bpf/abi/abi.h.

import {
  HUSK_LIVE_DEADLINE,
  HUSK_LIVE_SLOT,
  HUSK_LIVE_TRIAL,
  HuskControl,
} from '../../bpf/abi/layout.gen.ts';
import type { Words } from '../../native/index.ts';

export type Slot = 0 | 1;

export interface LiveWord {
  readonly trial: boolean;
  readonly slot: Slot;
  /** Seconds of CLOCK_BOOTTIME; 0 outside a trial. */
  readonly deadline: number;
}

export function otherSlot(slot: Slot): Slot {
  return slot === 0 ? 1 : 0;
}

export function encodeLiveWord(word: LiveWord): number {
  if (word.deadline < 0 || word.deadline > HUSK_LIVE_DEADLINE)
    throw new RangeError(`deadline ${word.deadline}`);
  return ((word.trial ? HUSK_LIVE_TRIAL : 0) | (word.slot === 1 ? HUSK_LIVE_SLOT : 0) | word.deadline) >>> 0;
}

export function decodeLiveWord(word: number): LiveWord {
  return {
    trial: (word & HUSK_LIVE_TRIAL) !== 0,
    slot: (word & HUSK_LIVE_SLOT) !== 0 ? 1 : 0,
    deadline: word & HUSK_LIVE_DEADLINE,
  };
}

const liveOffset = HuskControl.offset.live;
const expiredOffset = HuskControl.offset.expired;
const budgetOffset = HuskControl.offset.packetEventsPerSecond;
const traceOffset = HuskControl.offset.traceUntilS;
const shadowOffset = HuskControl.offset.shadow;
const generationsOffset = HuskControl.offset.generations;

/** How a trial came to its end, seen from the word. */
export type TrialEnd = 'confirmed' | 'returned';

/** Owns the words shared with the programs. The only writer besides the programs' own `expired`. */
export class LiveControl {
  readonly #words: Words;
  readonly #bootSeconds: () => number;

  /** `bootSeconds`: CLOCK_BOOTTIME in whole seconds, rounded down, as the programs compute it. */
  constructor(words: Words, bootSeconds: () => number) {
    this.#words = words;
    this.#bootSeconds = bootSeconds;
  }

  /** The word as stored. In a trial that ran out it still names the slot that was tried. */
  get word(): LiveWord {
    return decodeLiveWord(this.#words.load(liveOffset));
  }

  /** The slot that programs judge by from now on. */
  get inForce(): Slot {
    const raw = this.#words.load(liveOffset);
    const word = decodeLiveWord(raw);
    const over =
      word.trial && (this.#words.load(expiredOffset) === raw || this.#bootSeconds() >= word.deadline);
    return over ? otherSlot(word.slot) : word.slot;
  }

  /** A trial is running and its deadline has not been met. */
  get inTrial(): boolean {
    const word = this.word;
    return word.trial && this.inForce === word.slot;
  }

  get traceUntil(): number {
    return this.#words.load(traceOffset);
  }

  setTraceUntil(bootSeconds: number): void {
    this.#words.store(traceOffset, bootSeconds);
  }

  /** Whether the standby slot judges beside the live one, deciding nothing. */
  get isShadowed(): boolean {
    return this.#words.load(shadowOffset) === 1;
  }

  setShadowed(isShadowed: boolean): void {
    this.#words.store(shadowOffset, isShadowed ? 1 : 0);
  }

  setPacketEventsPerSecond(count: number): void {
    this.#words.store(budgetOffset, count);
  }

  /** A number for a new generation: greater than any given before, since the programs were loaded. */
  takeGenerationId(): number {
    const id = this.#words.load(generationsOffset) + 1;
    this.#words.store(generationsOffset, id);
    return id;
  }

  /** Puts a slot in force without a trial: at boot, for what was confirmed before, and for the baseline. */
  settle(slot: Slot): void {
    this.#words.store(liveOffset, encodeLiveWord({ trial: false, slot, deadline: 0 }));
  }

  /**
   * Puts the standby slot in force until `seconds` from now. No two trials get the same word: a program
   * that was held up for long could otherwise end a later trial with what it saw of an earlier one.
   */
  beginTrial(seconds: number): LiveWord {
    const before = this.word;
    if (before.trial) throw new Error('a trial is already running');
    if (this.isShadowed) throw new Error('the standby slot holds a policy in shadow');
    const last = decodeLiveWord(this.#words.load(expiredOffset)).deadline;
    const deadline = Math.max(this.#bootSeconds() + seconds, last + 1);
    const word: LiveWord = { trial: true, slot: otherSlot(before.slot), deadline };
    this.#words.store(liveOffset, encodeLiveWord(word));
    return word;
  }

  /**
   * Ends a trial well, if it is still running. The second look at `expired` is for a program that met the
   * deadline between our first look and the swap: it has judged by the previous slot, so that one stays.
   */
  confirm(trial: LiveWord): TrialEnd {
    const raw = encodeLiveWord(trial);
    if (this.#words.load(liveOffset) !== raw) return 'returned';
    if (this.#words.load(expiredOffset) === raw || this.#bootSeconds() >= trial.deadline)
      return this.returnNow(trial);
    const confirmed = encodeLiveWord({ trial: false, slot: trial.slot, deadline: 0 });
    if (this.#words.compareExchange(liveOffset, raw, confirmed) !== raw) return 'returned';
    if (this.#words.load(expiredOffset) === raw) {
      this.settle(otherSlot(trial.slot));
      return 'returned';
    }
    return 'confirmed';
  }

  /** Puts the slot from before the trial back in force. Does nothing where the word is no longer this trial's. */
  returnNow(trial: LiveWord): 'returned' {
    const previous = encodeLiveWord({ trial: false, slot: otherSlot(trial.slot), deadline: 0 });
    this.#words.compareExchange(liveOffset, encodeLiveWord(trial), previous);
    return 'returned';
  }

  close(): void {
    this.#words.close();
  }
}
