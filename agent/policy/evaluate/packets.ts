// Packets judged one after another, in the order of PACKETS.md §2: place, headers, connection, never-drop, rules, default.

import type { PolicyDocument } from '../../contract/policy.ts';
import { type DeviceView, plainDevice } from '../device-view.ts';
import type { Judgement, PacketAt } from '../judgement.ts';
import { type Packet, parseBehind, readLink } from '../packet.ts';
import type { Condition, Seen } from './conditions.ts';
import { type Connection, Connections, type Lookup, unknown } from './connections.ts';
import { Limiter } from './limits.ts';
import { type Line, type Policies, plain, policiesOf, type ZoneLines } from './lines.ts';
import { Points } from './points.ts';

/** One packet, with nothing before it. `device`: default one whose only interface is that of the packet. */
export function evaluatePacket(
  documents: readonly PolicyDocument[],
  at: PacketAt,
  device: DeviceView = plainDevice([at.interface]),
): Judgement {
  return new PacketEvaluator(documents, device).judge(at);
}

/** Lines of a zone and direction that may match, in order: every line that matches is among them. */
export type Walked = (lines: readonly Line[], seen: Seen) => Iterable<Line>;

const everyLine: Walked = (lines) => lines;

interface Walk {
  /** null: limits are not asked, every packet is within them. */
  readonly timeNs: bigint | null;
  /** Whether a source that is the device's own is asked for. */
  readonly asksForSource: boolean;
  /** Is given the rules that matched, and a default in monitor mode. */
  readonly matched: string[];
}

/** A device that judges packets in the order they are given: it follows connections and limits. */
export class PacketEvaluator {
  readonly #connections = new Connections();
  readonly #limiter = new Limiter();
  readonly #walked: Walked;
  #device: DeviceView;
  #documents: readonly PolicyDocument[];
  #policies: Policies;
  #points: Points;
  #generation = 0;
  /** The greatest number given out: a generation after a returned one has another number than it had. */
  #generations = 0;
  #before: { readonly documents: readonly PolicyDocument[]; readonly generation: number } | null = null;

  /** For documents that were checked. `walked`: default every line. */
  constructor(documents: readonly PolicyDocument[], device: DeviceView, walked: Walked = everyLine) {
    this.#device = device;
    this.#walked = walked;
    this.#documents = documents;
    this.#policies = policiesOf(documents);
    this.#points = pointsOf(this.#policies, device);
  }

  /** Living connections that had to go for want of room. */
  get evictions(): number {
    return this.#connections.evictions;
  }

  /** Without a rule that asks for a state, or replies that are never dropped, packets have no state. */
  get followsConnections(): boolean {
    return this.#policies.asksForConnections || this.#points.hasReplies;
  }

  /** `matched`: is given the ids of rules that matched, in order, log and monitor among them, and of a default in monitor mode. */
  judge(at: PacketAt, matched: string[] = []): Judgement {
    const zone = this.#points.zoneOf(at.interface);
    if (zone === null) return { ...plain('allow', 'unzoned'), state: null };
    const link = readLink(at.frame, {
      link: at.link ?? this.#points.linkOf(at.interface),
      ...(at.strippedTags === undefined ? {} : { strippedTags: at.strippedTags }),
    });
    if (this.#points.isDeferred(at.interface, link)) return { ...plain('allow', 'deferred'), state: null };
    const packet = parseBehind(at.frame, link);
    if (packet === 'unparseable') return { ...plain(this.#policies.unparseable, 'unparseable'), state: null };
    return this.#judge(packet, at, zone, matched);
  }

  /** Other documents come into force: connections are judged again, limits that stay the same go on. */
  replace(documents: readonly PolicyDocument[]): void {
    this.#before = { documents: this.#documents, generation: this.#generation };
    this.#generations++;
    this.#use(documents, this.#generations);
  }

  /** The documents of the last `replace` are returned: those before are in force again. */
  returned(): void {
    if (this.#before === null) throw new Error('nothing was replaced that could be returned');
    const { documents, generation } = this.#before;
    this.#connections.forgetOpenedIn(this.#generation);
    this.#before = null;
    this.#use(documents, generation);
  }

  /** Addresses or interfaces changed. */
  follow(device: DeviceView): void {
    this.#device = device;
    this.#points = pointsOf(this.#policies, device);
  }

  #use(documents: readonly PolicyDocument[], generation: number): void {
    this.#documents = documents;
    this.#generation = generation;
    this.#policies = policiesOf(documents);
    this.#points = pointsOf(this.#policies, this.#device);
  }

  #judge(packet: Packet, at: PacketAt, zone: ZoneLines, matched: string[]): Judgement {
    const { timeNs = 0n, givenState, cameBy = null } = at;
    const looksUp = this.followsConnections && givenState === undefined;
    const place = { interface: at.interface, direction: at.direction, cameBy };
    const lookup = looksUp
      ? this.#connections.find(packet, timeNs, place, this.#policies, this.#generation, (one) =>
          this.#isStillAllowed(one),
        )
      : unknown(packet.family === 'other' ? null : (givenState ?? null));
    const judgement = this.#decide(this.#see(packet, place, lookup), zone, lookup.connection, {
      timeNs,
      matched,
      asksForSource: looksUp && mayBeForged(lookup),
    });
    if (looksUp && judgement.verdict === 'allow') {
      this.#connections.note(packet, place, lookup, timeNs, this.#policies, this.#generation);
    } else if (looksUp) this.#connections.stopped(packet, place, lookup);
    return { ...judgement, state: lookup.state };
  }

  #see(
    packet: Packet,
    place: Pick<Seen, 'interface' | 'direction' | 'cameBy'>,
    { state, connection }: Lookup,
  ): Seen {
    return { packet, ...place, state, isToDevice: this.#points.isToDevice(packet, connection) };
  }

  #decide(
    seen: Seen,
    zone: ZoneLines,
    connection: Connection | null,
    { timeNs, matched, asksForSource }: Walk,
  ): Judgement {
    if (this.#points.isNeverDropped(seen, connection)) return plain('allow', 'never-drop');
    const isAsked = asksForSource && this.#policies.asksForConnections && zone.mode === 'enforce';
    if (isAsked && this.#points.isFromOwnAddress(seen)) return plain('drop', 'own-source');
    let monitored: string | null = null;
    for (const line of this.#walked(zone.rules[seen.direction], seen)) {
      if (!holdAll(line.conditions, seen)) continue;
      const { id, mode, action, limit } = line;
      const isWithin = limit === null || timeNs === null || this.#limiter.take(limit, seen.packet, timeNs);
      if (!isWithin && limit.over === 'next') continue;
      matched.push(id);
      if (mode === 'monitor') monitored ??= id;
      else if (!isWithin) return { verdict: 'drop', reason: 'limited', rule: id, monitored };
      else if (action !== 'log') return { verdict: action, reason: 'rule', rule: id, monitored };
    }
    const fallback = zone.defaults[seen.direction];
    if (fallback === null) return { ...plain('allow', 'default'), monitored };
    const isMonitor = fallback.mode === 'monitor';
    if (isMonitor) matched.push(fallback.id);
    return {
      verdict: isMonitor ? 'allow' : fallback.verdict,
      reason: 'default',
      rule: fallback.id,
      monitored: monitored ?? (isMonitor ? fallback.id : null),
    };
  }

  /** After a swap: a new packet along the original direction, where the connection was opened. */
  #isStillAllowed(connection: Connection): boolean {
    const zone = this.#points.zoneOf(connection.opened.interface);
    if (zone === null) return true;
    const seen = this.#see(connection.first, connection.opened, unknown('new'));
    const walk: Walk = { timeNs: null, matched: [], asksForSource: true };
    return this.#decide(seen, zone, null, walk).verdict === 'allow';
  }
}

/** An established connection was asked when it was opened; not one opened going out, with which nobody goes on that comes in. */
const mayBeForged = ({ state, connection, isReply }: Lookup) =>
  state !== null && (state !== 'established' || (!isReply && connection?.opened.direction === 'egress'));

/** A loop, since a walk past thousands of rules is nearly all there is to judging. */
function holdAll(conditions: readonly Condition[], seen: Seen): boolean {
  for (const holds of conditions) if (!holds(seen)) return false;
  return true;
}

const known = new WeakMap<Policies, WeakMap<DeviceView, Points>>();

/** Once for policies and device, since captures are judged packet by packet too. */
function pointsOf(policies: Policies, device: DeviceView): Points {
  const ofPolicies = known.get(policies) ?? new WeakMap<DeviceView, Points>();
  known.set(policies, ofPolicies);
  const points = ofPolicies.get(device) ?? new Points(policies, device);
  ofPolicies.set(device, points);
  return points;
}
