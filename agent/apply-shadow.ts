// Flow: a candidate policy arrives, signed, and judges in the standby slot beside the live one. It decides nothing.
//
//   received ─▶ verified ─▶ fetched ─▶ compiled ─▶ loaded: judging ─▶ over: stopped, or the slot is needed
//
// The standby slot is borrowed: whatever else needs it (a bundle on trial, a return) takes it, and then the shadow is
// over. It is not kept on the disk: after a start its signed assignment, which the broker retains, brings it again. An older
// one than the newest assignment is over, so that nothing old is judged again.

import type { BundleApplier, TrialLink } from './apply-bundle.ts';
import type { ShadowAssignment } from './contract/bundle.ts';
import { RefusalError } from './contract/refusal.ts';
import { messageOf } from './contract/thrown.ts';
import type { Kernel } from './kernel/kernel.ts';
import type { PolicyMaker } from './make-policy.ts';
import type { Log } from './os/log.ts';
import type { Trusted } from './trust/keys.ts';
import { verifyBundle, verifyShadow } from './trust/verify.ts';

export interface ShadowParts {
  readonly we: { readonly tenant: string; readonly device: string };
  readonly trusted: () => Trusted;
  readonly applier: Pick<BundleApplier, 'putInShadow' | 'dropShadow'>;
  readonly kernel: Pick<Kernel, 'shadow'>;
  readonly maker: Pick<PolicyMaker, 'makeHeld'>;
  readonly log: Log;
  readonly audit: (what: string, detail: Readonly<Record<string, string | number | boolean | null>>) => void;
}

/** How the last one stands. over: its slot was taken for something else. */
export interface ShadowState {
  readonly serial: number;
  readonly digest: string | null;
  readonly state: 'fetching' | 'judging' | 'refused' | 'stopped' | 'over';
  /** Of a refusal. */
  readonly why?: string;
}

export class ShadowApplier {
  readonly #parts: ShadowParts;
  readonly #closing = new AbortController();
  #link: Pick<TrialLink, 'fetchBundle'> | null = null;
  #last: ShadowState | null = null;
  /** A newer one ends what is under way. */
  #working: AbortController | null = null;

  constructor(parts: ShadowParts) {
    this.#parts = parts;
  }

  connect(link: Pick<TrialLink, 'fetchBundle'>): void {
    this.#link = link;
  }

  /** null: none has come since this start. */
  state(): ShadowState | null {
    const last = this.#last;
    if (last?.state !== 'judging' || this.#parts.kernel.shadow?.serial === last.serial) return last;
    return { ...last, state: 'over' };
  }

  /** As it arrived. Resolves when all is done that follows; never rejects. */
  async offer(envelope: Uint8Array): Promise<void> {
    const { trusted, we, log } = this.#parts;
    if (this.#closing.signal.aborted) return;
    let shadow: ShadowAssignment;
    try {
      shadow = verifyShadow(envelope, trusted(), we);
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'shadow: refused');
      return;
    }
    // A broker says it again with each connection; of two with one number the end is the later.
    const { last, isNews } = { last: this.state(), isNews: this.#isNews(shadow) };
    if (!isNews) return;
    this.#working?.abort();
    const working = new AbortController();
    this.#working = working;
    if (shadow.bundle === null) await this.#stop(shadow, last);
    else await this.#judge(shadow, shadow.bundle, AbortSignal.any([working.signal, this.#closing.signal]));
  }

  close(): void {
    this.#closing.abort();
  }

  #isNews({ serial, bundle }: ShadowAssignment): boolean {
    const last = this.#last;
    if (last === null || serial > last.serial) return true;
    if (serial < last.serial || last.state === 'stopped') return false;
    // What failed for the want of a link is tried again.
    return bundle === null || last.state === 'refused';
  }

  async #stop({ serial }: ShadowAssignment, last: ShadowState | null): Promise<void> {
    const { kernel, applier, audit } = this.#parts;
    this.#last = { serial, digest: last?.digest ?? null, state: 'stopped' };
    const judging = kernel.shadow;
    if (judging === null || judging.serial > serial) return;
    await applier.dropShadow();
    audit('shadow.stopped', { serial: judging.serial, digest: judging.bundleDigest });
  }

  async #judge(
    { serial }: ShadowAssignment,
    bundle: NonNullable<ShadowAssignment['bundle']>,
    signal: AbortSignal,
  ): Promise<void> {
    const { applier, maker, log, audit } = this.#parts;
    const { digest } = bundle;
    this.#last = { serial, digest, state: 'fetching' };
    try {
      if (this.#link === null)
        throw new RefusalError('bundle.unavailable', 'there is no link to the controller');
      const bytes = await this.#link.fetchBundle(digest, bundle.bytes, signal);
      const signed = verifyBundle(bundle, bytes);
      await applier.putInShadow({ serial, digest }, () => maker.makeHeld(signed));
      this.#last = { serial, digest, state: 'judging' };
      log.info({ serial, digest }, 'shadow: judging');
      audit('shadow.judging', { serial, digest });
    } catch (error) {
      if (signal.aborted) return;
      const why = messageOf(error);
      this.#last = { serial, digest, state: 'refused', why };
      log.warn({ serial, error: why }, 'shadow: refused');
      audit('shadow.refused', { serial, digest, why });
    }
  }
}
