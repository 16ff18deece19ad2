// A network of its own for emulated devices: a namespace with a bridge, and a tap for each device on it. No way leads out.

import type { Lab } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';

/** Names that no machine has: /sys/class/net shows the host's even inside. */
const bridge = 'hkbr0';
const tap = 'hktap0';

export interface DeviceNetwork {
  readonly namespace: Namespace;
  /** The interface that the device's port is joined to. */
  readonly tap: string;
}

/** The bridge has these addresses, with their prefix lengths. */
export function layNetwork(lab: Lab, addresses: readonly string[]): DeviceNetwork {
  const namespace = lab.namespace('wire');
  namespace.run('ip', ['link', 'add', bridge, 'type', 'bridge']);
  for (const address of addresses) namespace.run('ip', ['addr', 'add', address, 'dev', bridge]);
  namespace.run('ip', ['tuntap', 'add', 'dev', tap, 'mode', 'tap']);
  namespace.run('ip', ['link', 'set', tap, 'master', bridge]);
  for (const name of [bridge, tap]) namespace.run('ip', ['link', 'set', name, 'up']);
  return { namespace, tap };
}
