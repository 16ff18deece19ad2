// The kernel as a judge: twins of the packet programs under BPF_PROG_TEST_RUN, and a canary for calls.
//
// Nothing is pinned and no packet program is attached: an image goes into slot 0 and the twins are run on
// frames. The call programs are attached to a cgroup of the test's own, which is removed at the end.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Slots } from '../../../agent/kernel/generation.ts';
import { sharedMaps, slotMaps } from '../../../agent/kernel/tables.ts';
import type { CanaryOperation, Judgement, Reason } from '../../../agent/policy/judgement.ts';
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

const root = resolve(import.meta.dirname, '../../..');
const packetObjects = { xdp_ingress: 'husk_xdp_ingress_twin', tc_egress: 'husk_tc_egress_twin' } as const;
/** Program and `enum bpf_attach_type`. */
const callObjects = {
  cgroup_connect: { husk_connect4: 10, husk_connect6: 11, husk_sendmsg4: 14, husk_sendmsg6: 15 },
  cgroup_bind: { husk_bind4: 8, husk_bind6: 9 },
  cgroup_socket: { husk_sock_create: 2 },
} as const;
const mapNames: readonly string[] = [...sharedMaps, ...slotMaps];
const onlyKey = new Uint8Array(4);
const EPERM = 1;

/** Why this machine cannot run the programs, or null. */
export function kernelMissing(): string | null {
  const files = [
    'native/husk.node',
    'bpf/xdp_ingress.bpf.o',
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
    interfaces: interfaces.map((name, index) => ({ name, index: 1000 + index })),
    cgroupId: () => null,
    ruleIndex: (id) => {
      if (!ids.includes(id)) ids.push(id);
      return ids.indexOf(id);
    },
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
    for (const [name, program] of Object.entries(packetObjects)) this.#load(name, [program]);
    this.#slots = new Slots(addon, this.#maps);
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

  async load(image: TableImage): Promise<void> {
    this.#serial++;
    await this.#slots.load(0, { serial: this.#serial, bundleDigest: '0'.repeat(64), image });
  }

  judgePacket(
    at: { readonly direction: 'ingress' | 'egress'; readonly ifindex: number; readonly frame: Uint8Array },
    ids: readonly string[],
  ): Judgement {
    this.#label({ slot: 0, ifindex: at.ifindex, canaryCgroup: 0n, canarySubjects: 0n });
    const name = at.direction === 'ingress' ? packetObjects.xdp_ingress : packetObjects.tc_egress;
    const run = this.#addon.testRun(this.#program(name), at.frame, { repeat: 1 });
    const said = this.#said(ids);
    const isStopped = run.verdict === (at.direction === 'ingress' ? 1 : 2);
    if (isStopped !== (said.verdict === 'drop'))
      throw new Error(`returned ${run.verdict} for ${said.verdict}`);
    return said;
  }

  /** What the canary gets that makes the call with these subjects. */
  async judgeCall(subjects: bigint, call: CanaryOperation, ids: readonly string[]): Promise<Judgement> {
    const cgroup = this.#callCgroup();
    this.#label({
      slot: 0,
      ifindex: 0,
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
