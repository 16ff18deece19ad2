// What is wrong with the conditions of a packet rule or an expectation, each for itself: values that are none, and
// conditions without the other that they need.

import type {
  AddressMatch,
  Expectation,
  IcmpMatch,
  OrNot,
  PacketMatch,
  PacketPolicy,
  PortMatch,
  Protocol,
  VlanMatch,
} from '../contract/policy.ts';
import { type Checking, checkEntries, checkEntry, checkNumbers, checkPorts } from './checking.ts';
import type { Path } from './faults.ts';
import { globsOverlap } from './globs.ts';
import type { Direction } from './ids.ts';
import { flagBits, protocolNumber, protocolNumbers, protocolsWithPorts } from './numbers.ts';
import { isList } from './sets.ts';

/** 4095 is reserved (IEEE 802.1Q table 9-2). */
const vlanMax = 4094;
const lengthMax = 65_535;
const icmpProtocols: readonly number[] = [protocolNumbers.icmp, protocolNumbers.icmpv6];

export interface ConditionsAt {
  readonly document: PacketPolicy;
  readonly direction: Direction;
  readonly zone: string;
  readonly path: Path;
  readonly checking: Checking;
  /** Names of sets that are used are added. */
  readonly setsUsed: Set<string>;
}

/** An expectation has no interface, MAC, VLAN, length or DSCP, and is a match all the same. */
export function checkConditions(match: PacketMatch | Expectation, at: ConditionsAt): void {
  checkAddressMatch(match.from, [...at.path, 'from'], at);
  checkAddressMatch(match.to, [...at.path, 'to'], at);
  checkTransport(match, at);
  checkPlace(match, at);
  if ('vlan' in match) checkVlan(match.vlan, [...at.path, 'vlan'], at.checking);
  if ('length' in match) {
    checkOrNot(match.length, [...at.path, 'length'], (one: PortMatch, path) =>
      checkNumbers(one, path, at.checking.fault, { last: lengthMax, what: 'a length' }),
    );
  }
  if ('mac' in match && match.mac !== undefined && Object.keys(match.mac).length === 0) {
    at.checking.fault([...at.path, 'mac'], 'has neither from nor to');
  }
}

export function checkAddressMatch(
  match: AddressMatch | undefined,
  path: Path,
  { document, checking, setsUsed }: ConditionsAt,
): void {
  const { fault } = checking;
  if (match === undefined) return;
  if (typeof match === 'string') {
    checkEntry(match, path, fault);
  } else if (isList(match)) {
    checkEntries(match, path, fault);
  } else if ('set' in match) {
    setsUsed.add(match.set);
    if (!Object.hasOwn(document.spec.sets ?? {}, match.set)) {
      fault([...path, 'set'], `there is no set "${match.set}" in this policy`);
    }
  } else if (typeof match.not === 'string') {
    checkEntry(match.not, [...path, 'not'], fault);
  } else {
    checkEntries(match.not, [...path, 'not'], fault);
  }
}

/** The protocols that a rule names; null where it names none, or only those that are not meant. */
export function protocolsNamed(
  match: OrNot<Protocol | readonly Protocol[]> | undefined,
): readonly number[] | null {
  if (match === undefined || (typeof match === 'object' && 'not' in match)) return null;
  return (typeof match === 'object' ? match : [match]).map(protocolNumber);
}

function checkTransport(match: PacketMatch | Expectation, { path, checking }: ConditionsAt): void {
  const { fault } = checking;
  const protocols = protocolsNamed(match.protocol);
  const areAmong = (numbers: readonly number[]) => protocols?.every((one) => numbers.includes(one)) === true;
  const needs = (what: 'ports' | 'tcpFlags' | 'icmp', numbers: readonly number[], words: string) => {
    if (match[what] === undefined) return;
    if (!areAmong(numbers))
      fault([...path, what], `${what} need${what === 'icmp' ? 's' : ''} protocol ${words}`, { what: 'key' });
    if (match.fragment === 'later') {
      fault([...path, what], 'a later fragment has no such header: the rule can never match', {
        what: 'key',
      });
    }
  };
  needs('ports', protocolsWithPorts, 'tcp, udp, sctp or udplite');
  needs('tcpFlags', [protocolNumbers.tcp], 'tcp');
  needs('icmp', icmpProtocols, 'icmp or icmpv6');
  if (match.ports !== undefined) {
    if (match.ports.from === undefined && match.ports.to === undefined) {
      fault([...path, 'ports'], 'has neither from nor to');
    }
    for (const side of ['from', 'to'] as const) {
      checkOrNot(match.ports[side], [...path, 'ports', side], (one: PortMatch, at) =>
        checkPorts(one, at, fault),
      );
    }
  }
  if (match.tcpFlags !== undefined) {
    if ((flagBits(match.tcpFlags.set) & flagBits(match.tcpFlags.unset)) !== 0) {
      fault([...path, 'tcpFlags'], 'a flag cannot be both set and unset');
    }
    if (flagBits(match.tcpFlags.set) === 0 && flagBits(match.tcpFlags.unset) === 0) {
      fault([...path, 'tcpFlags'], 'names no flag');
    }
  }
  checkOrNot(match.icmp, [...path, 'icmp'], (one: IcmpMatch, at) => checkIcmp(one, at, checking));
}

function checkIcmp(match: IcmpMatch, path: Path, { fault }: Checking): void {
  const entries: readonly (number | string)[] = isList(match) ? match : [match as number | string];
  entries.forEach((entry, index) => {
    const at = isList(match) ? [...path, index] : path;
    const [first = 0, last = 0] = String(entry).split(/[/-]/).map(Number);
    if (first > 255 || last > 255) fault(at, `"${entry}" is beyond 255, the last type and code`);
    else if (String(entry).includes('-') && first > last) {
      fault(at, `"${entry}" wraps: it ends before it starts; the other way round it is ${last}-${first}`);
    }
  });
}

/** Where a packet is, came from and goes to. */
function checkPlace(match: PacketMatch | Expectation, at: ConditionsAt): void {
  const { document, direction, zone, path, checking } = at;
  const { fault } = checking;
  if (match.toDevice !== undefined && direction === 'egress') {
    fault([...path, 'toDevice'], 'is known of what comes in, in ingress; in egress there is origin', {
      what: 'key',
    });
  }
  if (match.origin !== undefined && direction === 'ingress') {
    fault([...path, 'origin'], 'is known of what goes out, in egress; in ingress the zone says it', {
      what: 'key',
    });
  }
  checkOrNot(match.origin, [...path, 'origin'], (names: string | readonly string[], namesAt) => {
    eachOf(names, namesAt, (name, nameAt) => {
      if (name !== 'device' && !Object.hasOwn(document.spec.zones, name)) {
        fault(nameAt, `is neither "device" nor a zone of this policy: "${name}"`);
      }
    });
  });
  if (!('interface' in match)) return;
  const globs = document.spec.zones[zone]?.interfaces;
  checkOrNot(match.interface, [...path, 'interface'], (names: string | readonly string[], namesAt) => {
    eachOf(names, namesAt, (name, nameAt) => {
      if (globs?.some((glob) => globsOverlap(glob, name)) === false) {
        fault(nameAt, `no interface of zone "${zone}" can be "${name}"`);
      }
    });
  });
}

function checkVlan(match: VlanMatch | undefined, path: Path, { fault }: Checking): void {
  if (match === undefined || match === 'none') return;
  const tag = (one: PortMatch | 'none' | undefined, at: Path) => {
    if (one === undefined || one === 'none') return;
    checkNumbers(one, at, fault, { last: vlanMax, what: 'a VLAN id' });
  };
  if (typeof match !== 'object' || isList(match)) {
    tag(match as PortMatch, path);
    return;
  }
  const { outer, inner } = match as Exclude<VlanMatch, PortMatch | 'none'>;
  if (outer === undefined && inner === undefined) fault(path, 'has neither outer nor inner');
  tag(outer, [...path, 'outer']);
  tag(inner, [...path, 'inner']);
}

function checkOrNot<T>(match: OrNot<T> | undefined, path: Path, check: (match: T, path: Path) => void): void {
  if (match === undefined) return;
  if (typeof match === 'object' && match !== null && 'not' in match) check(match.not, [...path, 'not']);
  else check(match as T, path);
}

function eachOf<T>(match: T | readonly T[], path: Path, check: (one: T, path: Path) => void): void {
  const several = Array.isArray(match);
  const all: readonly T[] = several ? match : [match as T];
  for (const [index, one] of all.entries()) check(one, several ? [...path, index] : path);
}
