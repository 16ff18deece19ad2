// What the device says of itself: the reported state for the fleet, rows for the views.
//
// Put together here from what each part knows; nothing is kept. What is said to be in force is read from the
// kernel, never from what we remember of having asked for.

import { HUSK_PROFILE_MAX } from '../bpf/abi/layout.gen.ts';
import type { NetworkInterface } from '../native/index.ts';
import type { BundleApplier } from './apply-bundle.ts';
import type { FirmwareFacts } from './contract/firmware.ts';
import type { Birth, DocumentState, Reported, RuleState } from './contract/state.ts';
import { lowerUncovered } from './coverage.ts';
import { differenceRow, operationWord, profileRow, type SightNames } from './describe-sights.ts';
import type { Drop } from './events/drops.ts';
import type { Spool } from './events/spool.ts';
import type { FloorState } from './kernel/floor.ts';
import type { Kernel, KernelStatus } from './kernel/kernel.ts';
import type { SetEntry } from './kernel/set-entries.ts';
import type { LinkStatus } from './link/session.ts';
import type { Clock } from './os/clock.ts';
import type { Machine } from './os/machine.ts';
import { readMounts } from './os/mounts.ts';
import { matchesGlob } from './policy/globs.ts';
import {
  type ConnectionsAsk,
  type ProfileAsk,
  type Row,
  shownCount,
  type ViewSource,
} from './query/views.ts';
import { lowerToTier } from './tier-states.ts';

/** Of a set, in one row of an answer. */
const entriesShownMax = 50;

export interface DeviceParts {
  readonly version: string;
  readonly machine: Machine;
  readonly tier: Reported['tier'];
  readonly firmware: FirmwareFacts;
  /** How programs that judge operations are passed over; null: they are not. */
  readonly passedOver: string | null;
  /** Rules that a launcher can hold, and how each is held. */
  readonly launched: () => ReadonlyMap<string, string | null>;
  readonly who: { readonly tenant: string; readonly device: string };
  readonly kernel: Kernel;
  readonly applier: BundleApplier;
  readonly spool: Spool;
  readonly clock: Clock;
  readonly interfaces: () => readonly NetworkInterface[];
  /** Whether IPsec goes by policy alone, without an interface. */
  readonly ipsecByPolicy: () => boolean;
  readonly floor: () => FloorState;
  /** `net.ipv4.tcp_syncookies` as it is now; null: there is none. */
  readonly synCookies: () => number | null;
  /** null until the session is made. */
  readonly link: () => LinkStatus | null;
  readonly counts: () => Row;
  readonly drops: () => readonly Drop[];
  /** Programs of many applets; nothing where no program judges what tasks do. */
  readonly applets: () => SightNames['applets'];
  /** How the last assignment of a policy in shadow stands; null: there was none. */
  readonly shadow: () => Row | null;
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
      const { inForce, assignment, proven, documents } = applier.state();
      const { hooks, kernelBytes } = kernel.status();
      const { tier, firmware } = parts;
      return {
        inForce,
        assignment,
        rules: ruleStates(parts),
        documents,
        firmware,
        proven,
        tier,
        hooks,
        kernelBytes,
      };
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
      sets: () => setRows(parts),
      connections: (ask) => connectionRows(parts, ask),
      drops: async () => dropRows(parts),
      profile: (ask) => profileRows(parts, ask),
      shadow: () => shadowRows(parts),
      events: async (count) => spool.tail(count).map((event) => ({ ...event })),
    },
  };
}

function statusRow(parts: DeviceParts): Row {
  const { kernel, applier, machine, who, clock } = parts;
  const { inForce, assignment, proven, memory, documents } = applier.state();
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
    firmware: parts.firmware,
    documents: documents.map(documentRow),
    proven,
    ...kernelRow(kernel, status),
    kernelMemory: memory,
    floor: parts.floor(),
    link: parts.link(),
    spool: parts.spool.status(),
    counts: parts.counts(),
  };
}

/** As in `Shield cve-2023-1389 retire-proposed: expired`. */
const documentRow = ({ kind, name, state, why }: DocumentState): string =>
  `${kind} ${name} ${state}${why === undefined ? '' : `: ${why}`}`;

/** What the kernel alone can say, also without an agent. */
export function kernelRow(kernel: Kernel, status: KernelStatus): Row {
  return {
    programs: status.how,
    inTrial: status.inTrial,
    slot: status.live.slot,
    hooks: status.hooks,
    kernelBytes: status.kernelBytes,
    totals: shownCounts(kernel.totals()),
    connectionCounts: shownCounts(kernel.connectionCounts()),
  };
}

const shownCounts = (counts: Readonly<Record<string, bigint>>) =>
  Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, shownCount(count)]));

/** All interfaces, with their zone in the policy in force, why they are judged elsewhere, and what is attached and why. */
function interfaceRows(parts: DeviceParts): Row[] {
  const { image } = parts.applier.state();
  const zones = image?.zones ?? [];
  const { hooks } = parts.kernel.status();
  return parts.interfaces().map((one) => ({
    ...one,
    zone: zones.find((zone) => zone.interfaces.some((glob) => matchesGlob(glob, one.name)))?.name ?? null,
    leftOut: image?.leftOut.find((left) => left.interface === one.name)?.why ?? null,
    hooks: hooks.filter((hook) => hook.split(' ')[1] === one.name),
  }));
}

/** A set's hits are those of the rules that name it; entries that are kept one by one have their own. */
async function setRows({ kernel, applier, clock }: DeviceParts): Promise<Row[]> {
  const hits = new Map((await kernel.counters()).map((one) => [one.id, one.hits]));
  const entries = Map.groupBy(await kernel.setEntries(), ({ set }) => set);
  return (applier.state().image?.sets ?? []).map(({ number, ...set }) => ({
    ...set,
    hits: shownCount(set.rules.reduce((sum, rule) => sum + (hits.get(rule) ?? 0n), 0n)),
    ...(number === null ? {} : entryRows(entries.get(number) ?? [], clock.bootMs())),
  }));
}

/** Those that were hit most. What has ended is not in the set any more, though the kernel still holds it. */
function entryRows(entries: readonly SetEntry[], bootMs: number): Row {
  const living = entries.filter(({ endS }) => endS === null || endS * 1000 > bootMs);
  const shown = living.toSorted((a, b) => Number(b.hits - a.hits)).slice(0, entriesShownMax);
  return {
    entries: shown.map(({ prefix, hits, endS }) => ({
      prefix,
      hits: shownCount(hits),
      ...(endS === null ? {} : { endsInSeconds: Math.ceil(endS - bootMs / 1000) }),
    })),
    more: living.length - shown.length,
    ended: entries.length - living.length,
  };
}

async function connectionRows({ kernel, interfaces }: DeviceParts, ask: ConnectionsAsk): Promise<Row[]> {
  const names = new Map(interfaces().map(({ index, name }) => [index, name]));
  const { address, port, protocol, count } = ask;
  const filter = {
    ...(address === undefined ? {} : { address }),
    ...(port === undefined ? {} : { port }),
    ...(protocol === undefined ? {} : { ipProto: protocol }),
  };
  const { connections, left, torn } = await kernel.connections(filter, count);
  const rows = connections.map(({ ifindex, ...rest }): Row => {
    return { ...rest, interface: names.get(ifindex) ?? `if${ifindex}` };
  });
  return left + torn === 0 ? rows : [...rows, { more: left, beingWritten: torn }];
}

function dropRows({ drops, clock }: DeviceParts): Row[] {
  const now = clock.bootMs();
  const ago = (bootMs: number) => Math.max(0, Math.round((now - bootMs) / 1000));
  return drops().map(({ last, sinceMs, lastMs, ...rest }) => ({
    ...rest,
    sinceSeconds: ago(sinceMs),
    lastSeconds: ago(lastMs),
    from: last.from,
    to: last.to,
    protocol: last.protocol,
    state: last.state ?? null,
    fromPort: last.fromPort,
    toPort: last.toPort,
    data: last.data ?? null,
  }));
}

/** First a row for each policy that learns, with what its device can see at all; then what was seen. */
async function profileRows(parts: DeviceParts, { policy }: ProfileAsk): Promise<Row[]> {
  const { kernel, applier, tier } = parts;
  const lost = shownCount(kernel.totals().PROFILE_LOST ?? 0n);
  const names = sightNames(parts);
  const rows = (await kernel.profile()).map((sight) => profileRow(sight, names));
  const isMeant = (name: unknown) => policy === undefined || name === policy;
  const heads = (applier.state().image?.learners ?? [])
    .filter((one) => isMeant(one.policy))
    .map(({ operations, ...learner }): Row => {
      const ofIt = rows.filter((row) => row.policy === learner.policy).length;
      const learns = operations.flatMap((one) => operationWord(one) ?? []);
      return { ...learner, learns, tier, rows: ofIt, rowsMax: HUSK_PROFILE_MAX, lost };
    });
  const seen = rows.filter((row) => isMeant(row.policy));
  return [...heads, ...seen];
}

async function shadowRows(parts: DeviceParts): Promise<Row[]> {
  const { kernel } = parts;
  const judging = kernel.shadow;
  const head: Row = {
    judging: judging === null ? null : { serial: judging.serial, digest: judging.bundleDigest },
    assignment: parts.shadow(),
    lost: shownCount(kernel.totals().DIFFERENCES_LOST ?? 0n),
  };
  const names = sightNames(parts);
  return [head, ...(await kernel.differences()).map((sight) => differenceRow(sight, names))];
}

function sightNames({ kernel, clock, applets }: DeviceParts): SightNames {
  const ruleName = (index: number) => kernel.ruleName(index);
  return { ruleName, mounts: readMounts(), applets: applets(), bootMs: clock.bootMs() };
}

/** Proven, and reached by a hook: only both together are called enforced. */
function ruleStates(parts: DeviceParts): readonly RuleState[] {
  const { kernel, applier, interfaces, ipsecByPolicy, floor, synCookies } = parts;
  const { image, rules } = applier.state();
  const there = interfaces();
  const { tier, passedOver } = parts;
  const misses = kernel.guards?.recursionMisses() ?? 0n;
  return lowerUncovered(
    lowerToTier(rules, image?.rules ?? [], { tier, passedOver, misses, launched: parts.launched() }),
    {
      zones: image?.zones ?? [],
      compiled: image?.rules ?? [],
      interfaces: there.map((one) => one.name),
      hooks: kernel.status().hooks,
      leftOut: (image?.leftOut ?? []).map((one) => one.interface),
      synCookies: synCookies(),
      uncoveredUnkept: floor().why,
      ipsecApart: ipsecByPolicy() ? there.filter(({ kind }) => kind === 'xfrm').map((one) => one.name) : null,
    },
  );
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
    const { hits, bytes, limited } = counters.get(rule.id) ?? { hits: 0n, bytes: 0n, limited: 0n };
    rows.push({
      id: rule.id,
      at: rule.at,
      verdict: rule.verdict,
      mode: rule.mode,
      state,
      ...(why === undefined ? {} : { why }),
      hits: shownCount(hits),
      bytes: shownCount(bytes),
      limited: shownCount(limited),
    });
  }
  return rows;
}
