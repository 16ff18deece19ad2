// The same packets through the real ruleset and through the policy that was imported from it.

import type { Test } from 'tap';
import type { PolicyDocument } from '../../../../agent/contract/policy.ts';
import type { DeviceView } from '../../../../agent/policy/device-view.ts';
import { PacketEvaluator } from '../../../../agent/policy/evaluate.ts';
import { etherFrame } from './packets.ts';
import {
  interfaceOf,
  networks,
  type Router,
  routerAddresses,
  type Sent,
  type Side,
  sides,
} from './router.ts';

/** A router whose never-drop list is empty: what the ruleset says is all that counts. */
export const routerDevice: DeviceView = {
  interfaces: sides.map((side, index) => ({
    name: interfaceOf(side),
    index: 1000 + index,
    link: 'ethernet',
    addresses: [`${routerAddresses[side][0]}/24`, `${routerAddresses[side][1]}/64`],
  })),
  neverDrop: { arp: [], neighbourDiscovery: [], dhcpClient: [], dhcpServer: [], replies: [], services: [] },
};

export interface Way extends Sent {
  /** Where it goes: the router itself, or the hosts of a side. */
  readonly to: 'router' | Side;
  readonly says: string;
}

/** The side that an address lies behind; null: the router's own. */
export function sideOf(address: string): Side | null {
  return (
    sides.find((side) =>
      networks[side].some(
        (network) => address.startsWith(`${network}.`) || address.startsWith(`${network}:`),
      ),
    ) ?? null
  );
}

/** Sends all, and fails the test where a packet got through that the policy drops, or the other way round. */
export async function compare(
  t: Test,
  router: Router,
  documents: readonly PolicyDocument[],
  packets: readonly Way[],
  how: 'same' | 'never wider' = 'same',
  pauseMs = 0,
): Promise<{ readonly passed: number; readonly dropped: number }> {
  await router.send(packets, pauseMs);
  const seen = router.seen();
  const evaluator = new PacketEvaluator(documents, routerDevice);
  let passed = 0;
  const wrong: string[] = [];
  for (const [index, one] of packets.entries()) {
    const really = (one.to === 'router' ? seen.inside : seen.outside)[one.family].has(one.number);
    const verdicts = judge(evaluator, router, one, BigInt(index) * 1_000_000n);
    const expected = verdicts.every(({ verdict }) => verdict === 'allow');
    if (really) passed++;
    if (really !== expected && (how === 'same' || expected)) {
      const rules = verdicts.map(({ verdict, rule, state }) => `${verdict} by ${rule} (${state})`).join(', ');
      wrong.push(`${one.says}: ${really ? 'passes' : 'is dropped'}, and the policy says ${rules}`);
    }
  }
  t.strictSame(wrong.slice(0, 8), [], `${packets.length} packets, ${wrong.length} judged otherwise`);
  return { passed, dropped: packets.length - passed };
}

export function judge(evaluator: PacketEvaluator, { macs }: Router, one: Way, timeNs: bigint) {
  const verdicts = [];
  if (one.from !== null) {
    const [own, theirs] = macs[one.from];
    const frame = etherFrame(own, theirs, one.packet);
    verdicts.push(evaluator.judge({ interface: interfaceOf(one.from), direction: 'ingress', frame, timeNs }));
    if (one.to === 'router' || verdicts[0]?.verdict !== 'allow') return verdicts;
  }
  if (one.to === 'router') throw new Error('the router sends nothing to itself');
  const [own, theirs] = macs[one.to];
  const frame = etherFrame(theirs, own, one.packet);
  const cameBy = one.from === null ? null : interfaceOf(one.from);
  verdicts.push(
    evaluator.judge({ interface: interfaceOf(one.to), direction: 'egress', frame, cameBy, timeNs }),
  );
  return verdicts;
}
