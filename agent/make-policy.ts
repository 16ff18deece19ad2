// A signed bundle to what the kernel side takes, for this device as it is now.
//
//   bundle ─▶ prepared, elsewhere ─▶ tables it was not sent again ─▶ indexes given out ─▶ cgroups ─▶ within the ceiling
//
// Nothing of a policy's text stays here: what reports, events and hooks need of it is in the image.

import type { FirmwareFacts } from './contract/firmware.ts';
import type { Tier } from './contract/policy.ts';
import { RefusalError } from './contract/refusal.ts';
import type { DocumentState } from './contract/state.ts';
import type { Kernel } from './kernel/kernel.ts';
import { documentAt, endedKeyOf } from './policy/applicable.ts';
import { baseline } from './policy/baseline.ts';
import { compile, compileFollowing, compilePaths } from './policy/compile.ts';
import type { DeviceView } from './policy/device-view.ts';
import type { FollowingTables } from './policy/following.ts';
import type { Tries } from './policy/judgement.ts';
import {
  type KernelMemory,
  type KernelSizes,
  kernelMemory,
  mebibytes,
  memoryText,
} from './policy/kernel-memory.ts';
import type { DeviceFacts, DevicePaths, Table, TableImage } from './policy/table-image.ts';
import { makeTries } from './policy/tries.ts';
import type { PolicyRequest, PreparedPolicy, TimeNow } from './prepare-policy.ts';
import { BuiltSetImages } from './set-images.ts';
import type { SignedBundle } from './trust/verify.ts';

export interface PrepareOptions {
  readonly signal?: AbortSignal;
  /** Called once the request has been handed over, to be at work while the answer is. */
  readonly meanwhile?: () => void;
}

/** Rejects with RefusalError, or with the signal's reason. */
export type Prepare = (request: PolicyRequest, options: PrepareOptions) => Promise<PreparedPolicy>;

export interface MakerParts {
  readonly tenant: () => string;
  readonly kernel: Pick<Kernel, 'counterIndexes' | 'ruleIndex'>;
  readonly prepare: Prepare;
  readonly device: () => DeviceView;
  readonly cgroupId: DeviceFacts['cgroupId'];
  /** null: nobody has set the time. */
  readonly time: () => TimeNow | null;
  /** Milliseconds since 1970 that have certainly passed; null: nothing is certain. */
  readonly certainMs: () => number | null;
  readonly firmware: FirmwareFacts;
  /** What the device enforces calls by. */
  readonly tier?: () => Tier;
  /** Where paths are now; null: no program judges what tasks do. */
  readonly paths?: () => DevicePaths | null;
  /** `ceiling`: bytes of the kernel that a policy may take, with all that does not hang on one. */
  readonly memory: { readonly sizes: KernelSizes; readonly ceiling: number };
}

/** A policy as this agent made it: what the kernel cannot be asked for. */
export interface Made {
  readonly image: TableImage;
  readonly memory: KernelMemory;
  /** Of each shield and exception, whether it holds here. */
  readonly documents: readonly DocumentState[];
}

export interface MadeWithTries extends Made {
  readonly tries: Tries;
  /** That it was compiled by. */
  readonly paths: DevicePaths | null;
}

/** Of exceptions that are remembered; a device sees that many bundles in no life of its agent. */
const endedMax = 65_536;

export class PolicyMaker {
  readonly #parts: MakerParts;
  readonly #setImages = new BuiltSetImages();
  /** Exceptions that were over: a clock that is set back makes none hold again. */
  readonly #ended = new Set<string>();

  constructor(parts: MakerParts) {
    this.#parts = parts;
  }

  get ceiling(): number {
    return this.#parts.memory.ceiling;
  }

  /** Rejects with RefusalError, policy.over-limit where it takes more of the kernel's memory than this device gives. */
  async make(bundle: SignedBundle, options: PrepareOptions = {}): Promise<MadeWithTries> {
    const { tries, ...made } = await this.#make(bundle, true, options);
    if (tries === null) throw new Error('what is to be proven came without tries');
    return { ...made, tries };
  }

  /** The same of a bundle that the kernel holds already, proven: at each start of the agent, and the tries are a quarter of the work. */
  async makeHeld(bundle: SignedBundle): Promise<Made> {
    const { image, memory, documents } = await this.#make(bundle, false, {});
    return { image, memory, documents };
  }

  async #make(
    { bytes }: SignedBundle,
    isToBeProven: boolean,
    options: PrepareOptions,
  ): Promise<Made & Pick<MadeWithTries, 'paths'> & Pick<PreparedPolicy, 'tries'>> {
    const { kernel, tenant, device, time, prepare } = this.#parts;
    // Held until the answer is there, which may name them.
    const alive = this.#setImages.alive();
    const sets = [...alive.values()].map(({ set }) => set);
    const counters = kernel.counterIndexes();
    const paths = this.#parts.paths?.() ?? null;
    const tier = this.#parts.tier?.() ?? null;
    const { certainMs, firmware } = this.#parts;
    const moment = { time: time(), certainMs: certainMs(), firmware, ended: [...this.#ended] };
    const now = { tenant: tenant(), device: device(), ...moment, tier, pathKey: paths?.pathKey ?? null };
    const request = { ...now, bundle: bytes, counters, sets, isToBeProven };
    const prepared = await prepare(request, options);
    const tables = prepared.image.tables.map((table) => {
      const set = prepared.sets.get(table.kind);
      if (set === undefined) return table;
      const values = table.values.length > 0 ? table.values : alive.get(set.key)?.bytes;
      if (values === undefined) throw new Error(`the table of kind ${table.kind} was not sent`);
      this.#setImages.learn(set, values);
      return { ...table, values };
    });
    this.#giveIndexes(prepared.image);
    this.#remember(prepared.documents);
    const image = this.#following({ ...prepared.image, tables }).image;
    const memory = this.#memoryOf(image);
    if (memory.total > this.ceiling) {
      const gives = `this device gives ${mebibytes(this.ceiling)}`;
      throw new RefusalError('policy.over-limit', `${memoryText(memory)}; ${gives}`);
    }
    return { image, memory, documents: prepared.documents, tries: prepared.tries, paths };
  }

  #remember(documents: readonly DocumentState[]): void {
    for (const one of documents) {
      if (this.#ended.size < endedMax && one.state === 'ended') this.#ended.add(endedKeyOf(one));
    }
  }

  /** The same documents, as time has gone on; what is over by now stays so. */
  documentsNow(documents: readonly DocumentState[]): readonly DocumentState[] {
    const { certainMs, time } = this.#parts;
    const now = { certainMs: certainMs(), nowMs: time()?.wallMs ?? null };
    const states = documents.map((one) => documentAt(one, now));
    this.#remember(states);
    return states.map((one) =>
      this.#ended.has(endedKeyOf(one)) ? documentAt({ ...one, state: 'ended' }, now) : one,
    );
  }

  /** What is in force where nothing else is. */
  makeBaseline(): MadeWithTries {
    const { kernel, device, cgroupId } = this.#parts;
    const facts = { ...device(), cgroupId, bootSeconds: () => null };
    const image = compile(baseline, { ...facts, ruleIndex: (id) => kernel.ruleIndex(id) });
    const made = { image, memory: this.#memoryOf(image), documents: [] };
    return { ...made, tries: makeTries(baseline, facts), paths: null };
  }

  /** The tables that follow the device, for the device as it is now. */
  follow<T extends Made>(made: T): { readonly made: T; readonly tables: FollowingTables['tables'] } {
    const { image, tables } = this.#following(made.image);
    return { made: { ...made, image }, tables };
  }

  /** The tables that hang on where paths are, for where they are now; none where no rule needs any. Throws RefusalError. */
  pathTables({ image }: Made): readonly Table[] {
    const paths = this.#parts.paths?.() ?? null;
    return compilePaths(image, paths === null ? {} : { paths });
  }

  #following(image: TableImage) {
    const { device, cgroupId } = this.#parts;
    const { tables, leftOut } = compileFollowing(image, { ...device(), cgroupId });
    const newOf = new Map(tables.map((table) => [table.kind, table]));
    const all = image.tables.map((table) => newOf.get(table.kind) ?? table);
    return { image: { ...image, leftOut, tables: all }, tables };
  }

  /** As they were given out where it was compiled, from the same beginning and in the same order. */
  #giveIndexes({ rules }: TableImage): void {
    for (const { id, index } of rules) {
      const given = this.#parts.kernel.ruleIndex(id);
      if (given !== index) throw new Error(`rule ${id} was compiled with counter ${index}, and has ${given}`);
    }
  }

  #memoryOf(image: TableImage): KernelMemory {
    return kernelMemory(image.kernelBytes, this.#parts.memory.sizes);
  }
}
