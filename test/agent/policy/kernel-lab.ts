// The kernel as a judge: twins of the packet programs under BPF_PROG_TEST_RUN, and a canary for calls.
//
// Nothing is pinned and no packet program is attached: an image goes into slot 0 and the twins are run on
// frames. The call programs are attached to a cgroup of the test's own, which is removed at the end.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Slots } from '../../../agent/kernel/generation.ts';
import { packetObjects } from '../../../agent/kernel/objects.ts';
import { type PacketTools, type Proof, proveSlot, tryPacket } from '../../../agent/kernel/prove.ts';
import { packetMaps, sharedMaps, slotMaps } from '../../../agent/kernel/tables.ts';
import { type DeviceView, plainDevice } from '../../../agent/policy/device-view.ts';
import type {
  CanaryOperation,
  Judgement,
  PacketTried,
  Reason,
  Tries,
} from '../../../agent/policy/judgement.ts';
import type { DeviceFacts, TableImage } from '../../../agent/policy/table-image.ts';
import {
  decodeHuskTried,
  encodeHuskTry,
  HUSK_RULE_NONE,
  HuskReason,
  HuskTry,
  HuskVerdict,
} from '../../../bpf/abi/layout.gen.ts';
import type { Addon, Handle, MapHandle, ProgramHandle } from '../../../native/index.ts';
import { cgroupRoot, removeCgroup } from '../../lab/cgroups.ts';
import { runName } from '../../lab/run-name.ts';
import { run } from '../../lab/system.ts';
import { ownAddresses } from './own-addresses.ts';

const root = resolve(import.meta.dirname, '../../..');
/** Program and `enum bpf_attach_type`. */
const callObjects = {
  cgroup_connect: { husk_connect4: 10, husk_connect6: 11, husk_sendmsg4: 14, husk_sendmsg6: 15 },
  cgroup_bind: { husk_bind4: 8, husk_bind6: 9 },
  cgroup_socket: { husk_sock_create: 2 },
} as const;
const mapNames: readonly string[] = [...sharedMaps, ...packetMaps, ...slotMaps];
const onlyKey = new Uint8Array(4);
const EPERM = 1;

/** Why this machine cannot run the programs, or null. */
export function kernelMissing(): string | null {
  const files = [
    'native/husk.node',
    'bpf/xdp_ingress.bpf.o',
    'bpf/tc_ingress.bpf.o',
    'bpf/tc_egress.bpf.o',
    'bpf/cgroup_connect.bpf.o',
  ];
  const missing = files.filter((file) => !existsSync(join(root, 'build', file)));
  if (missing.length > 0) return `build/${missing[0]} is not built`;
  return process.getuid?.() === 0 ? null : 'needs root';
}

/** Facts of a device that exists only in the test: counter indexes in the order they are asked for. */
export function labFacts(interfaces: readonly string[]): DeviceFacts & { readonly ids: readonly string[] } {
  const ids: string[] = [];
  return {
    ...plainDevice(interfaces),
    cgroupId: () => null,
    ruleIndex: (id) => {
      if (!ids.includes(id)) ids.push(id);
      return ids.indexOf(id);
    },
    bootSeconds: () => null,
    ids,
  };
}

export class KernelLab {
  readonly #addon: Addon;
  readonly #maps = new Map<string, MapHandle>();
  readonly #programs = new Map<string, ProgramHandle>();
  readonly #links: Handle[] = [];
  readonly #slots: Slots;
  /** Set once calls are judged. */
  #cgroup: string | null = null;
  /** Where cgroup v2 is mounted on a machine that has none mounted. */
  #folder: string | null = null;
  #serial = 0;

  private constructor(addon: Addon) {
    this.#addon = addon;
    for (const name of packetObjects) this.#load(name, [`husk_${name}_twin`]);
    let generations = 0;
    this.#slots = new Slots(addon, this.#maps, () => ++generations);
  }

  static async open(): Promise<KernelLab> {
    const { addon } = await import('../../../native/index.ts');
    return new KernelLab(addon);
  }

  #load(name: string, programs: readonly string[]): void {
    const bytes = new Uint8Array(readFileSync(join(root, 'build/bpf', `${name}.bpf.o`)));
    const object = this.#addon.openObject(name, bytes);
    try {
      const declared = object.mapNames().filter((map) => mapNames.includes(map));
      for (const map of declared) {
        const known = this.#maps.get(map);
        if (known !== undefined) object.reuseMap(map, known);
      }
      object.load();
      for (const map of declared) if (!this.#maps.has(map)) this.#maps.set(map, object.map(map));
      for (const program of programs) this.#programs.set(program, object.program(program));
    } finally {
      object.close();
    }
  }

  /** Tells the programs the addresses of a device; its interfaces are whatever the tables say. */
  async become(device: DeviceView): Promise<void> {
    for (const key of ownAddresses(device))
      this.#addon.update(this.#map('own_addresses'), key, new Uint8Array(4));
  }

  async load(image: TableImage): Promise<void> {
    this.#serial++;
    await this.#slots.load(0, { serial: this.#serial, bundleDigest: '0'.repeat(64), image });
  }

  /** What the twins of every program that may see such a packet say; they have to say the same. */
  judgePacket(at: PacketTried, ids: readonly string[]): Judgement {
    const [first, ...others] = tryPacket(this.#tools(ids), 0, at, 'packet');
    if (first === undefined) throw new Error('no twin ran');
    for (const other of others) assert.deepEqual(other, first, 'XDP and tc differ');
    return first;
  }

  /** The proof before a swap, without calls. Throws RefusalError kernel.unproven. */
  prove(tries: Tries, ids: readonly string[]): Promise<Proof> {
    return proveSlot({ ...this.#tools(ids), cgroup: null, operations: null }, 0, tries);
  }

  #tools(ids: readonly string[]): PacketTools {
    return {
      addon: this.#addon,
      twins: {
        xdp: this.#program('husk_xdp_ingress_twin'),
        ingress: this.#program('husk_tc_ingress_twin'),
        egress: this.#program('husk_tc_egress_twin'),
      },
      tryLabel: this.#map('try_label'),
      tried: this.#map('tried'),
      ruleId: (index) => ids[index] ?? null,
    };
  }

  /** What the canary gets that makes the call with these subjects. */
  async judgeCall(subjects: bigint, call: CanaryOperation, ids: readonly string[]): Promise<Judgement> {
    const cgroup = this.#callCgroup();
    this.#label({
      slot: 0,
      ifindex: 0,
      canaryOperation: 0,
      cameBy: 0,
      state: 0,
      canaryCgroup: this.#addon.cgroupId(cgroup),
      canarySubjects: subjects,
    });
    const [errno] = await this.#addon.canary(cgroup, [call]);
    const said = this.#said(ids);
    if ((errno === EPERM) !== (said.verdict === 'deny'))
      throw new Error(`errno ${errno} for ${said.verdict}`);
    return said;
  }

  #callCgroup(): string {
    if (this.#cgroup !== null) return this.#cgroup;
    this.#folder = mkdtempSync(join(tmpdir(), 'husk-policy-'));
    const cgroup = join(cgroupRoot(this.#folder), `${runName}-policy`);
    mkdirSync(cgroup);
    this.#cgroup = cgroup;
    for (const [name, programs] of Object.entries(callObjects)) {
      this.#load(name, Object.keys(programs));
      for (const [program, attachType] of Object.entries(programs)) {
        this.#links.push(this.#addon.attachCgroup(this.#program(program), cgroup, attachType));
      }
    }
    return cgroup;
  }

  async close(): Promise<void> {
    for (const handle of [...this.#links, ...this.#programs.values(), ...this.#maps.values()]) handle.close();
    if (this.#cgroup !== null) await removeCgroup(this.#cgroup);
    if (this.#folder === null) return;
    if (this.#cgroup?.startsWith(this.#folder)) run('umount', [join(this.#folder, 'cgroup2')]);
    rmSync(this.#folder, { recursive: true });
  }

  #program(name: string): ProgramHandle {
    const program = this.#programs.get(name);
    if (program === undefined) throw new Error(`${name} was not loaded`);
    return program;
  }

  #map(name: string): MapHandle {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`${name} was not declared`);
    return map;
  }

  #label(label: HuskTry): void {
    const value = new Uint8Array(HuskTry.size);
    encodeHuskTry(new DataView(value.buffer), 0, label);
    this.#addon.update(this.#map('try_label'), onlyKey, value);
  }

  #said(ids: readonly string[]): Judgement {
    const value = this.#addon.lookup(this.#map('tried'), onlyKey);
    if (value === null) throw new Error('tried is empty');
    const tried = decodeHuskTried(new DataView(value.buffer, value.byteOffset, value.byteLength), 0);
    const reason = reasons[tried.reason];
    const verdict = verdicts[tried.verdict];
    if (reason === undefined || verdict === undefined) throw new Error(`reason ${tried.reason}`);
    const idOf = (index: number) => (index === HUSK_RULE_NONE ? null : (ids[index] ?? `index ${index}`));
    return { verdict, reason, rule: idOf(tried.rule), monitored: idOf(tried.monitored) };
  }
}

const verdicts: Readonly<Record<number, Judgement['verdict']>> = {
  [HuskVerdict.ALLOW]: 'allow',
  [HuskVerdict.DROP]: 'drop',
  [HuskVerdict.DENY]: 'deny',
};
const reasons: Readonly<Record<number, Reason>> = {
  [HuskReason.RULE]: 'rule',
  [HuskReason.DEFAULT]: 'default',
  [HuskReason.NEVER_DROP]: 'never-drop',
  [HuskReason.UNPARSEABLE]: 'unparseable',
  [HuskReason.UNZONED]: 'unzoned',
  [HuskReason.NO_SUBJECT]: 'no-subject',
};
