// The live packet programs in this process's network namespace, without an agent: policies are compiled and put in
// force as the agent would. Nothing is pinned; all ends with the process.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setUpConnections } from '../../agent/kernel/connections.ts';
import { Slots } from '../../agent/kernel/generation.ts';
import { LiveControl } from '../../agent/kernel/live-word.ts';
import {
  loadPacketSet,
  type ObjectFiles,
  type ProgramName,
  type packetObjects,
} from '../../agent/kernel/objects.ts';
import { compile } from '../../agent/policy/compile.ts';
import { type DeviceInterface, usualNeverDrop } from '../../agent/policy/device-view.ts';
import { ownAddresses } from '../../agent/policy/own-addresses.ts';
import { parseDocuments } from '../../agent/policy/parse.ts';
import {
  HuskConnectionCount,
  HuskConnectionSetup,
  HuskCounter,
  HuskTotal,
} from '../../bpf/abi/layout.gen.ts';
import { addon, type MapHandle, type ProgramHandle } from '../../native/index.ts';

export type PacketHook = 'xdp' | 'ingress' | 'egress';

export interface Counts {
  readonly rules: Readonly<Record<string, { readonly hits: number; readonly limited: number }>>;
  readonly connections: Readonly<Record<string, number>>;
}

export class LivePackets {
  readonly #set: ReturnType<typeof loadPacketSet>;
  readonly #live: LiveControl;
  readonly #slots: Slots;
  readonly #ruleIds: string[] = [];
  #serial = 0;

  constructor(files: Pick<ObjectFiles, (typeof packetObjects)[number]>) {
    this.#set = loadPacketSet(addon, files);
    setUpConnections(
      addon,
      this.#map('connection_setup'),
      {
        connectionBuckets: addon.mapInfo(this.#map('connections')).maxEntries,
        rateBuckets: addon.mapInfo(this.#map('rates')).maxEntries,
      },
      randomBytes(HuskConnectionSetup.size - 8),
    );
    this.#live = new LiveControl(addon.mapWords(this.#map('control')), () =>
      Number(addon.bootNs() / 1_000_000_000n),
    );
    this.#slots = new Slots(addon, this.#set.maps, () => this.#live.takeGenerationId());
  }

  /** Puts a policy in force at once, for these interfaces. Throws where it has faults. */
  async load(policy: unknown, interfaces: readonly DeviceInterface[]): Promise<void> {
    const { documents, faults } = parseDocuments([policy]);
    if (faults.length > 0) throw new Error(JSON.stringify(faults));
    const image = compile(documents, {
      interfaces,
      neverDrop: usualNeverDrop,
      cgroupId: () => null,
      bootSeconds: () => null,
      ruleIndex: (id) => {
        if (!this.#ruleIds.includes(id)) this.#ruleIds.push(id);
        return this.#ruleIds.indexOf(id);
      },
    });
    const slot = this.#live.inForce === 0 ? 1 : 0;
    this.#serial++;
    await this.#slots.load(slot, { serial: this.#serial, bundleDigest: '0'.repeat(64), image });
    for (const key of ownAddresses(interfaces).keys) {
      addon.update(this.#map('own_addresses'), key, Uint8Array.of(1, 0, 0, 0));
    }
    this.#live.settle(slot);
  }

  program(hook: PacketHook): ProgramHandle {
    const name: ProgramName = hook === 'xdp' ? 'husk_xdp_ingress' : `husk_tc_${hook}`;
    const program = this.#set.programs.get(name);
    if (program === undefined) throw new Error(`no program ${name}`);
    return program;
  }

  /** Sums over all CPUs, by name of `HuskTotal`. */
  totals(): Record<string, number> {
    return this.#sums('totals', HuskTotal);
  }

  counts(): Counts {
    const words = HuskCounter.size / 8;
    const rules = this.#ruleIds.map((id, index) => {
      const numbers = this.#numbers('counters', index);
      const sum = (offset: number) =>
        numbers.filter((_, at) => at % words === offset / 8).reduce((total, one) => total + one, 0);
      return [id, { hits: sum(HuskCounter.offset.hits), limited: sum(HuskCounter.offset.limited) }];
    });
    return {
      rules: Object.fromEntries(rules),
      connections: this.#sums('connection_counts', HuskConnectionCount),
    };
  }

  #sums(map: string, indexes: Readonly<Record<string, number>>): Record<string, number> {
    const names = Object.entries(indexes).filter(([name]) => name !== 'COUNT');
    return Object.fromEntries(
      names.map(([name, index]) => [name, this.#numbers(map, index).reduce((sum, one) => sum + one, 0)]),
    );
  }

  /** The u64s of an entry of a per-CPU array, CPU after CPU. */
  #numbers(map: string, index: number): number[] {
    const value = addon.lookup(this.#map(map), new Uint8Array(new Uint32Array([index]).buffer));
    return value === null ? [] : [...new BigUint64Array(value.slice().buffer)].map(Number);
  }

  #map(name: string): MapHandle {
    const map = this.#set.maps.get(name);
    if (map === undefined) throw new Error(`no map ${name}`);
    return map;
  }
}

interface Link {
  readonly ifname: string;
  readonly ifindex: number;
  readonly link_type: string;
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[];
}

/** Test runs come in by the loopback interface, index 1: here it is one like any other. */
export const testRunInterface: DeviceInterface = { name: 'lo', index: 1, link: 'ethernet', addresses: [] };

/** Types of links whose frames begin with the IP header, as `ip` names them; 519 is that of modems. */
const bare: readonly string[] = ['none', '[519]'];

/** Those of this namespace, loopback among them as above. */
export function interfaces(): DeviceInterface[] {
  const found: Link[] = JSON.parse(execFileSync('ip', ['-j', 'addr', 'show'], { encoding: 'utf8' }));
  return found.map(({ ifname, ifindex, link_type, addr_info }) => ({
    name: ifname,
    index: ifindex,
    link: bare.includes(link_type) ? 'ip' : 'ethernet',
    addresses: addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  }));
}
