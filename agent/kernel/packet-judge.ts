// The packet programs of this machine's kernel as a judge of frames: for trying a policy, not for enforcing it.
//
// Twins run under BPF_PROG_TEST_RUN by the tables of a slot of their own. Nothing is attached, nothing is pinned,
// and whatever an agent enforces on the same machine is not touched; closing leaves nothing behind.

import { isDeepStrictEqual } from 'node:util';
import type { Addon, MapHandle, ProgramHandle } from '../../native/index.ts';
import type { Judgement, PacketTried } from '../policy/judgement.ts';
import type { TableImage } from '../policy/table-image.ts';
import { Slots } from './generation.ts';
import { loadPacketSet, type ObjectFiles, type ProgramName, type packetObjects } from './objects.ts';
import { type PacketTools, tryPacket } from './prove.ts';
import { ownAddressValue } from './tables.ts';

/** The only slot that is filled. */
const slot = 0;

export class PacketJudge {
  readonly #maps: ReadonlyMap<string, MapHandle>;
  readonly #programs: ReadonlyMap<ProgramName, ProgramHandle>;
  readonly #slots: Slots;
  readonly #tools: PacketTools;
  #serial = 0;

  /** Loads the programs. `ruleId` names the counter indexes of images. Throws KernelError. */
  constructor(
    addon: Addon,
    files: Pick<ObjectFiles, (typeof packetObjects)[number]>,
    ruleId: (index: number) => string | null,
  ) {
    const { maps, programs } = loadPacketSet(addon, files);
    this.#maps = maps;
    this.#programs = programs;
    let generations = 0;
    this.#slots = new Slots(addon, maps, () => ++generations);
    this.#tools = {
      addon,
      twins: {
        xdp: this.#program('husk_xdp_ingress_twin'),
        ingress: this.#program('husk_tc_ingress_twin'),
        egress: this.#program('husk_tc_egress_twin'),
      },
      tryLabel: this.#map('try_label'),
      tried: this.#map('tried'),
      ruleId,
    };
  }

  /** Puts an image in the place of the one before. Throws RefusalError kernel.load or kernel.readback. */
  async load(image: TableImage): Promise<void> {
    this.#serial++;
    await this.#slots.load(slot, { serial: this.#serial, bundleDigest: '0'.repeat(64), image });
  }

  /** By the image loaded last. Throws KernelError where the kernel does not run a program on such a packet. */
  judge(packet: PacketTried): Judgement {
    const [first, ...others] = tryPacket(this.#tools, slot, packet, `${packet.direction} packet`);
    if (first === undefined) throw new Error('no program judges such a packet');
    const differs = others.find((one) => !isDeepStrictEqual(one, first));
    if (differs !== undefined) {
      throw new Error(`XDP and tc differ: ${JSON.stringify(first)}, ${JSON.stringify(differs)}`);
    }
    return first;
  }

  /** Addresses of the device from now on, 16 bytes each; to be called once. */
  setOwnAddresses(keys: readonly Uint8Array[]): void {
    const map = this.#map('own_addresses');
    for (const key of keys) this.#tools.addon.update(map, key, ownAddressValue);
  }

  close(): void {
    for (const handle of [...this.#programs.values(), ...this.#maps.values()]) handle.close();
  }

  #program(name: ProgramName): ProgramHandle {
    const program = this.#programs.get(name);
    if (program === undefined) throw new Error(`the set has no program ${name}`);
    return program;
  }

  #map(name: string): MapHandle {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`the set has no map ${name}`);
    return map;
  }
}
