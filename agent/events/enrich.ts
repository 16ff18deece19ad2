// From numbers to words: a kernel record becomes the event that the fleet reads.
//
// Rule ids come from counter indexes, names from interface numbers, executables from /proc. What cannot be
// found is said in the same place with its number (`if7`, `cgroup 4711`), so that an event is never held
// back for the sake of a name. Text that a process chose is cut and made valid Unicode here.

import {
  HUSK_CALL_BIND,
  HUSK_CALL_CONNECT,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_LINK_BARE,
  type HuskCallEvent,
  HuskConnectionState,
  type HuskEvent,
  HuskHook,
  type HuskPacketEvent,
  HuskReason,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { CallEvent, OperationEvent, PacketEvent } from '../contract/event.ts';
import { addressText, ipv6Text } from './addresses.ts';
import type { PacketAggregate } from './aggregate-packets.ts';
import { describeCaller } from './describe-process.ts';
import { describeFinding, type FindingNames, modeOf, ruleOf } from './findings.ts';
import { fitEvent } from './fit-event.ts';
import { type Processes, shortPath } from './processes.ts';
import { wellFormed } from './words.ts';

/** What only the kernel side and the machine can name. */
export interface Names extends FindingNames {
  /** What would allow what was denied, in a line; null: nothing was denied. */
  remediation?(event: CallEvent | OperationEvent): string | null;
  interfaceName(ifindex: number): string | null;
  /** `document/zone` of an interface of the policy in force. */
  zoneName?(ifindex: number): string | null;
}

const hookNames: Readonly<Record<number, string>> = {
  [HuskHook.XDP_INGRESS]: 'xdp_ingress',
  [HuskHook.TC_EGRESS]: 'tc_egress',
  [HuskHook.TC_INGRESS]: 'tc_ingress',
};
const reasonNames: Readonly<Record<number, string>> = {
  [HuskReason.RULE]: 'rule',
  [HuskReason.DEFAULT]: 'default',
  [HuskReason.NEVER_DROP]: 'never-drop',
  [HuskReason.UNPARSEABLE]: 'unparseable',
  [HuskReason.UNZONED]: 'unzoned',
  [HuskReason.NO_GENERATION]: 'no-generation',
  [HuskReason.NO_SUBJECT]: 'no-subject',
  [HuskReason.LIMITED]: 'limited',
  [HuskReason.DEFERRED]: 'deferred',
  [HuskReason.COOKIE]: 'cookie',
  [HuskReason.OWN_SOURCE]: 'own-source',
};
const packetVerdicts: Readonly<Record<number, PacketEvent['verdict']>> = {
  [HuskVerdict.ALLOW]: 'allow',
  [HuskVerdict.DROP]: 'drop',
  [HuskVerdict.REJECT]: 'reject',
  [HuskVerdict.LOG]: 'log',
};
const stateNames: Readonly<Record<number, string>> = {
  [HuskConnectionState.NEW]: 'new',
  [HuskConnectionState.ESTABLISHED]: 'established',
  [HuskConnectionState.RELATED]: 'related',
  [HuskConnectionState.INVALID]: 'invalid',
};
/** The bit that says a tag is there is above it. */
const vlanIdMask = 0x0fff;
const icmpProtocols: readonly number[] = [1, 58];
/** Linux's numbers; words as in policy. */
const socketFamilyNames: Readonly<Record<number, string>> = {
  1: 'unix',
  2: 'inet',
  10: 'inet6',
  16: 'netlink',
  17: 'packet',
};
const socketTypeNames: Readonly<Record<number, string>> = {
  1: 'stream',
  2: 'dgram',
  3: 'raw',
  5: 'seqpacket',
};

export function describePackets(aggregate: PacketAggregate, names: Names): PacketEvent {
  const { first, count, bytes } = aggregate;
  const { head, family } = first;
  return {
    kind: 'packet',
    rule: ruleOf(head, names),
    verdict: packetVerdicts[head.verdict] ?? 'allow',
    mode: modeOf(head),
    reason: reasonNames[head.reason] ?? `reason ${head.reason}`,
    hook: hookNames[head.hook] ?? `hook ${head.hook}`,
    serial: Number(head.serial),
    interface: names.interfaceName(first.ifindex) ?? `if${first.ifindex}`,
    ...placeOf(first, names),
    family: family === HUSK_FAMILY_IPV4 ? 'ipv4' : family === HUSK_FAMILY_IPV6 ? 'ipv6' : 'other',
    etherType: first.etherType,
    from: addressText(first.saddr, family),
    to: addressText(first.daddr, family),
    protocol: first.ipProto,
    fromPort: first.sport,
    toPort: first.dport,
    tcpFlags: first.tcpFlags,
    count,
    bytes,
  };
}

/** What only some packets have; left out of the event where this one has it not. */
function placeOf(first: HuskPacketEvent, names: Names): Partial<PacketEvent> {
  const zone = names.zoneName?.(first.ifindex) ?? null;
  const state = stateNames[first.state];
  return {
    ...(zone === null ? {} : { zone }),
    ...(first.cameBy === 0 ? {} : { cameBy: names.interfaceName(first.cameBy) ?? `if${first.cameBy}` }),
    ...(state === undefined ? {} : { state }),
    ...(first.outerVlan === 0 ? {} : { vlan: first.outerVlan & vlanIdMask }),
    ...(icmpProtocols.includes(first.ipProto)
      ? { icmp: { type: first.icmpType, code: first.icmpCode } }
      : {}),
    ...(first.dataLength === 0
      ? {}
      : {
          data: Buffer.from(first.data.subarray(0, first.dataLength)).toString('hex'),
          link: first.link === HUSK_LINK_BARE ? 'ip' : 'ethernet',
        }),
  };
}

/** A call that a cgroup hook judged. */
export function describeCall(call: HuskCallEvent, names: Names, processes: Processes): CallEvent {
  const { head, tgid, tid, uid, gid } = call;
  const command = wellFormed(call.comm);
  const facts = processes.facts(tgid, command, bootMsOf(head));
  const cgroup = shortPath(
    wellFormed(processes.cgroupPath(call.cgroup, facts.cgroup) ?? `cgroup ${call.cgroup}`),
  );
  const word = call.call === HUSK_CALL_CONNECT ? 'connect' : call.call === HUSK_CALL_BIND ? 'bind' : 'socket';
  const parents = processes.parents(facts.parent?.pid);
  const process = describeCaller({ tgid, tid, uid, gid }, command, cgroup, facts, parents);
  const event: CallEvent = {
    kind: 'call',
    ...describeFinding(head, { word, killed: false, tier: 'C' }, names),
    process,
    call: word,
    command,
    executable: process.file.path,
    pid: tgid,
    uid,
    gid,
    cgroup,
    ...callWords({ ...call, call: word }),
    count: 1,
  };
  const desc = names.remediation?.(event) ?? null;
  return fitEvent(desc === null ? event : { ...event, remediation: { desc } });
}

/** What a call names, in words. */
export function callWords(call: {
  readonly call: CallEvent['call'];
  readonly socketFamily: number;
  readonly socketType: number;
  readonly ipProto: number;
  readonly addr: Uint8Array;
  readonly port: number;
}): Pick<CallEvent, 'family' | 'type' | 'protocol' | 'address' | 'port' | 'dst_endpoint' | 'src_endpoint'> {
  const { socketFamily, socketType, port } = call;
  const address = callAddress(call);
  const endpoint = { ip: address, port };
  return {
    family: socketFamilyNames[socketFamily] ?? `family ${socketFamily}`,
    type: socketTypeNames[socketType] ?? `type ${socketType}`,
    protocol: call.ipProto,
    address,
    port,
    ...(address === ''
      ? {}
      : call.call === 'connect'
        ? { dst_endpoint: endpoint }
        : { src_endpoint: endpoint }),
  };
}

/** Milliseconds of boot time of a record. */
export function bootMsOf(head: HuskEvent): number {
  return Number(head.bootNs / 1_000_000n);
}

/** A socket that is only created has no address; one of another family has none that we could write. */
function callAddress(call: Pick<HuskCallEvent, 'addr' | 'socketFamily'> & Pick<CallEvent, 'call'>): string {
  if (call.call === 'socket' || (call.socketFamily !== 2 && call.socketFamily !== 10)) return '';
  // An IPv4 address inside an IPv6 socket (::ffff:a.b.c.d) is shown as what the call named.
  return call.socketFamily === 2 ? addressText(call.addr, HUSK_FAMILY_IPV4) : ipv6Text(call.addr);
}
