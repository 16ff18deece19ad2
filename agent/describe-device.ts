// What the device says of itself: the reported state for the fleet, rows for the views.
//
// Put together here from what each part knows; nothing is kept. What is said to be in force is read from the
// kernel, never from what we remember of having asked for.

import type { NetworkInterface } from '../native/index.ts';
import type { BundleApplier } from './apply-bundle.ts';
import type { Birth, Reported, RuleState } from './contract/state.ts';
import { lowerUncovered } from './coverage.ts';
import type { Spool } from './events/spool.ts';
import type { Kernel, KernelStatus } from './kernel/kernel.ts';
import type { LinkStatus } from './link/session.ts';
import type { Clock } from './os/clock.ts';
import type { Machine } from './os/machine.ts';
import { matchesGlob } from './policy/globs.ts';
import { type Row, shownCount, type ViewSource } from './query/views.ts';

export interface DeviceParts {
  readonly version: string;
  readonly machine: Machine;
  readonly tier: Reported['tier'];
  readonly who: { readonly tenant: string; readonly device: string };
  readonly kernel: Kernel;
  readonly applier: BundleApplier;
  readonly spool: Spool;
  readonly clock: Clock;
  readonly interfaces: () => readonly NetworkInterface[];
  /** null until the session is made. */
  readonly link: () => LinkStatus | null;
  readonly counts: () => Row;
}

export interface DeviceDescription {
  readonly source: ViewSource;
  reported(): Reported;
  birth(): Omit<Birth, 'state' | 'time' | 'nonce'>;
}

export function describeDevice(parts: DeviceParts): DeviceDescription {
  const { kernel, applier, spool, machine, version } = parts;
  return {
    reported() {
      const { inForce, assignment, proven } = applier.state();
      const { hooks, kernelBytes } = kernel.status();
      return { inForce, assignment, rules: ruleStates(parts), proven, tier: parts.tier, hooks, kernelBytes };
    },
    birth: () => ({
      agent: version,
      kernel: machine.kernel,
      architecture: machine.architecture,
      hostname: machine.hostname,
      inForce: applier.state().inForce,
    }),
    source: {
      status: async () => statusRow(parts),
      interfaces: async () => interfaceRows(parts),
      rules: () => ruleRows(parts),
      sets: async () => (applier.state().image?.sets ?? []).map((set) => ({ ...set })),
      events: async (count) => spool.tail(count).map((event) => ({ ...event })),
    },
  };
}

function statusRow(parts: DeviceParts): Row {
  const { kernel, applier, machine, who, clock } = parts;
  const { inForce, assignment, proven } = applier.state();
  const status = kernel.status();
  const wall = clock.wall();
  return {
    tenant: who.tenant === '' ? null : who.tenant,
    device: who.device === '' ? null : who.device,
    agent: parts.version,
    kernel: machine.kernel,
    hostname: machine.hostname,
    boot: machine.bootId,
    upMs: Math.floor(clock.bootMs()),
    time: wall.ms === null ? null : new Date(wall.ms).toISOString(),
    timeQuality: wall.quality,
    tier: parts.tier,
    inForce,
    assignment,
    refusedOffer: applier.refusedOffer,
    proven,
    ...kernelRow(kernel, status),
    link: parts.link(),
    spool: parts.spool.status(),
    counts: parts.counts(),
  };
}

/** What the kernel alone can say, also without an agent. */
export function kernelRow(kernel: Kernel, status: KernelStatus): Row {
  return {
    programs: status.how,
    inTrial: status.inTrial,
    slot: status.live.slot,
    hooks: status.hooks,
    kernelBytes: status.kernelBytes,
    totals: Object.fromEntries(
      Object.entries(kernel.totals()).map(([name, count]) => [name, shownCount(count)]),
    ),
  };
}

/** Interfaces that a zone of the policy in force names, with that zone; and what is attached. */
function interfaceRows(parts: DeviceParts): Row[] {
  const zones = zonesOf(parts.applier);
  const { hooks } = parts.kernel.status();
  return parts.interfaces().map((one) => ({
    ...one,
    zone: zones.find((zone) => zone.interfaces.some((glob) => matchesGlob(glob, one.name)))?.name ?? null,
    hooks: hooks.filter((hook) => hook.split(' ')[1] === one.name),
  }));
}

function zonesOf(
  applier: BundleApplier,
): readonly { readonly name: string; readonly interfaces: readonly string[] }[] {
  return applier.state().documents.flatMap((document) =>
    document.kind === 'PacketPolicy'
      ? Object.entries(document.spec.zones).map(([zone, { interfaces }]) => ({
          name: `${document.metadata.name}/${zone}`,
          interfaces,
        }))
      : [],
  );
}

/** Proven, and reached by a hook: only both together are called enforced. */
function ruleStates({ kernel, applier, interfaces }: DeviceParts): readonly RuleState[] {
  const { documents, image, rules } = applier.state();
  return lowerUncovered(rules, {
    documents,
    compiled: image?.rules ?? [],
    interfaces: interfaces().map((one) => one.name),
    hooks: kernel.status().hooks,
  });
}

async function ruleRows(parts: DeviceParts): Promise<Row[]> {
  const { kernel, applier } = parts;
  const counters = new Map((await kernel.counters()).map((one) => [one.id, one]));
  const { image } = applier.state();
  const states = new Map(ruleStates(parts).map((rule) => [rule.id, rule]));
  // One rule may stand in several places of the image: its counter is one.
  const seen = new Set<string>();
  const rows: Row[] = [];
  for (const rule of image?.rules ?? []) {
    if (seen.has(rule.id)) continue;
    seen.add(rule.id);
    const { state, why } = states.get(rule.id) ?? { state: 'unsupported', why: undefined };
    const { hits, bytes } = counters.get(rule.id) ?? { hits: 0n, bytes: 0n };
    rows.push({
      id: rule.id,
      at: rule.at,
      verdict: rule.verdict,
      mode: rule.mode,
      state,
      ...(why === undefined ? {} : { why }),
      hits: shownCount(hits),
      bytes: shownCount(bytes),
    });
  }
  return rows;
}
