// Interfaces, addresses and cgroups come and go; what is enforced follows them.
//
//   word of a change, or a second has passed ─▶ look ─▶ same as before? ── yes ─▶ wait
//                                                        │ no
//                                                        ▼
//   own addresses ─▶ floor laid ─▶ hooks attached where they are wanted ─▶ zones, deferred VLANs and subjects
//     ─▶ floor lifted for what is covered ─▶ reported
//
// A look costs a tenth of a millisecond. A new interface is not judged until its hooks are attached and its zone has
// its row; in a zone with `uncovered: drop` the floor lets nothing pass by it meanwhile, else it is no more open
// than before the agent was installed.

import type { BundleApplier } from './apply-bundle.ts';
import { type AttachPlan, placeZones, planAttach } from './attach-plan.ts';
import { messageOf } from './contract/thrown.ts';
import { coveredInterfaces } from './covered-interfaces.ts';
import type { AttachedHook, AttachWanted } from './kernel/attach.ts';
import type { CoveredInterface, Floor } from './kernel/floor.ts';
import type { Kernel } from './kernel/kernel.ts';
import type { Clock } from './os/clock.ts';
import type { Log } from './os/log.ts';
import type { DeviceInterface, DeviceView } from './policy/device-view.ts';
import { matchesGlob } from './policy/globs.ts';
import { ownAddresses } from './policy/own-addresses.ts';
import type { PolicyZone } from './policy/policy-zones.ts';

/** The device as it is at one moment. */
export interface DeviceNow {
  /** Interfaces that packet programs may be attached to. */
  readonly view: DeviceView;
  /** All of them. */
  readonly all: readonly DeviceInterface[];
}

export interface FollowParts {
  readonly kernel: Pick<Kernel, 'attach' | 'followAddresses'>;
  readonly applier: Pick<BundleApplier, 'state' | 'follow' | 'followPaths' | 'enforceAgain'>;
  readonly floor: Pick<Floor, 'follow' | 'isLaid'>;
  readonly device: () => DeviceNow;
  /** What is mounted, as text that differs where that does. */
  readonly mounts: () => string;
  /** What is said of rules hangs on it, and nothing tells that it has changed. */
  readonly ipsecByPolicy: () => boolean;
  readonly cgroupId: (path: string) => bigint | null;
  readonly xdpMode: 'native' | 'generic';
  readonly tc: AttachWanted['tc'];
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Where no word of changes comes, and for cgroups, of which there is none. */
const lookEveryMs = 1_000;
/** Between two tries to enforce what could not be enforced at start: compiling and proving are not for nothing. */
const enforceEveryMs = 30_000;
/** Paths are looked at again although nothing was mounted: a link may lead elsewhere, an executable be another. */
const pathsEveryMs = 30_000;
/** Between two generations that are made anew for paths: where something is mounted all the time. */
const pathsPauseMs = 5_000;
const working: ReadonlySet<string> = new Set(['fetching', 'verified', 'trial']);

export class DeviceFollower {
  readonly #parts: FollowParts;
  #attachedTo: string | null = null;
  #addressed: string | null = null;
  #followed: string | null = null;
  #floored: string | null = null;
  #hooks: readonly AttachedHook[] = [];
  #isIpsecByPolicy = false;
  #mounted: string | null = null;
  /** When paths are looked at without a mount, and before when not; boot time. */
  #pathsDueMs = 0;
  #pathsFromMs = 0;
  /** As of the last look at a policy that is known; null: there was none. */
  #covered: readonly CoveredInterface[] | null = null;
  /** The last complaint, so that it is not said once a second. */
  #complaint: string | null = null;
  #wake = new AbortController();

  constructor(parts: FollowParts) {
    this.#parts = parts;
  }

  /** Something is different: the next look is now. */
  wake(): void {
    this.#wake.abort();
  }

  /** Once now, and then whenever something has changed, until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, applier } = this.#parts;
    signal.addEventListener('abort', () => this.wake(), { once: true });
    let enforceAtMs = clock.bootMs() + enforceEveryMs;
    while (!signal.aborted) {
      // Before the look: what changes during it is looked at again.
      this.#wake = new AbortController();
      await this.look();
      if (clock.bootMs() >= enforceAtMs) {
        await applier.enforceAgain();
        enforceAtMs = clock.bootMs() + enforceEveryMs;
      }
      await clock.sleep(lookEveryMs, this.#wake.signal).catch(() => {});
    }
  }

  async look(): Promise<void> {
    try {
      const now = this.#parts.device();
      const addressed = await this.#followAddresses(now);
      await this.#layFloor(now);
      const attached = this.#attach(now);
      const followed = await this.#follow(now);
      const lifted = await this.#liftFloor(now);
      const otherIpsec = this.#parts.ipsecByPolicy() !== this.#isIpsecByPolicy;
      if (otherIpsec) this.#isIpsecByPolicy = !this.#isIpsecByPolicy;
      if (addressed || attached || followed || lifted || otherIpsec) this.#parts.onChange();
      await this.#followPaths();
    } catch (error) {
      // A cgroup that vanished meanwhile, say: the next look tries again.
      this.#complain(messageOf(error));
    }
  }

  /**
   * Before these zones come into force: hooks stand where they ask for them, so that no moment passes in which
   * they are in force and not met. Whatever else is attached stays until they are settled.
   */
  prepare(zones: readonly PolicyZone[]): void {
    this.#attachedTo = null;
    try {
      const { view } = this.#parts.device();
      this.#attachTo(planAttach(zones, view, this.#parts.xdpMode), null);
    } catch (error) {
      // Rules without their hooks are reported as degraded, and the next look tries again.
      this.#complain(messageOf(error));
    }
  }

  /** Once for each complaint, until there is none. */
  #complain(complaint: string): void {
    if (complaint !== '' && complaint !== this.#complaint) {
      this.#parts.log.error({ error: complaint }, 'device: cannot be followed');
    }
    this.#complaint = complaint === '' ? null : complaint;
  }

  async #followAddresses({ all }: DeviceNow): Promise<boolean> {
    const { keys, beyond } = ownAddresses(all);
    const key = keys.map((one) => one.join('.')).join(' ');
    if (key === this.#addressed) return false;
    const changed = await this.#parts.kernel.followAddresses(keys);
    this.#addressed = key;
    if (beyond > 0)
      this.#parts.log.warn({ beyond }, 'device: more addresses than there is room for: not all are own ones');
    return changed > 0;
  }

  #attach({ view, all }: DeviceNow): boolean {
    const { zones, isKnown, isWorking } = this.#policy();
    const plan = planAttach(zones, view, this.#parts.xdpMode);
    const planned = new Set(plan.interfaces.map(({ index }) => index));
    // In a trial the policy before may come back by itself, and before one is known nothing is given up.
    const others = isWorking || !isKnown ? null : all.filter(({ index }) => !planned.has(index));
    const key = JSON.stringify([plan, others?.map(({ index }) => index)]);
    if (key === this.#attachedTo) return false;
    const { isDone, isChanged } = this.#attachTo(plan, others);
    // What failed is tried again at the next look; what it leaves uncovered is reported as degraded.
    if (isDone) this.#attachedTo = key;
    return isChanged || isDone;
  }

  #attachTo(
    { interfaces }: AttachPlan,
    others: AttachWanted['others'],
  ): { readonly isDone: boolean; readonly isChanged: boolean } {
    const { kernel, tc, log } = this.#parts;
    const hooks = kernel.attach({ interfaces, others, tc });
    this.#hooks = hooks;
    const failed = hooks.filter((hook) => hook.action === 'failed');
    const changed = hooks.filter((hook) => hook.action === 'made' || hook.action === 'renewed');
    for (const { description, action } of changed) log.info({ hook: description, action }, 'device: hook');
    this.#complain(failed.map((hook) => `${hook.description}: ${hook.why}`).join('; '));
    const isDone = failed.length === 0 && hooks.every((hook) => hook.isInterim !== true);
    return { isDone, isChanged: changed.length > 0 };
  }

  /** Compiling costs more than looking, so it is done only when an answer of the device's would differ. */
  async #follow({ view }: DeviceNow): Promise<boolean> {
    const { applier, log } = this.#parts;
    const { cgroups, isWorking } = this.#policy();
    // Both slots are taken while an assignment is worked on: what changes meanwhile is followed afterwards.
    if (isWorking) return false;
    const now = `${JSON.stringify(view)} ${this.#subjectKey(cgroups)}`;
    if (now === this.#followed) return false;
    const changed = await applier.follow();
    if (changed === null) return false;
    this.#followed = now;
    if (changed > 0) log.info({ changed }, 'device: zones and subjects followed');
    return changed > 0;
  }

  /**
   * A floor that nobody has laid yet comes before the hooks: until they are attached, nothing passes. Where one is
   * laid by a life before this one, who is covered is known to it alone, and it is left as it is.
   */
  async #layFloor({ view }: DeviceNow): Promise<void> {
    const { floor } = this.#parts;
    if (!floor.isLaid || this.#covered !== null) await this.#followFloor(view, this.#covered ?? []);
  }

  async #liftFloor({ view }: DeviceNow): Promise<boolean> {
    const { zones, isKnown, isWorking } = this.#policy();
    // Zones were not followed: what is new is in none yet, and would pass unjudged.
    if (!isKnown || isWorking || this.#followed === null) return false;
    this.#covered = coveredInterfaces(placeZones(zones, view).placed, this.#hooks);
    return this.#followFloor(view, this.#covered);
  }

  async #followFloor(view: DeviceView, covered: readonly CoveredInterface[]): Promise<boolean> {
    const { zones, isKnown, isWorking } = this.#policy();
    if (!isKnown || isWorking) return false;
    const globs = zones
      .filter(({ uncovered }) => uncovered === 'drop')
      .flatMap(({ interfaces }) => interfaces);
    const passing = covered.filter(({ index }) => view.interfaces.some((one) => one.index === index));
    const key = JSON.stringify([globs, passing]);
    if (key === this.#floored) return false;
    const { by, why } = await this.#parts.floor.follow({ globs, covered: passing });
    this.#floored = key;
    if (why !== '') this.#parts.log.error({ by, why }, 'device: floor');
    return true;
  }

  #policy() {
    const { assignment, image } = this.#parts.applier.state();
    return {
      zones: image?.zones ?? [],
      cgroups: (image?.following.cgroups ?? []).filter((path) => path !== null),
      isKnown: image !== null,
      isWorking: assignment !== null && working.has(assignment.result),
    };
  }

  /**
   * Last, since it may take a moment: paths are resolved, and where one leads elsewhere a generation is made anew. The
   * applier says that it has changed. Until it is in force, objects are found where they were.
   */
  async #followPaths(): Promise<void> {
    const { applier, clock, log, mounts } = this.#parts;
    const now = clock.bootMs();
    const mounted = mounts();
    if (now < this.#pathsFromMs || (mounted === this.#mounted && now < this.#pathsDueMs)) return;
    // What fails is tried again when it is due, and not at each look.
    this.#mounted = mounted;
    this.#pathsDueMs = now + pathsEveryMs;
    const isMade = await applier.followPaths();
    if (isMade === null) this.#mounted = null;
    if (isMade !== true) return;
    this.#pathsFromMs = clock.bootMs() + pathsPauseMs;
    log.info({}, 'device: paths lead elsewhere, tables made anew');
  }

  #subjectKey(cgroups: readonly string[]): string {
    return cgroups.map((path) => `${path}=${this.#parts.cgroupId(path) ?? 'none'}`).join(' ');
  }
}

/** Those that one of the patterns names. */
export function wantedInterfaces<T extends { readonly name: string }>(
  all: readonly T[],
  patterns: readonly string[],
): T[] {
  return all.filter((one) => patterns.some((pattern) => matchesGlob(pattern, one.name)));
}
