// What must hold in the kernel before an image may go live: for every rule and default a packet or a call
// that it decides, and what must come of it.
//
// A sample is made from the rule's own conditions, as far as they go outside those of the rules before it,
// and varied until the evaluator agrees that this rule decides. A rule without one after a bounded number
// of tries is named as untried.

import type { PolicyDocument } from '../contract/policy.ts';
import { type DeviceView, usualNeverDrop } from './device-view.ts';
import type { Tries } from './judgement.ts';
import { shieldsAsPolicies } from './shields-as-policies.ts';
import type { DeviceFacts } from './table-image.ts';
import { tryCalls } from './try-calls.ts';
import { tryOperations } from './try-operations.ts';
import { tryPackets } from './try-packets.ts';

/** `device`: default one with plain Ethernet interfaces and no addresses. */
export function makeTries(
  written: readonly PolicyDocument[],
  { interfaces, paths }: Pick<DeviceFacts, 'interfaces' | 'paths'>,
  device: DeviceView = {
    interfaces: interfaces.map((one) => ({
      ...one,
      link: one.name === 'lo' ? 'loopback' : 'ethernet',
      addresses: [],
    })),
    neverDrop: usualNeverDrop,
  },
): Tries {
  const documents = shieldsAsPolicies(written);
  const packets = tryPackets(documents, device);
  const calls = tryCalls(documents);
  const applets = new Map((paths?.applets() ?? []).map(({ executable, names }) => [executable, names]));
  const operations = tryOperations(documents, { applets });
  return {
    packets: packets.tries,
    calls: calls.tries,
    operations: operations.tries,
    untried: [...packets.untried, ...calls.untried, ...operations.untried],
    packetRules: packets.sampled,
  };
}
