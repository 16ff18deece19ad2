// How connections are followed, of all policies of a bundle: a device has one table for them.

import {
  HUSK_FOLLOWS_ALL,
  HUSK_FOLLOWS_NONE,
  HUSK_FOLLOWS_SERVICES,
  HUSK_SERVICES_MAX,
  type HuskConnectionSettings,
  HuskConnectionTimeout,
  type HuskService,
} from '../../bpf/abi/layout.gen.ts';
import type { ConnectionTimeout, PacketPolicy, PolicyDocument } from '../contract/policy.ts';
import { bytesToWords, parseAddress, wordsToBytes } from './addresses.ts';
import type { NeverDrop } from './device-view.ts';
import { directions, effectiveMode } from './ids.ts';
import { protocolNumber } from './numbers.ts';
import { holdTo } from './tables.ts';

/** Seconds; PACKETS.md §5 says why. */
const usualTimeouts: Readonly<Record<ConnectionTimeout, number>> = {
  tcpOpening: 60,
  tcpEstablished: 7440,
  tcpClosing: 30,
  udpOneWay: 30,
  udp: 120,
  icmp: 30,
  other: 600,
};

const timeoutIndexes: Readonly<Record<ConnectionTimeout, number>> = {
  tcpOpening: HuskConnectionTimeout.TCP_OPENING,
  tcpEstablished: HuskConnectionTimeout.TCP_ESTABLISHED,
  tcpClosing: HuskConnectionTimeout.TCP_CLOSING,
  udpOneWay: HuskConnectionTimeout.UDP_ONE_WAY,
  udp: HuskConnectionTimeout.UDP,
  icmp: HuskConnectionTimeout.ICMP,
  other: HuskConnectionTimeout.OTHER,
};

export function packetPoliciesOn(documents: readonly PolicyDocument[]): readonly PacketPolicy[] {
  return documents.filter((one) => one.kind === 'PacketPolicy').filter(({ spec }) => spec.mode !== 'off');
}

/** Whether some rule that is compiled asks for a state, or whether it is for the device, which goes by it too; so do SYN cookies. */
function asksForState(policies: readonly PacketPolicy[]): boolean {
  return policies.some(({ spec }) =>
    directions.some((direction) =>
      spec[direction].some(
        ({ rules, synCookies }) =>
          synCookies !== undefined ||
          rules.some(
            (rule) =>
              (rule.state !== undefined || rule.toDevice !== undefined) &&
              effectiveMode(spec.mode, rule.mode) !== 'off',
          ),
      ),
    ),
  );
}

/** Policies that are on; those that differ in their settings were refused (check.ts). */
export function connectionSettings(
  policies: readonly PacketPolicy[],
  neverDrop: NeverDrop,
): HuskConnectionSettings {
  const own = policies.find(({ spec }) => spec.connections !== undefined)?.spec.connections;
  const timeouts = { ...usualTimeouts, ...own?.timeouts };
  const hasServices = neverDrop.replies.length > 0 && neverDrop.services.length > 0;
  const hasRules = policies.some(({ spec }) => directions.some((direction) => spec[direction].length > 0));
  const isFollowed = asksForState(policies)
    ? HUSK_FOLLOWS_ALL
    : hasServices && hasRules
      ? HUSK_FOLLOWS_SERVICES
      : HUSK_FOLLOWS_NONE;
  const seconds = new Array<number>(HuskConnectionTimeout.COUNT).fill(0);
  for (const name of Object.keys(timeoutIndexes) as ConnectionTimeout[])
    seconds[timeoutIndexes[name]] = timeouts[name];
  return { timeouts: seconds, isFollowed, isLoose: own?.tcp === 'strict' ? 0 : 1 };
}

/** As many as there may be, those that are none at the end. */
export function serviceRows({ services }: NeverDrop): readonly HuskService[] {
  holdTo(HUSK_SERVICES_MAX, services.length, 'services whose replies are never dropped');
  return Array.from({ length: HUSK_SERVICES_MAX }, (_, index): HuskService => {
    const service = services[index];
    if (service === undefined) return { addr: new Uint8Array(16), port: 0, ipProto: 0 };
    const addr = service.address === null ? new Uint8Array(16) : addressBytes(service.address);
    return { addr, port: service.port, ipProto: protocolNumber(service.protocol) };
  });
}

function addressBytes(text: string): Uint8Array {
  const words = new Uint32Array(4);
  bytesToWords(parseAddress(text), words, 0);
  return wordsToBytes(words, 0);
}
