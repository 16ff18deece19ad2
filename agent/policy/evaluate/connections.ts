// Connections and their states (PACKETS.md §5): who opened them, who answered, when they are forgotten.
//
//   no packet yet ──allowed, new──▶ opening ──other than SYN each way──▶ established ──FIN both, or RST──▶ closing
//                                      └────────── nothing came for the timeout ──────────┴──▶ forgotten
//
// Finding a connection changes nothing. Only what was allowed is noted, afterwards.

import type { ConnectionState, ConnectionTimeout } from '../../contract/policy.ts';
import type { Direction } from '../ids.ts';
import { tcpFlagBits } from '../numbers.ts';
import { type Endpoints, isIcmpEcho, isIcmpError, type Packet } from '../packet.ts';
import type { Policies } from './lines.ts';

/** Seconds. RFC 5382 §5: not under 2 h 4 min; RFC 4787 §4.3: not under 2 min. */
const defaultTimeouts: Readonly<Record<ConnectionTimeout, number>> = {
  tcpOpening: 60,
  tcpEstablished: 7440,
  tcpClosing: 30,
  udpOneWay: 30,
  udp: 120,
  icmp: 30,
  other: 600,
};
const fragmentNs = 30_000_000_000n;
const nsPerSecond = 1_000_000_000n;
/** Connections and first fragments kept here; a device has bounds of its own. */
const connectionsMax = 65_536;
const fragmentsMax = 4096;
/** How many of those that waited longest are looked through for one that is over, or was never answered. */
const evictionSearchMax = 64;

const { fin, syn, rst, ack } = tcpFlagBits;
const protocolTcp = 6;
const protocolUdp = 17;
const protocolUdplite = 136;

export interface Opening {
  readonly interface: string;
  readonly direction: Direction;
  /** null: the device made it itself. */
  readonly cameBy: string | null;
}

export interface Connection {
  /** Its first packet, by which it is judged again. */
  readonly first: Packet;
  readonly opened: Opening;
  readonly openedIn: number;
  /** The generation by which it was judged last. */
  judgedIn: number;
  lastNs: bigint;
  /** Whether a packet came against its original direction. */
  isAnswered: boolean;
  isForwarded: boolean;
  /** Directions in which a TCP packet other than a SYN went, and those in which FIN went. */
  readonly underWay: Set<Way>;
  readonly finished: Set<Way>;
  /** Those in which RST went, and nothing but RST and SYN since. */
  readonly reset: Set<Way>;
}

type Way = 'along' | 'against';

/** What was found out about a packet before it is judged. */
export interface Lookup {
  /** null: what is not IP has none. */
  readonly state: ConnectionState | null;
  /** The connection it is of, or which an ICMP error is about. */
  readonly connection: Connection | null;
  /** Whether it goes against the original direction of that. */
  readonly isReply: boolean;
}

/** Of a packet of no connection. */
export const unknown = (state: Lookup['state']): Lookup => ({ state, connection: null, isReply: false });

export type Settings = Pick<Policies, 'tcp' | 'timeouts'>;

export class Connections {
  /** In the order of their last packets. Under the key of the original direction. */
  readonly #table = new Map<string, Connection>();
  readonly #fragments = new Map<string, Lookup & { readonly seenNs: bigint }>();
  /** Living connections that had to go for want of room. */
  evictions = 0;

  /** `judgeAgain`: whether a connection is still allowed, asked where another generation judged it last. */
  find(
    packet: Packet,
    nowNs: bigint,
    at: Opening,
    settings: Settings,
    generation: number,
    judgeAgain: (connection: Connection) => boolean,
  ): Lookup {
    if (packet.family === 'other') return unknown(null);
    if (packet.fragment === 'later') return this.#ofFirstFragment(packet, nowNs);
    const found = this.#find(packet, nowNs, settings);
    if (found !== null && !isOver(found.connection, packet) && !isUnasked(found, at)) {
      const { connection, way } = found;
      if (connection.judgedIn === generation || judgeAgain(connection)) {
        connection.judgedIn = generation;
        const isSecondHalf = way === 'along' && isForwarding(at) && !hasGoneOut(connection);
        const state = isSecondHalf
          ? stateOfNone(packet, settings)
          : stateOf(connection, way, packet, settings);
        return { state, connection, isReply: way === 'against' };
      }
      this.#table.delete(keyOf(connection.first, 'along') ?? '');
    }
    if (!isIcmpError(packet)) return unknown(stateOfNone(packet, settings));
    const quoted = this.#quotedBy(packet, nowNs, settings);
    return { state: quoted === null ? 'invalid' : 'related', connection: quoted, isReply: false };
  }

  /** Notes a packet that was allowed. */
  note(
    packet: Packet,
    at: Opening,
    lookup: Lookup,
    nowNs: bigint,
    settings: Settings,
    generation: number,
  ): void {
    if (packet.fragment === 'later' || lookup.state === null) return;
    if (packet.fragment === 'first') this.#noteFirstFragment(packet, lookup, nowNs);
    if (isIcmpError(packet)) return;
    const key = keyOf(packet, 'along');
    let { connection } = lookup;
    if (connection === null) {
      if (lookup.state !== 'new' || key === null) return;
      connection = opened(packet, at, nowNs, generation);
      // What was closed may have gone the other way.
      this.#table.delete(keyOf(packet, 'against') ?? key);
      this.#makeRoom(nowNs, settings);
    }
    const ownKey = keyOf(connection.first, 'along');
    if (ownKey === null) return;
    renew(connection, ownKey === key ? 'along' : 'against', packet, nowNs, settings);
    if (isForwarding(at)) connection.isForwarded = true;
    this.#table.delete(ownKey);
    this.#table.set(ownKey, connection);
  }

  /** A packet was stopped going out: where nothing of its connection was let through before, that is over. */
  stopped(packet: Packet, at: Opening, { connection }: Lookup): void {
    if (connection === null || !isForwarding(at) || hasGoneOut(connection) || isIcmpError(packet)) return;
    const key = keyOf(connection.first, 'along');
    // Against its direction it is an answer, to what was let through by another way.
    if (key === null || key !== keyOf(packet, 'along')) return;
    this.#table.delete(key);
  }

  /** Forgets what was opened under a generation that is void. */
  forgetOpenedIn(generation: number): void {
    for (const [key, { openedIn }] of this.#table) if (openedIn === generation) this.#table.delete(key);
  }

  #find(
    endpoints: Endpoints,
    nowNs: bigint,
    settings: Settings,
  ): { readonly connection: Connection; readonly way: Way } | null {
    for (const way of ['along', 'against'] as const) {
      const key = keyOf(endpoints, way);
      const connection = key === null ? undefined : this.#table.get(key);
      if (key === null || connection === undefined) continue;
      if (!isForgotten(connection, nowNs, settings)) return { connection, way };
      this.#table.delete(key);
    }
    return null;
  }

  #quotedBy({ quoted, destination }: Packet, nowNs: bigint, settings: Settings): Connection | null {
    if (quoted === null) return null;
    if (quoted.source.some((word, at) => word !== destination[at])) return null;
    return this.#find(quoted, nowNs, settings)?.connection ?? null;
  }

  #ofFirstFragment(packet: Packet, nowNs: bigint): Lookup {
    const first = this.#fragments.get(fragmentKey(packet));
    if (first === undefined || nowNs - first.seenNs >= fragmentNs) return unknown('invalid');
    return first;
  }

  #noteFirstFragment(packet: Packet, lookup: Lookup, nowNs: bigint): void {
    const key = fragmentKey(packet);
    this.#fragments.delete(key);
    this.#fragments.set(key, { ...lookup, seenNs: nowNs });
    if (this.#fragments.size <= fragmentsMax) return;
    const [oldest] = this.#fragments.keys();
    if (oldest !== undefined) this.#fragments.delete(oldest);
  }

  /** What is over goes first, then one that nothing came back on, then the one that waited longest. */
  #makeRoom(nowNs: bigint, settings: Settings): void {
    if (this.#table.size < connectionsMax) return;
    const waiting: (readonly [string, Connection])[] = [];
    for (const entry of this.#table) {
      if (waiting.push(entry) === evictionSearchMax) break;
    }
    const over = waiting.find(([, one]) => isForgotten(one, nowNs, settings));
    if (over === undefined) this.evictions++;
    const goes = over ?? waiting.find(([, one]) => !one.isAnswered) ?? waiting[0];
    if (goes !== undefined) this.#table.delete(goes[0]);
  }
}

const isForwarding = ({ direction, cameBy }: Opening) => direction === 'egress' && cameBy !== null;
/** Whether a packet of it went out, or it was opened by one that did. */
const hasGoneOut = ({ isForwarded, opened: { direction } }: Connection) =>
  isForwarded || direction === 'egress';

/** An answer coming in to what came in itself and never went out: nobody was asked. */
const isUnasked = (
  { connection, way }: { readonly connection: Connection; readonly way: Way },
  at: Opening,
) => way === 'against' && at.direction === 'ingress' && !hasGoneOut(connection);

/** A closed TCP connection is over for a SYN, which opens it anew. */
const isOver = (connection: Connection, { tcpFlags }: Packet) => isClosed(connection) && isOpening(tcpFlags);

const isClosed = ({ reset, finished }: Connection) => reset.size > 0 || finished.size === 2;

function stateOf(connection: Connection, way: Way, { tcpFlags }: Packet, { tcp }: Settings): ConnectionState {
  if (isOpening(tcpFlags) && (way === 'along' || connection.underWay.size > 0)) return 'new';
  if (way === 'against' || connection.isAnswered) return 'established';
  return tcp === 'loose' && isUnderWay(tcpFlags) ? 'established' : 'new';
}

const isOpening = (tcpFlags: number | null) => tcpFlags !== null && (tcpFlags & (syn | ack)) === syn;

const isUnderWay = (tcpFlags: number | null) => tcpFlags !== null && (tcpFlags & (ack | syn)) === ack;

/** Of a packet of no connection, ICMP errors left aside. */
function stateOfNone(packet: Packet, { tcp }: Settings): ConnectionState {
  const { tcpFlags, icmp } = packet;
  if (tcpFlags !== null) {
    if ((tcpFlags & (syn | ack | rst | fin)) === syn) return 'new';
    return (tcpFlags & rst) !== 0 || tcp === 'strict' ? 'invalid' : 'new';
  }
  return icmp !== null && isIcmpAnswer(packet) ? 'invalid' : 'new';
}

function opened(packet: Packet, at: Opening, nowNs: bigint, generation: number): Connection {
  return {
    first: packet,
    opened: { interface: at.interface, direction: at.direction, cameBy: at.cameBy },
    openedIn: generation,
    judgedIn: generation,
    lastNs: nowNs,
    isAnswered: false,
    isForwarded: false,
    underWay: new Set(),
    finished: new Set(),
    reset: new Set(),
  };
}

function renew(
  connection: Connection,
  way: Way,
  { tcpFlags }: Packet,
  nowNs: bigint,
  { tcp }: Settings,
): void {
  connection.lastNs = nowNs;
  const wasAnswered = connection.isAnswered;
  if (way === 'against') connection.isAnswered = true;
  if (tcpFlags === null) return;
  if ((tcpFlags & syn) === 0) connection.underWay.add(way);
  if (tcp === 'loose' && way === 'along' && !wasAnswered && isUnderWay(tcpFlags)) {
    // The other side takes another path: what is seen of this one stands for both.
    connection.underWay.add('against');
    connection.isAnswered = true;
  }
  if ((tcpFlags & fin) !== 0) connection.finished.add(way);
  if ((tcpFlags & rst) !== 0) connection.reset.add(way);
  else if ((tcpFlags & syn) === 0) connection.reset.delete(way);
}

function isForgotten(connection: Connection, nowNs: bigint, { timeouts }: Settings): boolean {
  const which = timeoutOf(connection);
  const seconds = timeouts[which] ?? defaultTimeouts[which];
  return nowNs - connection.lastNs >= BigInt(seconds) * nsPerSecond;
}

function timeoutOf(connection: Connection): ConnectionTimeout {
  const { protocol, icmp } = connection.first;
  if (protocol === protocolTcp) {
    if (isClosed(connection)) return 'tcpClosing';
    return connection.underWay.size === 2 ? 'tcpEstablished' : 'tcpOpening';
  }
  if (protocol === protocolUdp || protocol === protocolUdplite)
    return connection.isAnswered ? 'udp' : 'udpOneWay';
  return icmp === null ? 'other' : 'icmp';
}

/**
 * The connection that a packet would be of, seen along its own direction or turned round; null: of none. Requests of ICMP
 * go along the direction of theirs, and what answers them against it.
 */
function keyOf(endpoints: Endpoints, way: Way): string | null {
  const { family, source, destination, protocol, ports, icmp } = endpoints;
  if (icmp !== null && !isIcmpEcho(endpoints) && !isIcmpQuery(endpoints)) return null;
  if (icmp !== null && isIcmpAnswer(endpoints) === (way === 'along')) return null;
  const from = `${source.join(' ')} ${ports?.from ?? icmp?.id ?? 0}`;
  const to = `${destination.join(' ')} ${ports?.to ?? icmp?.id ?? 0}`;
  return [family, protocol, ...(way === 'along' ? [from, to] : [to, from])].join(' ');
}

/** RFC 792, RFC 950: timestamp, information, address mask. */
const isIcmpQuery = ({ family, icmp }: Endpoints) =>
  family === 'ipv4' && icmp !== null && icmp.type >= 13 && icmp.type <= 18;

const isIcmpAnswer = ({ family, icmp }: Endpoints) =>
  icmp !== null && (family === 'ipv4' ? [0, 14, 16, 18] : [129]).includes(icmp.type);

/** RFC 791 §3.2; IPv6 names no protocol (RFC 8200 §4.5), and a later fragment says another than the first. */
const fragmentKey = ({ family, source, destination, protocol, fragmentId }: Packet) =>
  [family, source.join(' '), destination.join(' '), family === 'ipv4' ? protocol : '', fragmentId].join(' ');
