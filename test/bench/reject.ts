// What an answer to a rejected packet costs, against dropping the same packet.
//
// BPF_PROG_TEST_RUN of the live programs, a run a packet, since a packet that was answered is another one; drops and
// rejects by turns, medians. The device's budget allows so many answers a second, which is waited for.

import { HUSK_REJECTS_PER_SECOND } from '../../bpf/abi/layout.gen.ts';
import { addon } from '../../native/index.ts';
import { objectFiles } from '../agent/apply-bench.ts';
import { ipv4, ipv6, protocol, tcp, udp } from '../bpf/frames.ts';
import { LivePackets, type PacketHook, testRunInterface } from '../lab/live-packets.ts';

/** Each case's answers are within the burst that a second of waiting brings. */
const samples = HUSK_REJECTS_PER_SECOND - 10;

export interface RejectFigures {
  readonly name: string;
  /** Nanoseconds a packet, of a single run. */
  readonly drop: number;
  readonly reject: number;
}

const dropped = 7001;
const rejected = 7002;

const frames: readonly (readonly [string, (toPort: number) => Buffer])[] = [
  ['RST, IPv4', (toPort) => ipv4(protocol.tcp, tcp({ toPort }))],
  ['RST, IPv6', (toPort) => ipv6(protocol.tcp, tcp({ toPort }))],
  ['ICMP, short', (toPort) => ipv4(protocol.udp, udp({ toPort }))],
  ['ICMP, longest quote', (toPort) => ipv4(protocol.udp, udp({ toPort, payload: Buffer.alloc(1400) }))],
  ['ICMPv6, longest quote', (toPort) => ipv6(protocol.udp, udp({ toPort, payload: Buffer.alloc(1400) }))],
];

/** Throws where a reject was not answered. */
export async function measureRejects(): Promise<RejectFigures[]> {
  const packets = new LivePackets(objectFiles());
  await packets.load(policy(), [testRunInterface]);
  const figures: RejectFigures[] = [];
  for (const hook of ['xdp', 'ingress', 'egress'] as const) {
    for (const [name, frame] of frames) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const before = packets.totals();
      figures.push({ name: `${hook}: ${name}`, ...measure(packets, hook, frame) });
      const after = packets.totals();
      const sent = (after.REJECTS_SENT ?? 0) - (before.REJECTS_SENT ?? 0);
      if (sent !== samples) throw new Error(`${name}: ${sent} of ${samples} answered`);
    }
  }
  return figures;
}

function measure(
  packets: LivePackets,
  hook: PacketHook,
  frame: (toPort: number) => Buffer,
): { drop: number; reject: number } {
  const [drop, reject] = [frame(dropped), frame(rejected)];
  const time = (one: Buffer) => addon.testRun(packets.program(hook), one).durationNs;
  const pairs = Array.from({ length: samples }, () => [time(drop), time(reject)] as const);
  return { drop: median(pairs.map(([one]) => one)), reject: median(pairs.map(([, one]) => one)) };
}

function policy(): unknown {
  const rules = (['tcp', 'udp'] as const).flatMap((one) => [
    { id: `drop-${one}`, protocol: one, ports: { to: dropped }, action: 'drop' },
    { id: `reject-${one}`, protocol: one, ports: { to: rejected }, action: 'reject' },
  ]);
  const zone = { zone: 'here', default: 'allow', rules };
  return {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'rejecting' },
    spec: { mode: 'enforce', zones: { here: { interfaces: ['lo'] } }, ingress: [zone], egress: [zone] },
  };
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
