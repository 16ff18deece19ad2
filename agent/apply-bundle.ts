// Flow 1: a bundle arrives and becomes what the kernel enforces, or it does not and nothing has changed.
//
//   received ─▶ verified ─▶ fetched ─▶ compiled ─▶ loaded ─▶ proven ─▶ trial-stored ─▶ swapped
//                                                                                         │
//                    reported ◀─ stored ◀─ confirmed ◀─ answered ◀─ reconnected ◀─────────┘
//                        ▲                                  │
//                        └──────────── returned ◀───────────┘  no answer by the deadline, or superseded
//
// Up to `swapped` the policy in force is untouched, so a refusal costs nothing. From `swapped` on the kernel
// itself goes back at the deadline, whether we live or not. Confirmation counts only over a connection opened
// after the swap, with the controller's signature over the nonce of this very trial.
//
// One assignment is worked on at a time. A newer one ends a trial as superseded and only the newest waits.

import type { Assignment, ConfirmationAsked, SignedEnvelope } from './contract/bundle.ts';
import { type Refusal, RefusalError } from './contract/refusal.ts';
import type { DocumentState, InForce, ReturnReason, RuleState } from './contract/state.ts';
import { messageOf } from './contract/thrown.ts';
import type { Kernel, LiveWord, LoadedGeneration } from './kernel/kernel.ts';
import type { Made as MadePolicy, MadeWithTries, PolicyMaker } from './make-policy.ts';
import type { Clock } from './os/clock.ts';
import type { Log } from './os/log.ts';
import { hexNonce, type Random } from './os/random.ts';
import { canEnd, isOutdated } from './policy/applicable.ts';
import { type KernelMemory, memoryText } from './policy/kernel-memory.ts';
import type { PolicyZone } from './policy/policy-zones.ts';
import type { TableImage } from './policy/table-image.ts';
import { describeProof, ruleStates } from './rule-states.ts';
import type { Trusted } from './trust/keys.ts';
import type { BundleStore, LastAssignment } from './trust/store.ts';
import { type SignedBundle, verifyAssignment, verifyBundle, verifyConfirmation } from './trust/verify.ts';

/** Steps in their order; the log names each, and a fault test stops at one. */
export const steps = [
  'received',
  'verified',
  'fetched',
  'compiled',
  'loaded',
  'proven',
  'trial-stored',
  'swapped',
  'reconnected',
  'answered',
  'confirmed',
  'stored',
] as const;
export type Step = (typeof steps)[number];

/** What the flow needs of the link to the controller. */
export interface TrialLink {
  /** The bundle's bytes, in parts, at most `bytes`. Throws RefusalError bundle.unavailable. */
  fetchBundle(digest: string, bytes: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Closes the session and opens a new connection: name, TCP, TLS, MQTT. Tries until it is there or aborted. */
  reconnect(signal: AbortSignal): Promise<void>;
  /** Asks over the present connection, waits for an answer to this nonce. */
  askConfirmation(ask: ConfirmationAsked, signal: AbortSignal): Promise<SignedEnvelope>;
}

export interface ApplyParts {
  readonly we: { readonly tenant: string; readonly device: string };
  readonly trusted: () => Trusted;
  readonly store: BundleStore;
  readonly kernel: Kernel;
  readonly maker: PolicyMaker;
  readonly trial: { readonly minimumSeconds: number; readonly maximumSeconds: number };
  readonly bootId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Told of zones that are about to come into force, with their generation loaded. Does not throw. */
  readonly beforeSwap?: (zones: readonly PolicyZone[]) => void;
  /** Told after each step; a fault test stops the process in it. */
  readonly onStep: (step: Step) => void;
  /** Told whenever `state()` has changed. */
  readonly onChange: () => void;
  readonly audit: (what: string, detail: Readonly<Record<string, string | number | boolean | null>>) => void;
}

/** What is in force and how we know, for the reported state and the views. */
export interface ApplyState {
  readonly inForce: InForce | null;
  readonly assignment: LastAssignment | null;
  readonly rules: readonly RuleState[];
  readonly proven: string;
  /** What it takes of the kernel's memory, as it was stated before it was loaded, and what may be taken; bytes. */
  readonly memory: (KernelMemory & { readonly ceiling: number }) | null;
  readonly image: TableImage | null;
  /** Of each shield and exception of what is in force, whether it holds here, now. */
  readonly documents: readonly DocumentState[];
}

/** With what became of its proof. */
interface Made extends MadePolicy {
  readonly untried: readonly string[];
  /** What was proven and how, for people. */
  readonly proven: string;
}

/** Pause before a question for confirmation is asked again over a fresh connection. */
const askAgainMs = 1000;
/** Pause before the record of a confirmed bundle is written again to a disk that refused it. */
const storeAgainMs = 5000;
/** The digest in a baseline's generation record. */
const noBundle = '0'.repeat(64);

class Superseded extends Error {
  override readonly name = 'Superseded';
}

export class BundleApplier {
  readonly #parts: ApplyParts;
  #made: Made | null = null;
  #last: LastAssignment | null;
  #waiting: { readonly assignment: Assignment; readonly envelope: Uint8Array } | null = null;
  #working: {
    readonly assignment: Assignment;
    readonly abort: AbortController;
    readonly done: Promise<void>;
  } | null = null;
  #refusedOffer: Refusal | null = null;
  /** Why the confirmed bundle is not in force, so that it is said once. */
  #notEnforced: string | null = null;
  /** Refused for its content; not kept on disk, since a newer agent may understand it. */
  #refusedForGood: InForce | null = null;
  #link: TrialLink | null = null;
  #turn: Promise<void> = Promise.resolve();
  readonly #closing = new AbortController();
  /** What judges in shadow, as this life made it. */
  #shadow: MadePolicy | null = null;

  constructor(parts: ApplyParts) {
    this.#parts = parts;
    this.#last = parts.store.record.last;
  }

  // ── start: what was confirmed is in force before any connection ─────────────────────────────────────

  /**
   * Settles what an earlier life left behind and puts the last confirmed bundle in force. Hooks are attached
   * before, since a canary can prove only what runs. What cannot be enforced leaves the baseline in force and
   * is said: an agent that did not start could not be told anything better.
   */
  async start(): Promise<void> {
    this.#settleTrial();
    for (;;) {
      const { confirmed } = this.#parts.store.record;
      if (confirmed === null) break;
      const bundle = this.#readConfirmed(confirmed);
      const refusal = bundle instanceof RefusalError ? bundle : await this.#enforceAtStart(confirmed, bundle);
      if (refusal === null) return;
      if (isOfText(refusal)) this.#damaged(confirmed, refusal);
      // Pinned by an earlier life, the kernel may hold it, whole: less than that is no answer to what stands in our way
      // now, and where its text is damaged only that is unknown.
      if (this.#holds(confirmed)) return;
      if (!isOfText(refusal)) break;
      try {
        this.#parts.store.forgetConfirmed();
      } catch (error) {
        this.#parts.log.error({ error: messageOf(error) }, 'the damage could not be noted on the disk');
        break;
      }
    }
    const { kernel, maker } = this.#parts;
    const made = maker.makeBaseline();
    if (kernel.status().inForce?.serial === 0) this.#made = unproven(made);
    else await this.#settle(null, made);
  }

  #damaged({ serial }: InForce, { code, detail }: Refusal): void {
    this.#parts.log.error({ serial, code, detail }, 'the confirmed bundle on the disk cannot be used');
    this.#parts.audit('bundle.damaged', { serial, code, detail });
  }

  /** null: it is in force. Refused, it stays confirmed on the disk and is tried again when it is offered. */
  async #enforceAtStart(confirmed: InForce, bundle: SignedBundle): Promise<Refusal | null> {
    try {
      await this.#enforce(confirmed, bundle);
      return null;
    } catch (error) {
      const refusal = refusalOf(error);
      const { code, detail } = refusal;
      if (isOfText(refusal) || this.#notEnforced === detail) return refusal;
      this.#notEnforced = detail;
      this.#parts.log.error(
        { serial: confirmed.serial, code, detail },
        'the confirmed bundle cannot be enforced',
      );
      this.#parts.audit('bundle.not-enforced', { serial: confirmed.serial, code, detail });
      return refusal;
    }
  }

  /** A trial that this start finds ended with the life before it, unless the kernel was told of its confirmation. */
  #settleTrial(): void {
    const { store, kernel, bootId } = this.#parts;
    const hadTrial = kernel.endTrial();
    const mark = store.record.trial;
    if (mark === null) {
      if (hadTrial) this.#parts.log.warn('a trial without a mark on the disk was returned');
      return;
    }
    const { serial, digest } = mark;
    const reason: ReturnReason = mark.bootId === bootId ? 'agent-restarted' : 'device-rebooted';
    const confirmed = !hadTrial && mark.bootId === bootId && this.#holds(mark);
    try {
      if (confirmed) store.confirm(mark);
      else store.endTrial(mark, { result: 'returned', reason });
    } catch (error) {
      // A full disk must not keep a device from starting: the mark stays, and says the same next time.
      this.#parts.log.error({ serial, error: messageOf(error) }, 'the end of a trial could not be stored');
    }
    this.#last = confirmed
      ? { serial, digest, result: 'confirmed' }
      : { serial, digest, result: 'returned', reason };
    this.#noted(confirmed ? 'bundle.confirmed' : 'bundle.returned', mark, confirmed ? {} : { reason });
  }

  /** Whether that very bundle is what the programs judge by. */
  #holds(bundle: InForce): boolean {
    const record = this.#parts.kernel.status().inForce;
    return record !== null && record.serial === bundle.serial && record.bundleDigest === bundle.digest;
  }

  /** What is signed was signed in the past. */
  #learnTime({ issuedAt }: Pick<Assignment, 'issuedAt'>): void {
    this.#parts.clock.learn(issuedAt * 1000, 'controller');
  }

  /** From the disk, verified again: a disk is no better than a network. */
  #readConfirmed(confirmed: InForce): SignedBundle | RefusalError {
    try {
      const stored = this.#parts.store.load(confirmed);
      if (stored === null)
        throw new RefusalError('bundle.storage', `the files of serial ${confirmed.serial} are gone`);
      const assignment = verifyAssignment(stored.assignment, this.#parts.trusted(), this.#parts.we);
      if (assignment.serial !== confirmed.serial || assignment.digest !== confirmed.digest) {
        throw new RefusalError(
          'bundle.digest',
          `the assignment on the disk is for serial ${assignment.serial}`,
        );
      }
      this.#learnTime(assignment);
      return verifyBundle(assignment, stored.bundle);
    } catch (error) {
      if (error instanceof RefusalError) return error;
      return new RefusalError('bundle.storage', messageOf(error), { cause: error });
    }
  }

  /** Without a trial: it was confirmed before. What the kernel already holds is left alone. */
  async #enforce(confirmed: InForce, bundle: SignedBundle): Promise<void> {
    const { kernel, maker } = this.#parts;
    if (this.#holds(confirmed)) {
      this.#made = { ...unproven(await maker.makeHeld(bundle)), proven: 'adopted as it was proven before' };
      await this.#followNow();
      // Something of what the kernel holds may have ended while no agent was there to see it.
      if (this.#made.documents.some(canEnd)) await this.#renew();
      return;
    }
    const made = await maker.make(bundle);
    // At first start both slots are empty: the baseline is the previous generation of whatever comes first.
    if (kernel.status().inForce === null) await this.#settle(null, maker.makeBaseline());
    await this.#settle(confirmed, made);
  }

  /** null: it is the baseline. */
  async #settle(bundle: InForce | null, made: MadeWithTries): Promise<void> {
    const { kernel, log } = this.#parts;
    const serial = bundle?.serial ?? 0;
    const generation = await kernel.loadStandby({
      serial,
      bundleDigest: bundle?.digest ?? noBundle,
      image: made.image,
    });
    const proof = await kernel.prove(generation, made.tries, made.paths);
    this.#parts.beforeSwap?.(made.image.zones);
    kernel.settle(generation);
    this.#made = { ...unproven(made), untried: proof.untried, proven: describeProof(proof) };
    log.info({ serial, digest: generation.digest, proven: this.#made.proven }, 'in force');
  }

  // ── the fleet speaks ────────────────────────────────────────────────────────────────────────────────

  /** From here on bundles can be fetched and trials confirmed. */
  connect(link: TrialLink): void {
    this.#link = link;
  }

  /**
   * Desired state as it arrived. What cannot be verified is reported and disturbs nothing; a newer
   * assignment ends the one that is being worked on. What is confirmed and in force is left alone; confirmed
   * but not in force, as when a kernel could not take it at start, it goes through everything again.
   */
  offer(envelope: Uint8Array): void {
    if (this.#closing.signal.aborted) return;
    this.#step('received');
    let assignment: Assignment | null = null;
    try {
      assignment = verifyAssignment(envelope, this.#parts.trusted(), this.#parts.we);
      if (this.#isBeingWorkedOn(assignment) || this.#isRefusedForGood(assignment)) return;
      const isNew = this.#parts.store.accept(assignment);
      this.#learnTime(assignment);
      if (!isNew && this.#holds(assignment)) {
        this.#changed();
        return;
      }
    } catch (error) {
      this.#refuseUnaccepted(error, assignment);
      return;
    }
    this.#step('verified');
    this.#waiting = { assignment, envelope };
    if (this.#working === null) this.#next();
    else this.#working.abort.abort(new Superseded());
  }

  /**
   * Puts a policy into the standby slot, to judge beside the live one. It waits for what is being applied, and throws
   * RefusalError shadow.superseded where a newer assignment than `serial` is known then.
   */
  async putInShadow({ serial, digest }: InForce, make: () => Promise<MadePolicy>): Promise<void> {
    await this.#inTurn(async () => {
      const { kernel, store } = this.#parts;
      const newest = store.record.highest?.serial ?? 0;
      if (this.#closing.signal.aborted || this.#waiting !== null || newest >= serial)
        throw new RefusalError('shadow.superseded', `serial ${serial}, and ${newest} was accepted`);
      const made = await make();
      await kernel.loadShadow({ serial, bundleDigest: digest, image: made.image });
      this.#shadow = made;
    });
  }

  /** Nothing judges in shadow from then on. */
  async dropShadow(): Promise<void> {
    await this.#inTurn(async () => {
      this.#parts.kernel.dropShadow();
      this.#shadow = null;
    });
  }

  /**
   * `husk-agent return`, asked of the running agent. False: there is nothing to go back to. The generation is
   * loaded anew from the disk: the other slot may hold what a trial was returned from, or what was never proven.
   */
  async returnToPrevious(): Promise<boolean> {
    const { kernel } = this.#parts;
    const working = this.#working;
    if (working !== null) {
      const wasOnTrial = kernel.status().inTrial;
      working.abort.abort(new ReturnedLocally());
      await working.done;
      // Its trial was what was to go away; before a trial nothing had changed, and the policy in force is meant.
      if (wasOnTrial && kernel.status().inForce?.serial !== working.assignment.serial) return true;
    }
    return this.#inTurn(() => this.#returnFromDisk());
  }

  async #returnFromDisk(): Promise<boolean> {
    const { store, kernel } = this.#parts;
    const { confirmed, previous, trial } = store.record;
    const serial = kernel.status().inForce?.serial ?? 0;
    if (serial === 0) return false;
    // Confirmed in the kernel, but a full disk did not take it: then the one on record is the one before.
    const isOnRecord = confirmed?.serial === serial;
    const target = isOnRecord ? previous : confirmed;
    const { maker } = this.#parts;
    const bundle = target === null ? null : this.#readConfirmed(target);
    if (bundle instanceof RefusalError) throw bundle;
    await this.#settle(target, bundle === null ? maker.makeBaseline() : await maker.make(bundle));
    void this.#storeUntilDone(() => {
      if (isOnRecord) store.returnToPrevious();
      else if (trial !== null) store.endTrial(trial, { result: 'returned', reason: 'local-command' });
      this.#last = store.record.last;
      this.#changed();
    });
    this.#parts.audit('bundle.returned', { serial, reason: 'local-command' });
    this.#changed();
    return true;
  }

  /**
   * What is confirmed but could not be enforced at start, as when a driver was late, is tried again. False:
   * it still cannot; null: there was nothing to try.
   */
  async enforceAgain(): Promise<boolean | null> {
    const isDue = (confirmed: InForce | null): confirmed is InForce =>
      confirmed !== null && this.#working === null && !this.#holds(confirmed);
    if (!isDue(this.#parts.store.record.confirmed)) return null;
    return this.#inTurn(async () => {
      const { confirmed } = this.#parts.store.record;
      if (!isDue(confirmed)) return null;
      const bundle = this.#readConfirmed(confirmed);
      if (bundle instanceof RefusalError) return false;
      const done = (await this.#enforceAtStart(confirmed, bundle)) === null;
      if (done) this.#changed();
      return done;
    });
  }

  /**
   * Brings zones and subjects up to date with interfaces and cgroups as they are now. Returns how many entries
   * changed; null: a bundle is being applied, ask again.
   */
  async follow(): Promise<number | null> {
    if (this.#working !== null) return null;
    return this.#inTurn(async () => (this.#working === null ? this.#followNow() : null));
  }

  async #followNow(): Promise<number | null> {
    if (this.#made === null) return null;
    const { kernel, maker } = this.#parts;
    const { made, tables } = maker.follow(this.#made);
    this.#made = made;
    const changed = await kernel.follow(tables);
    if (this.#shadow === null || kernel.shadow === null) return changed;
    const shadow = maker.follow(this.#shadow);
    this.#shadow = shadow.made;
    return changed + (await kernel.followShadow(shadow.tables));
  }

  /**
   * Makes what is confirmed and in force anew where time has ended something of it: no trial, since its text allows it.
   * False: it could not be made, which is said; null: there was nothing to do, or a bundle is being applied.
   */
  async renewIfDue(): Promise<boolean | null> {
    const isDue = () =>
      this.#working === null && this.#made !== null && isOutdated(this.#made.documents, this.#documentsNow());
    if (!isDue()) return null;
    return this.#inTurn(async () => (isDue() ? this.#renew() : null));
  }

  async #renew(): Promise<boolean | null> {
    const { confirmed } = this.#parts.store.record;
    if (confirmed === null || !this.#holds(confirmed)) return null;
    const bundle = this.#readConfirmed(confirmed);
    try {
      if (bundle instanceof RefusalError) throw bundle;
      const before = this.#made?.documents ?? [];
      await this.#settle(confirmed, await this.#parts.maker.make(bundle));
      this.#audit(confirmed, before);
      this.#changed();
      return true;
    } catch (error) {
      const { code, detail } = refusalOf(error);
      this.#parts.log.error(
        { serial: confirmed.serial, code, detail },
        'the bundle in force cannot be made anew',
      );
      return false;
    }
  }

  /** What has ended, by its name. */
  #audit({ serial }: InForce, before: readonly DocumentState[]): void {
    for (const { kind, name, state, why } of this.#made?.documents ?? []) {
      const old = before.find((one) => one.kind === kind && one.name === name);
      if (old?.state !== state)
        this.#parts.audit(`${kind.toLowerCase()}.${state}`, { serial, name, why: why ?? null });
    }
  }

  #documentsNow(): readonly DocumentState[] {
    return this.#parts.maker.documentsNow(this.#made?.documents ?? []);
  }

  state(): ApplyState {
    const record = this.#parts.kernel.status().inForce;
    return {
      inForce:
        record === null || record.serial === 0
          ? null
          : { serial: record.serial, digest: record.bundleDigest },
      assignment: this.#last,
      rules: this.#made === null ? [] : ruleStates(this.#made.image.rules, this.#made.untried),
      proven: this.#made?.proven ?? 'nothing yet',
      memory: this.#made === null ? null : { ...this.#made.memory, ceiling: this.#parts.maker.ceiling },
      image: this.#made?.image ?? null,
      documents: this.#documentsNow(),
    };
  }

  /** Stops working; a trial goes on in the kernel and ends at its deadline. */
  async close(): Promise<void> {
    this.#waiting = null;
    this.#closing.abort(new Closed());
    this.#working?.abort.abort(new Closed());
    await this.#working?.done;
  }

  // ── one assignment, from fetch to report ────────────────────────────────────────────────────────────

  #next(): void {
    const offered = this.#waiting;
    if (offered === null || this.#closing.signal.aborted) return;
    this.#waiting = null;
    const abort = new AbortController();
    const work = () => this.#apply(offered.assignment, offered.envelope, abort.signal);
    const done = this.#inTurn(work).finally(() => {
      this.#working = null;
      this.#changed();
      this.#next();
    });
    this.#working = { assignment: offered.assignment, abort, done };
  }

  async #apply(assignment: Assignment, envelope: Uint8Array, signal: AbortSignal): Promise<void> {
    const { kernel, store, maker } = this.#parts;
    const before = this.#made;
    try {
      const { bundle, keep } = await this.#fetch(assignment, envelope, signal);
      const made = await maker.make(bundle, {
        signal,
        // A disk may take as long as a compiler.
        meanwhile: () => {
          keep();
          this.#step('fetched');
        },
      });
      this.#step('compiled');

      const generation = await kernel.loadStandby({
        serial: assignment.serial,
        bundleDigest: assignment.digest,
        image: made.image,
      });
      this.#step('loaded');

      const proof = await kernel.prove(generation, made.tries, made.paths);
      this.#step('proven');
      signal.throwIfAborted();

      store.beginTrial(assignment, this.#parts.bootId);
      this.#step('trial-stored');
      await this.#try(
        assignment,
        generation,
        { ...unproven(made), untried: proof.untried, proven: describeProof(proof) },
        before,
        signal,
      );
    } catch (error) {
      this.#endWithoutTrial(assignment, error);
    }
  }

  /** `keep` puts it on the disk, where it is not there yet. */
  async #fetch(
    assignment: Assignment,
    envelope: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ readonly bundle: SignedBundle; readonly keep: () => void }> {
    this.#note({ serial: assignment.serial, digest: assignment.digest, result: 'fetching' });
    const kept = this.#readKept(assignment);
    if (kept !== null) return { bundle: kept, keep: () => {} };
    const bytes = await this.#linkOrThrow().fetchBundle(assignment.digest, assignment.bytes, signal);
    const bundle = verifyBundle(assignment, bytes);
    const { store } = this.#parts;
    return { bundle, keep: () => store.keep(assignment, { assignment: envelope, bundle: bytes }) };
  }

  /** The bundle of an assignment that was fetched before; null: not there, or not whole any more. */
  #readKept(assignment: Assignment): SignedBundle | null {
    try {
      const stored = this.#parts.store.load(assignment);
      return stored === null ? null : verifyBundle(assignment, stored.bundle);
    } catch (error) {
      this.#parts.log.warn(
        { serial: assignment.serial, error: messageOf(error) },
        'the stored bundle is fetched again',
      );
      return null;
    }
  }

  /** From the swap to the end of the trial. Does not throw for anything that the world does. */
  async #try(
    assignment: Assignment,
    generation: LoadedGeneration,
    made: Made,
    before: Made | null,
    signal: AbortSignal,
  ): Promise<void> {
    const { kernel, store, trial: limits } = this.#parts;
    const seconds = Math.min(Math.max(assignment.trialSeconds, limits.minimumSeconds), limits.maximumSeconds);
    this.#parts.beforeSwap?.(made.image.zones);
    const trial = kernel.beginTrial(generation, seconds);
    this.#made = made;
    this.#step('swapped');
    this.#note({ serial: assignment.serial, digest: assignment.digest, result: 'trial' });

    const end = await this.#confirm(assignment, trial, signal);
    if (end === 'confirmed') {
      this.#step('confirmed');
      if (!(await this.#storeUntilDone(() => store.confirm(assignment), signal))) return;
      this.#step('stored');
      this.#noted('bundle.confirmed', assignment, {
        proven: made.proven,
        kernelMemory: memoryText(made.memory),
      });
    } else if (end === 'closed') {
      return;
    } else {
      kernel.returnNow(trial);
      this.#made = before;
      const outcome =
        end === 'superseded'
          ? ({ result: 'superseded' } as const)
          : ({ result: 'returned', reason: end } as const);
      await this.#storeUntilDone(() => store.endTrial(assignment, outcome), signal);
      this.#noted(`bundle.${outcome.result}`, assignment, { reason: end });
    }
    this.#last = store.record.last;
  }

  /** Tries for an answer until the deadline: each time over a new connection, opened under the new policy. */
  async #confirm(
    assignment: Assignment,
    trial: LiveWord,
    superseding: AbortSignal,
  ): Promise<'confirmed' | 'closed' | 'superseded' | ReturnReason> {
    const { kernel, clock, log, random, we } = this.#parts;
    const { serial, digest } = assignment;
    const nonce = hexNonce(random, 32);
    const signal = AbortSignal.any([superseding, AbortSignal.timeout(kernel.trialMsLeft(trial))]);
    while (!signal.aborted) {
      try {
        const link = this.#linkOrThrow();
        await link.reconnect(signal);
        this.#step('reconnected');
        const answer = await link.askConfirmation({ serial, digest, nonce }, signal);
        this.#learnTime(verifyConfirmation(answer, this.#parts.trusted(), { ...we, serial, digest, nonce }));
        this.#step('answered');
        return kernel.confirm(trial) === 'confirmed' ? 'confirmed' : 'no-confirmation';
      } catch (error) {
        if (signal.aborted) break;
        log.warn({ serial, error: messageOf(error) }, 'no confirmation yet');
        await clock.sleep(askAgainMs, signal).catch(() => {});
      }
    }
    const { reason } = superseding;
    if (reason instanceof Superseded) return 'superseded';
    if (reason instanceof ReturnedLocally) return 'local-command';
    if (reason instanceof Closed) return 'closed';
    return 'no-confirmation';
  }

  /** A refusal, or the end of our patience, before anything was swapped. */
  #endWithoutTrial(assignment: Assignment, error: unknown): void {
    const { store, log } = this.#parts;
    const { serial, digest } = assignment;
    if (error instanceof Closed) return;
    if (error instanceof Superseded || error instanceof ReturnedLocally) {
      this.#note({ serial, digest, result: 'superseded' });
      return;
    }
    const refusal = refusalOf(error);
    if (refusal.code.startsWith('policy.')) this.#refusedForGood = { serial, digest };
    log.warn({ serial, code: refusal.code, detail: refusal.detail }, 'bundle refused');
    this.#noted('bundle.refused', assignment, { code: refusal.code, detail: refusal.detail });
    this.#note({
      serial,
      digest,
      result: 'refused',
      refusal: { code: refusal.code, detail: refusal.detail },
    });
    try {
      store.refuse(assignment, refusal);
    } catch (storing) {
      // The refusal stands all the same; after a restart the assignment is looked at again.
      log.error({ error: messageOf(storing) }, 'the refusal could not be stored');
    }
  }

  /**
   * Refused before it was accepted: the assignment that stands is not touched. Only where it is the disk that
   * is at fault is the new one reported, since its publisher would wait for it without end.
   */
  #refuseUnaccepted(error: unknown, assignment: Assignment | null): void {
    if (!(error instanceof RefusalError)) throw error;
    const { code, detail } = error;
    if (code === 'bundle.storage' && assignment !== null) {
      const { serial, digest } = assignment;
      this.#last = { serial, digest, result: 'refused', refusal: { code, detail } };
    }
    const before = this.#refusedOffer;
    this.#refusedOffer = { code, detail };
    // Desired state is retained: a broker says it again with each connection, and once is enough to hear.
    if (before?.code === code && before.detail === detail) return;
    this.#parts.log.warn({ code, detail }, 'desired state refused');
    this.#parts.audit('bundle.refused', { code, detail });
    this.#changed();
  }

  /** The last desired state that was not even accepted; null since an assignment was. */
  get refusedOffer(): Refusal | null {
    return this.#refusedOffer;
  }

  // ── small things ────────────────────────────────────────────────────────────────────────────────────

  /** One at a time: whatever fills a slot or moves the live word. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    // Whoever asked for it hears of its failure; the next in turn does not.
    this.#turn = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  #isBeingWorkedOn(assignment: Assignment): boolean {
    const current = this.#waiting?.assignment ?? this.#working?.assignment;
    return (
      current !== undefined && current.serial === assignment.serial && current.digest === assignment.digest
    );
  }

  /** The same content would be refused for the same reason; a broker says it again with each connection. */
  #isRefusedForGood(assignment: Assignment): boolean {
    const refused = this.#refusedForGood;
    return refused?.serial === assignment.serial && refused.digest === assignment.digest;
  }

  /**
   * The kernel has been told; a disk that is full now may have room in a while. False: given up, since the
   * agent stops or somebody on the device goes back; the next start finds the mark of the trial, and what the
   * kernel holds.
   */
  async #storeUntilDone(write: () => void, patience?: AbortSignal): Promise<boolean> {
    const { clock, log } = this.#parts;
    for (;;) {
      try {
        write();
        return true;
      } catch (error) {
        log.error({ error: messageOf(error) }, 'the end of the trial could not be stored, trying again');
        const isOver = (): boolean =>
          this.#closing.signal.aborted ||
          (patience?.aborted === true && patience.reason instanceof ReturnedLocally);
        if (isOver()) return false;
        const signals = patience === undefined ? [this.#closing.signal] : [this.#closing.signal, patience];
        await clock.sleep(storeAgainMs, AbortSignal.any(signals)).catch(() => {});
        if (isOver()) return false;
        // Superseded by a newer assignment: that one waits for the disk as well.
        if (patience?.aborted === true) await clock.sleep(storeAgainMs, this.#closing.signal).catch(() => {});
      }
    }
  }

  #linkOrThrow(): TrialLink {
    if (this.#link === null)
      throw new RefusalError('bundle.unavailable', 'there is no link to the controller');
    return this.#link;
  }

  #step(step: Step): void {
    this.#parts.log.debug({ step }, 'step');
    this.#parts.onStep(step);
  }

  #note(last: LastAssignment): void {
    this.#last = last;
    this.#refusedOffer = null;
    this.#changed();
  }

  #noted(what: string, bundle: InForce, detail: Readonly<Record<string, string | number>> = {}): void {
    this.#parts.log.info({ serial: bundle.serial, ...detail }, what);
    this.#parts.audit(what, { serial: bundle.serial, digest: bundle.digest, ...detail });
  }

  #changed(): void {
    this.#parts.onChange();
  }
}

class ReturnedLocally extends Error {
  override readonly name = 'ReturnedLocally';
}
class Closed extends Error {
  override readonly name = 'Closed';
}

/** Goes back to the previous generation, in the kernel and on the disk. Serves `husk-agent return` without an agent too. */
export async function returnToPrevious(kernel: Kernel, store: BundleStore): Promise<boolean> {
  const { trial, confirmed, previous } = store.record;
  if (kernel.endTrial()) {
    if (trial !== null) store.endTrial(trial, { result: 'returned', reason: 'local-command' });
    return true;
  }
  // The other slot may as well hold what a trial was returned from: only what was confirmed is gone back to.
  const { other } = kernel.status();
  const isPrevious =
    other?.serial === (previous?.serial ?? 0) && other.bundleDigest === (previous?.digest ?? noBundle);
  if (confirmed === null || !isPrevious || !(await kernel.returnToPrevious())) return false;
  store.returnToPrevious();
  return true;
}

/** Without what it is proven by, which nobody asks for again. */
const unproven = (made: MadePolicy): Made => ({
  image: made.image,
  memory: made.memory,
  documents: made.documents,
  untried: [],
  proven: 'not proven',
});

/** Whether it is the bundle's text that is at fault: no kernel would take it, now or later. */
const isOfText = ({ code }: Refusal) => code.startsWith('bundle.') || code === 'policy.invalid';

/** What is neither a refusal nor ours came from the kernel. */
function refusalOf(error: unknown): Refusal {
  return error instanceof RefusalError ? error : { code: 'kernel.load', detail: messageOf(error) };
}
