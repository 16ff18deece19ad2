// Packets for the twins: one for every rule and default of a zone that has an interface here.

import type { PacketPolicy, PolicyDocument, ZoneRules } from '../contract/policy.ts';
import { arpFrame, buildPacket, lyingFrame, type PacketWanted } from './build-packet.ts';
import { evaluatePacket } from './evaluate.ts';
import { matchesGlob } from './globs.ts';
import { type Direction, directions, effectiveMode, ruleId, zoneDefaultId } from './ids.ts';
import type { Judgement, PacketTry } from './judgement.ts';
import { allPorts } from './ports.ts';
import { allAddresses } from './ranges.ts';
import { type PacketFamily, type PacketReach, packetReach } from './reach.ts';
import { addressSamples, combinations, portSamples } from './sample.ts';
import { SetResolver } from './sets.ts';
import type { DeviceFacts } from './table-image.ts';

/** Packets tried for one rule. */
const samplesMax = 400;

/** RFC 5737, RFC 3849: addresses for documentation, nobody's. */
const preferred = {
  ipv4: {
    source: Uint32Array.of(0, 0, 0xffff, 0xc0000201),
    destination: Uint32Array.of(0, 0, 0xffff, 0xc6336401),
  },
  ipv6: { source: Uint32Array.of(0x20010db8, 0, 0, 1), destination: Uint32Array.of(0x20010db8, 1, 0, 1) },
} as const;
const preferredPorts = { from: 40000, to: 443 } as const;
/** RFC 3692 experiment first: nothing speaks it. */
const protocols: readonly number[] = [253, 17, 6, 132, 47, 1, 58];
const tcpSyn = 2;

export interface Tried<T> {
  readonly tries: readonly T[];
  readonly untried: readonly string[];
}

/** What a packet is to be found for. */
interface Target {
  readonly id: string;
  readonly reach: PacketReach;
  /** Which packets of the rules before it do not get here. */
  readonly before: readonly PacketReach[];
  readonly isDecidedBy: (judgement: Judgement) => boolean;
}

interface Place {
  readonly direction: Direction;
  readonly interface: string;
  readonly ifindex: number;
}

export function tryPackets(documents: readonly PolicyDocument[], facts: DeviceFacts): Tried<PacketTry> {
  const resolver = new SetResolver(documents);
  const tries: PacketTry[] = [];
  const untried: string[] = [];
  let proved = false;
  for (const document of documents) {
    if (document.kind !== 'PacketPolicy' || document.spec.mode === 'off') continue;
    for (const direction of directions) {
      for (const list of document.spec[direction]) {
        const at = placeOf(document, list.zone, direction, facts);
        for (const target of targetsOf(document, list, direction, resolver)) {
          const found = at === null ? null : findPacket(documents, at, target);
          if (found === null) untried.push(target.id);
          else tries.push(found);
        }
        if (at === null || proved) continue;
        // What no rule decides, once for each direction.
        for (const way of directions) {
          for (const frame of [arpFrame(), lyingFrame()]) {
            tries.push(packetTry(documents, { ...at, direction: way }, frame));
          }
        }
        proved = true;
      }
    }
  }
  return { tries, untried };
}

/** An interface of the zone, or null where the device has none at the moment. */
function placeOf(
  { spec }: PacketPolicy,
  zone: string,
  direction: Direction,
  { interfaces }: DeviceFacts,
): Place | null {
  const globs = spec.zones[zone]?.interfaces ?? [];
  const found = interfaces.find(({ name }) => globs.some((glob) => matchesGlob(glob, name)));
  return found === undefined ? null : { direction, interface: found.name, ifindex: found.index };
}

/** Everything: what a default is about, unless a rule before it takes it. */
const anyPacket: PacketReach = {
  families: ['ipv4', 'ipv6', 'other'],
  from: allAddresses,
  to: allAddresses,
  protocol: null,
  ports: null,
  tcpFlags: null,
};

function targetsOf(
  document: PacketPolicy,
  list: ZoneRules,
  direction: Direction,
  resolver: SetResolver,
): readonly Target[] {
  const targets: Target[] = [];
  const before: { readonly reach: PacketReach; readonly mode: 'monitor' | 'enforce' }[] = [];
  const deciding = () => before.filter(({ mode }) => mode === 'enforce').map(({ reach }) => reach);
  for (const rule of list.rules) {
    const mode = effectiveMode(document.spec.mode, rule.mode);
    if (mode === 'off') continue;
    const from = rule.from === undefined ? null : resolver.match(document, rule.from);
    const to = rule.to === undefined ? null : resolver.match(document, rule.to);
    const reach = packetReach(rule, from, to);
    const id = ruleId(document, rule);
    targets.push({
      id,
      reach,
      // Only the first rule in monitor mode is noted, so that those before it are in its way too.
      before: mode === 'enforce' ? deciding() : before.map((one) => one.reach),
      isDecidedBy: (judgement) => (mode === 'enforce' ? judgement.rule : judgement.monitored) === id,
    });
    before.push({ reach, mode });
  }
  const id = zoneDefaultId(document, list.zone, direction);
  return [...targets, { id, reach: anyPacket, before: deciding(), isDecidedBy: (one) => one.rule === id }];
}

function findPacket(documents: readonly PolicyDocument[], at: Place, target: Target): PacketTry | null {
  let left = samplesMax;
  for (const family of target.reach.families) {
    for (const wanted of packetsFor(target, family, left)) {
      left--;
      const made = packetTry(documents, at, buildPacket(wanted));
      if (target.isDecidedBy(made.expect)) return made;
    }
  }
  return null;
}

function packetTry(documents: readonly PolicyDocument[], at: Place, frame: Uint8Array): PacketTry {
  const { direction, ifindex } = at;
  const expect = evaluatePacket(documents, { interface: at.interface, direction, frame });
  return { direction, ifindex, frame, expect };
}

/** Packets inside the conditions, the most promising first. */
function* packetsFor(
  { reach, before }: Target,
  family: PacketFamily,
  limit: number,
): Generator<PacketWanted> {
  const ordinary = {
    protocol: protocols[0] ?? 253,
    ports: preferredPorts,
    tcpFlags: tcpSyn,
    fragment: 'none',
  } as const;
  if (family === 'other') {
    yield { addresses: null, ...ordinary };
    return;
  }
  const inFamily = before.filter((one) => one.families.includes(family));
  const sources = addressSamples(
    reach.from[family],
    inFamily.map((one) => one.from[family]),
    preferred[family].source,
  );
  const destinations = addressSamples(
    reach.to[family],
    inFamily.map((one) => one.to[family]),
    preferred[family].destination,
  );
  const ports = (side: 'from' | 'to') =>
    portSamples(
      reach.ports?.[side] ?? [allPorts],
      inFamily.flatMap((one) => one.ports?.[side] ?? []).map((one) => [one]),
      preferredPorts[side],
    );
  const [fromPorts, toPorts] = [ports('from'), ports('to')];
  const protocolsTried = reach.protocol === null ? protocolsOutside(inFamily) : [reach.protocol];
  const flags = flagSamples(reach);
  const fragments =
    reach.ports === null && reach.tcpFlags === null ? (['none', 'later'] as const) : (['none'] as const);
  const lists = [sources, destinations, protocolsTried, toPorts, fromPorts, flags, fragments] as const;
  for (const picks of combinations(
    lists.map((list) => list.length),
    limit,
  )) {
    const [source, destination] = [sources[picks[0] ?? 0], destinations[picks[1] ?? 0]];
    if (source === undefined || destination === undefined) return;
    yield {
      addresses: { source, destination, family: family === 'ipv4' ? 4 : 6 },
      protocol: protocolsTried[picks[2] ?? 0] ?? ordinary.protocol,
      ports: {
        to: toPorts[picks[3] ?? 0] ?? preferredPorts.to,
        from: fromPorts[picks[4] ?? 0] ?? preferredPorts.from,
      },
      tcpFlags: flags[picks[5] ?? 0] ?? tcpSyn,
      fragment: fragments[picks[6] ?? 0] ?? 'none',
    };
  }
}

/** Protocols no earlier rule names, first; then the others. */
function protocolsOutside(before: readonly PacketReach[]): readonly number[] {
  const named = new Set(before.map((one) => one.protocol));
  return [...protocols.filter((one) => !named.has(one)), ...protocols.filter((one) => named.has(one))];
}

/** Every setting of the six flags that fits, the fewest flags first. */
function flagSamples({ tcpFlags }: PacketReach): readonly number[] {
  const bitCount = (bits: number) => bits.toString(2).replaceAll('0', '').length;
  const all = Array.from({ length: 64 }, (_, bits) => bits);
  const fitting = all.filter((bits) => tcpFlags === null || (bits & tcpFlags.mask) === tcpFlags.value);
  const ranked = fitting.toSorted((a, b) => bitCount(a) - bitCount(b) || a - b);
  return tcpFlags === null ? [tcpSyn, ...ranked.filter((bits) => bits !== tcpSyn)] : ranked;
}
