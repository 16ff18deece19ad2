// Interfaces and cgroups come and go; what is enforced follows them.
//
//   look ─▶ same as before? ── yes ─▶ wait
//             │ no
//             ▼
//   attach hooks where they are wanted ─▶ zones and subjects brought up to date ─▶ reported
//
// A look costs a tenth of a millisecond. Until the next one a new interface is not judged; it is then no
// more open than before the agent was installed.

import type { BundleApplier } from './apply-bundle.ts';
import type { PolicyDocument } from './contract/policy.ts';
import type { Kernel } from './kernel/kernel.ts';
import type { Clock } from './os/clock.ts';
import type { Log } from './os/log.ts';
import { matchesGlob } from './policy/globs.ts';

export interface FollowParts {
  readonly kernel: Kernel;
  readonly applier: BundleApplier;
  /** Interfaces that are there, of those that packet programs may be attached to. */
  readonly interfaces: () => readonly { readonly name: string; readonly index: number }[];
  readonly cgroupId: (path: string) => bigint | null;
  readonly attach: Omit<Parameters<Kernel['attach']>[0], 'interfaces'>;
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

const lookEveryMs = 1_000;
/** Between two tries to enforce what could not be enforced at start: compiling and proving are not for nothing. */
const enforceEveryMs = 30_000;
const working: ReadonlySet<string> = new Set(['fetching', 'verified', 'trial']);

export class DeviceFollower {
  readonly #parts: FollowParts;
  #attachedTo: string | null = null;
  #followed: string | null = null;
  /** The last complaint, so that it is not said once a second. */
  #complaint: string | null = null;

  constructor(parts: FollowParts) {
    this.#parts = parts;
  }

  /** Once now, and then whenever something has changed, until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, applier } = this.#parts;
    let enforceAtMs = clock.bootMs() + enforceEveryMs;
    while (!signal.aborted) {
      await this.look();
      if (clock.bootMs() >= enforceAtMs) {
        await applier.enforceAgain();
        enforceAtMs = clock.bootMs() + enforceEveryMs;
      }
      await clock.sleep(lookEveryMs, signal).catch(() => {});
    }
  }

  async look(): Promise<void> {
    try {
      const attached = this.#attach();
      const followed = await this.#follow();
      if (attached || followed) this.#parts.onChange();
    } catch (error) {
      // A cgroup that vanished meanwhile, say: the next look tries again.
      this.#complain(error instanceof Error ? error.message : String(error));
    }
  }

  /** Once for each complaint, until there is none. */
  #complain(complaint: string): void {
    if (complaint !== '' && complaint !== this.#complaint) {
      this.#parts.log.error({ error: complaint }, 'device: cannot be followed');
    }
    this.#complaint = complaint === '' ? null : complaint;
  }

  #attach(): boolean {
    const { kernel, attach, log } = this.#parts;
    const interfaces = this.#parts.interfaces();
    const now = keyOf(interfaces);
    if (now === this.#attachedTo) return false;
    const hooks = kernel.attach({ ...attach, interfaces });
    const failed = hooks.filter((hook) => hook.action === 'failed');
    // One that failed is tried again at the next look; what it leaves uncovered is reported as degraded.
    if (failed.length === 0) this.#attachedTo = now;
    const changed = hooks.filter((hook) => hook.action === 'made' || hook.action === 'renewed');
    for (const { description, action } of changed) log.info({ hook: description, action }, 'device: hook');
    this.#complain(failed.map((hook) => `${hook.description}: ${hook.why}`).join('; '));
    return changed.length > 0 || failed.length === 0;
  }

  /** Compiling costs more than looking, so it is done only when an answer of the device's would differ. */
  async #follow(): Promise<boolean> {
    const { applier, log } = this.#parts;
    const { documents, assignment } = applier.state();
    // Both slots are taken while an assignment is worked on: what changes meanwhile is followed afterwards.
    if (assignment !== null && working.has(assignment.result)) return false;
    const now = `${keyOf(this.#parts.interfaces())} ${this.#subjectKey(documents)}`;
    if (now === this.#followed) return false;
    const changed = await applier.follow();
    if (changed === null) return false;
    this.#followed = now;
    if (changed > 0) log.info({ changed }, 'device: zones and subjects followed');
    return changed > 0;
  }

  #subjectKey(documents: readonly PolicyDocument[]): string {
    return documents
      .flatMap((one) => (one.kind === 'HardeningPolicy' ? [one.spec.subject.cgroup] : []))
      .map((path) => `${path}=${this.#parts.cgroupId(path) ?? 'none'}`)
      .join(' ');
  }
}

/** ARPHRD_ numbers whose frames begin with an Ethernet header, which is what the packet programs read. */
const ethernetLike: ReadonlySet<number> = new Set([1, 772]);

/**
 * Those of the list that one of the patterns names and whose frames can be read: on tun, ppp, wwan or
 * WireGuard the programs would take the IP header for Ethernet's and judge by what the sender wrote there.
 */
export function wantedInterfaces<
  T extends { readonly name: string; readonly index: number; readonly hardwareType: number },
>(all: readonly T[], patterns: readonly string[]): T[] {
  return all.filter(
    (one) =>
      one.index > 0 &&
      ethernetLike.has(one.hardwareType) &&
      patterns.some((pattern) => matchesGlob(pattern, one.name)),
  );
}

function keyOf(interfaces: readonly { readonly name: string; readonly index: number }[]): string {
  return interfaces.map((one) => `${one.name}#${one.index}`).join(' ');
}
