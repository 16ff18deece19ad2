// What the tests of apply-bundle.ts work on: a real kernel set on a bpffs of its own, a real store on a real
// disk, real signatures. Only the link is played: it hands over bytes and answers as a test wants it to.

import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BundleApplier, type Step, type TrialLink } from '../../agent/apply-bundle.ts';
import {
  type Confirmation,
  type ConfirmationAsked,
  payloadTypes,
  preAuthenticationEncoding,
  type SignedEnvelope,
} from '../../agent/contract/bundle.ts';
import type { FirmwareFacts } from '../../agent/contract/firmware.ts';
import { Kernel } from '../../agent/kernel/kernel.ts';
import { type ObjectFiles, objects } from '../../agent/kernel/objects.ts';
import { PolicyMaker, type Prepare } from '../../agent/make-policy.ts';
import { SystemClock } from '../../agent/os/clock.ts';
import { DiskFiles } from '../../agent/os/files.ts';
import { silentLog } from '../../agent/os/log.ts';
import { systemRandom } from '../../agent/os/random.ts';
import { usualNeverDrop } from '../../agent/policy/device-view.ts';
import { preparePolicy, type TimeNow } from '../../agent/prepare-policy.ts';
import { keyId, trustKeys } from '../../agent/trust/keys.ts';
import { BundleStore } from '../../agent/trust/store.ts';
import { decodeHuskTry, encodeHuskTry } from '../../bpf/abi/layout.gen.ts';
import { type Addon, addon } from '../../native/index.ts';
import { FailingFiles } from '../lab/failing-files.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { plainAttach } from '../lab/plain-attach.ts';
import { plainInterface, plainKernel, plainSizes } from '../lab/plain-kernel.ts';

const objectFolder = resolve(import.meta.dirname, '../../build/bpf');

export function benchMissing(): string | false {
  const built = existsSync(join(objectFolder, 'xdp_ingress.bpf.o'));
  return labMissing() || (built ? false : 'needs ./build.sh build');
}

/** The object files as the agent finds them. */
export function objectFiles(): ObjectFiles {
  const read = (name: string) =>
    [name, new Uint8Array(readFileSync(join(objectFolder, `${name}.bpf.o`)))] as const;
  return Object.fromEntries(Object.keys(objects).map(read)) as unknown as ObjectFiles;
}

/** In this process: what is elsewhere is tested with the executables. */
const prepareHere: Prepare = async (request, { meanwhile }) => {
  meanwhile?.();
  return preparePolicy(request);
};

export const we = { tenant: 'acme', device: 'abcdefghijklmnopqrstuvwxyz' };

export class Signer {
  readonly #key = generateKeyPairSync('ed25519');
  readonly raw = new Uint8Array(this.#key.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32));

  seal(payloadType: string, value: unknown): SignedEnvelope {
    const payload = Buffer.from(JSON.stringify(value));
    const sig = sign(null, preAuthenticationEncoding(payloadType, payload), this.#key.privateKey);
    return {
      payloadType,
      payload: payload.toString('base64'),
      signatures: [{ keyid: keyId(this.raw), sig: sig.toString('base64') }],
    };
  }
}

/** A policy that drops one source on an interface and denies one peer to a daemon. */
export function policyDropping(source: string): unknown[] {
  return [
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'wan' },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: ['wan0'] } },
        ingress: [{ zone: 'wan', default: 'allow', rules: [{ id: 'bad', from: source, action: 'drop' }] }],
        egress: [],
      },
    },
    {
      apiVersion: 'husk/v1',
      kind: 'HardeningPolicy',
      metadata: { name: 'stubd' },
      spec: {
        mode: 'enforce',
        subject: { cgroup: 'stubd' },
        rules: [{ id: 'no-call-home', connect: { except: ['127.0.0.0/8', '::1/128'] }, action: 'deny' }],
      },
    },
  ];
}

export interface Published {
  readonly serial: number;
  readonly digest: string;
  readonly envelope: Uint8Array;
}

/** The controller's part. */
export class Fleet {
  readonly signer = new Signer();
  readonly bundles = new Map<string, Uint8Array>();

  publish(serial: number, documents: unknown[], trialSeconds = 2): Published {
    const bundle = Buffer.from(
      JSON.stringify({ v: 1, tenant: we.tenant, title: `serial ${serial}`, documents }),
    );
    const digest = createHash('sha256').update(bundle).digest('hex');
    this.bundles.set(digest, new Uint8Array(bundle));
    const assignment = {
      v: 1,
      ...we,
      serial,
      digest,
      bytes: bundle.length,
      trialSeconds,
      issuedAt: 1_795_447_525,
    };
    const envelope = Buffer.from(JSON.stringify(this.signer.seal(payloadTypes.assignment, assignment)));
    return { serial, digest, envelope: new Uint8Array(envelope) };
  }

  confirm(ask: ConfirmationAsked): SignedEnvelope {
    const confirmation: Confirmation = { v: 1, ...we, ...ask, issuedAt: 1_795_447_526 };
    return this.signer.seal(payloadTypes.confirmation, confirmation);
  }
}

/** A link that works, unless a test changes one of its parts. */
export class PlayedLink implements TrialLink {
  readonly #fleet: Fleet;
  fetched = 0;
  connections = 0;
  reachable = true;
  answer: (ask: ConfirmationAsked) => SignedEnvelope | Promise<SignedEnvelope>;
  deliver: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    this.answer = (ask) => fleet.confirm(ask);
  }

  async fetchBundle(digest: string): Promise<Uint8Array> {
    this.fetched++;
    const bytes = this.#fleet.bundles.get(digest);
    if (bytes === undefined) throw new Error('unknown digest');
    return this.deliver(bytes);
  }

  async reconnect(signal: AbortSignal): Promise<void> {
    if (!this.reachable) await untilAborted(signal);
    this.connections++;
  }

  async askConfirmation(ask: ConfirmationAsked): Promise<SignedEnvelope> {
    return this.answer(ask);
  }
}

function deceivedLabel(label: Uint8Array): Uint8Array {
  const view = new DataView(Uint8Array.from(label).buffer);
  const told = decodeHuskTry(view, 0);
  encodeHuskTry(view, 0, { ...told, slot: told.slot ^ 1 });
  return new Uint8Array(view.buffer);
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** One device over several lives: kernel pins and disk stay, the agent comes and goes. */
export class ApplyBench {
  readonly fleet = new Fleet();
  readonly link = new PlayedLink(this.fleet);
  readonly files = new FailingFiles(new DiskFiles());
  readonly steps: Step[] = [];
  readonly audits: { what: string; detail: Readonly<Record<string, unknown>> }[] = [];
  bootId = 'boot-1';
  readonly clock = new SystemClock();
  /** null: nobody has set the time. */
  time: TimeNow | null = null;
  firmware: FirmwareFacts = { vendor: null, model: null, version: null, untrusted: 'nobody said' };
  /** Kernel memory that the device gives to policies, when it goes live; bytes. */
  ceiling = 2 ** 30;
  onStep: (step: Step) => void = () => {};
  #deception: 'prove' | null = null;
  readonly #lab: Lab;
  #bpffs: string;
  #kernel: Kernel | null = null;
  #applier: BundleApplier | null = null;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.#bpffs = lab.bpffs();
    mkdirSync(join(lab.cgroup, 'stubd'), { recursive: true });
  }

  static async open(): Promise<ApplyBench> {
    return new ApplyBench(await Lab.open());
  }

  get storeFolder(): string {
    return join(this.#lab.dir, 'bundles');
  }

  /** Of the service that policies name `stubd`. */
  get daemonCgroup(): string {
    return join(this.#lab.cgroup, 'stubd');
  }

  get kernel(): Kernel {
    if (this.#kernel === null) throw new Error('the agent is not alive');
    return this.#kernel;
  }

  get applier(): BundleApplier {
    if (this.#applier === null) throw new Error('the agent is not alive');
    return this.#applier;
  }

  get store(): BundleStore {
    return BundleStore.open(new DiskFiles(), this.storeFolder).store;
  }

  /** A start of the agent: adopts what is pinned, puts in force what was confirmed, and is ready for the fleet. */
  async live(): Promise<BundleApplier> {
    const cgroup = this.#lab.cgroup;
    const kernel = await Kernel.open({
      addon: this.#addon(),
      bpffs: this.#bpffs,
      files: objectFiles(),
      cgroup,
      ...plainKernel,
      onRecycled: () => {},
    });
    this.#kernel = kernel;
    // The canary needs its hooks; packets are tried by twins, which need no interface.
    kernel.attach(plainAttach([]));
    this.#applier = new BundleApplier({
      we,
      trusted: () => trustKeys([this.fleet.signer.raw]),
      store: BundleStore.open(this.files, this.storeFolder).store,
      kernel,
      maker: new PolicyMaker({
        tenant: () => we.tenant,
        kernel,
        prepare: prepareHere,
        device: () => ({
          neverDrop: usualNeverDrop,
          interfaces: [plainInterface({ name: 'wan0', index: 1 })],
        }),
        cgroupId: (path) => (existsSync(join(cgroup, path)) ? addon.cgroupId(join(cgroup, path)) : null),
        time: () => this.time,
        certainMs: () => this.clock.certainMs(),
        firmware: this.firmware,
        memory: { sizes: plainSizes, ceiling: this.ceiling },
      }),
      trial: { minimumSeconds: 2, maximumSeconds: 1800 },
      bootId: this.bootId,
      clock: this.clock,
      random: systemRandom,
      log: silentLog,
      onStep: (step) => {
        this.steps.push(step);
        this.onStep(step);
      },
      onChange: () => {},
      audit: (what, detail) => this.audits.push({ what, detail }),
    });
    await this.#applier.start();
    this.#applier.connect(this.link);
    return this.#applier;
  }

  /** prove: twins judge by the other slot than the one they were told, as a kernel with a broken table would. */
  deceive(what: 'prove' | null): void {
    this.#deception = what;
  }

  /** The real addon, but for a deception. */
  #addon(): Addon {
    const update: Addon['update'] = (map, key, value, flags) => {
      const isLabel = addon.mapInfo(map).name === 'try_label';
      const told = isLabel && this.#deception === 'prove' ? deceivedLabel(value) : value;
      addon.update(map, key, told, flags);
    };
    return new Proxy(addon, {
      get: (target, name) => (name === 'update' ? update : Reflect.get(target, name, target)),
    });
  }

  /** As SIGKILL would: nothing is said goodbye to, pins and disk stay as they are. */
  die(): void {
    // Its timers would live on in this process; closing changes neither kernel nor disk.
    void this.#applier?.close();
    this.#kernel?.close();
    this.#kernel = null;
    this.#applier = null;
  }

  /** bpffs is empty after a reboot, and the boot has another id. */
  reboot(): void {
    this.die();
    this.#bpffs = this.#lab.bpffs();
    this.bootId = `${this.bootId}+`;
  }

  /** Offers and waits for the end of that assignment, at most `withinMs`. */
  async apply(published: Published, withinMs = 15_000): Promise<string> {
    this.applier.offer(published.envelope);
    return this.ended(published.serial, withinMs);
  }

  async ended(serial: number, withinMs = 15_000): Promise<string> {
    for (const until = Date.now() + withinMs; Date.now() < until; ) {
      const last = this.applier.state().assignment;
      if (last?.serial === serial && !['fetching', 'verified', 'trial'].includes(last.result))
        return last.result;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`serial ${serial} did not end: ${JSON.stringify(this.applier.state().assignment)}`);
  }

  /** Waits for a state in between. */
  async reaches(serial: number, result: string): Promise<void> {
    for (const until = Date.now() + 15_000; Date.now() < until; ) {
      const last = this.applier.state().assignment;
      if (last?.serial === serial && last.result === result) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`serial ${serial} did not come to ${result}`);
  }

  /** What the programs judge by, from the kernel. */
  inForce(): number {
    return this.kernel.status().inForce?.serial ?? -1;
  }

  async close(): Promise<void> {
    await this.#applier?.close();
    this.die();
    await this.#lab.close();
  }
}
