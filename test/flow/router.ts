// A router under Husk without an agent: the programs on its interfaces, and the kernel side in the test's own process,
// so that a test says itself what is loaded, swapped, tried and returned, and looks at the tables.
//
//     wan  .1 .50 .66 ── wan0 .2  router  lan0 .1 ── .10  lan        (site.ts draws the addresses)

import { existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import type { Connection } from '../../agent/kernel/connections.ts';
import { Kernel } from '../../agent/kernel/kernel.ts';
import { compile } from '../../agent/policy/compile.ts';
import { type DeviceInterface, usualNeverDrop } from '../../agent/policy/device-view.ts';
import { ownAddresses } from '../../agent/policy/own-addresses.ts';
import { readAndCheck } from '../../agent/policy/read.ts';
import type { SetImage, SetImages } from '../../agent/policy/set-tables/set-image.ts';
import type { DeviceFacts, TableImage } from '../../agent/policy/table-image.ts';
import { setKey } from '../../agent/prepare-policy.ts';
import { BuiltSetImages } from '../../agent/set-images.ts';
import { type Addon, addon as plainAddon } from '../../native/index.ts';
import { objectFiles } from '../agent/apply-bench.ts';
import { type Lab, labMissing } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { plainKernel } from '../lab/plain-kernel.ts';
import { type Ground, layGround } from '../lab/site.ts';
import { type Answer, ask } from '../lab/system.ts';

const root = resolve(import.meta.dirname, '../..');
const talk = join(import.meta.dirname, 'talk.ts');

/** Why no router can be had here, or false: for a test's `skip`. */
export function routerMissing(): string | false {
  const built = existsSync(join(root, 'build/bpf/xdp_ingress.bpf.o'));
  return labMissing() || (built ? false : 'needs ./build.sh build');
}

/** What is not said is the zone's own. */
export interface RouterPolicy {
  /** Rules as YAML flow mappings, and what happens to the rest. */
  readonly wanIn?: readonly string[];
  readonly wanInDefault?: 'allow' | 'drop';
  readonly lanIn?: readonly string[];
  readonly lanInDefault?: 'allow' | 'drop';
  readonly wanOut?: readonly string[];
  readonly wanOutDefault?: 'allow' | 'drop';
  readonly tcp?: 'strict' | 'loose';
}

/** Of the document `router`. */
export function routerPolicy(policy: RouterPolicy): string {
  const place = (zone: string, rules: readonly string[] = [], otherwise = 'allow') => `
    - zone: ${zone}
      default: ${otherwise}
      rules: [${rules.map((rule) => `\n        ${rule}`).join(',')}]`;
  const { wanIn, wanInDefault, lanIn, lanInDefault, wanOut, wanOutDefault, tcp = 'strict' } = policy;
  return `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: router }
spec:
  mode: enforce
  connections: { tcp: ${tcp} }
  zones:
    wan: { interfaces: [wan0] }
    lan: { interfaces: [lan0] }
  ingress:${place('wan', wanIn, wanInDefault)}${place('lan', lanIn, lanInDefault)}
  egress:${place('wan', wanOut, wanOutDefault)}
`;
}

export interface RouterOptions {
  readonly ground?: Ground;
  /** What the kernel side works by. */
  readonly addon?: Addon;
}

export class Router {
  readonly lab: Lab;
  readonly ground: Ground;
  readonly kernel: Kernel;
  readonly bpffs: string;
  readonly #setImages = new BuiltSetImages();
  /** Tables of big sets that were built, and not found. */
  setImagesBuilt = 0;
  #interfaces: readonly DeviceInterface[] = [];
  #serial = 0;
  /** Held as the agent holds what is in force: tables that were built live as long. */
  #image: TableImage | null = null;

  private constructor(lab: Lab, ground: Ground, kernel: Kernel, bpffs: string) {
    this.lab = lab;
    this.ground = ground;
    this.kernel = kernel;
    this.bpffs = bpffs;
  }

  /** With a policy in force that allows everything and asks for no state. */
  static async open(
    lab: Lab,
    { ground = layGround(lab), addon = plainAddon }: RouterOptions = {},
  ): Promise<Router> {
    // What IPv6 does by itself on a new link would be counted among the packets of a test, all of which are IPv4.
    for (const space of [ground.wan, ground.inside, ground.lan])
      space.set('net/ipv6/conf/all/disable_ipv6', '1');
    const bpffs = lab.bpffs();
    const files = objectFiles();
    const kernel = await Kernel.open({
      addon,
      bpffs,
      files,
      cgroup: null,
      ...plainKernel,
      onRecycled: () => {},
    });
    lab.onClose('the kernel side', () => kernel.close());
    const router = new Router(lab, ground, kernel, bpffs);
    // In the namespace, since an interface is attached to by its number there.
    const { code, out, complaint } = await ask('nsenter', [
      `--net=${ground.inside.path}`,
      '--',
      process.execPath,
      join(import.meta.dirname, 'router-attach.ts'),
      bpffs,
      'wan0',
      'lan0',
    ]);
    if (code !== 0) throw new Error(`attach: ${complaint}`);
    router.#interfaces = JSON.parse(out) as readonly DeviceInterface[];
    await kernel.followAddresses(ownAddresses(router.#interfaces).keys);
    await router.settle(routerPolicy({}));
    return router;
  }

  /** Documents, or their text as YAML. Throws for a fault. */
  image(policy: string | readonly PolicyDocument[]): TableImage {
    return typeof policy === 'string' ? this.#imageOf(readText(policy)) : this.#imageOf(policy);
  }

  #imageOf(documents: readonly PolicyDocument[]): TableImage {
    const facts: DeviceFacts = {
      neverDrop: usualNeverDrop,
      interfaces: this.#interfaces,
      bootSeconds: (moment) =>
        Math.max(0, Math.ceil((Date.parse(moment) - Date.now()) / 1000) + this.bootSeconds),
      cgroupId: () => null,
      ruleIndex: (id) => this.kernel.ruleIndex(id),
      setImages: { get: (family, ranges, build) => this.#setImage(family, ranges, build) },
    };
    return compile(documents, facts);
  }

  /** As between the agent and who prepares its policies: what is held is not built again. */
  #setImage(...[family, ranges, build]: Parameters<SetImages['get']>): SetImage {
    const key = setKey(family, ranges);
    const known = this.#setImages.alive().get(key);
    if (known !== undefined) return { family, chunkBytes: known.set.chunkBytes, bytes: known.bytes };
    const { chunkBytes, bytes } = build();
    this.#setImages.learn({ key, chunkBytes, byteLength: bytes.length }, bytes);
    this.setImagesBuilt++;
    return { family, chunkBytes, bytes };
  }

  get bootSeconds(): number {
    return Number(plainAddon.bootNs() / 1_000_000_000n);
  }

  load(policy: string | readonly PolicyDocument[]) {
    this.#serial++;
    this.#image = this.image(policy);
    return this.kernel.loadStandby({
      serial: this.#serial,
      bundleDigest: '0'.repeat(64),
      image: this.#image,
    });
  }

  /** In force without a trial. Returns the generation's id. */
  async settle(policy: string | readonly PolicyDocument[]): Promise<number> {
    const loaded = await this.load(policy);
    this.kernel.settle(loaded);
    return loaded.id;
  }

  /** Hits of rules of the document `router` since they were first given a counter. */
  async hits(): Promise<(rule: string) => number> {
    const counters = await this.kernel.counters();
    const hits = new Map(counters.map((one) => [one.id, Number(one.hits)]));
    return (rule) => hits.get(`router/${rule}`) ?? 0;
  }

  /** By how much the rules moved while something was done; those that did not are left out. */
  async moved<T>(
    work: () => Promise<T>,
  ): Promise<{ readonly answer: T; readonly hits: Record<string, number> }> {
    const before = new Map((await this.kernel.counters()).map((one) => [one.id, one.hits]));
    const answer = await work();
    const after = await this.kernel.counters();
    const moved = after.map(
      ({ id, hits }) => [id.replace(/^router\//, ''), Number(hits - (before.get(id) ?? 0n))] as const,
    );
    return { answer, hits: Object.fromEntries(moved.filter(([, by]) => by !== 0)) };
  }

  async connections(port: number): Promise<readonly Connection[]> {
    return (await this.kernel.connections({ port }, 1000)).connections;
  }

  /** nftables of the router. */
  nft(ruleset: string): void {
    const file = join(this.lab.dir, `ruleset-${this.#serial}.nft`);
    writeFileSync(file, ruleset);
    this.ground.inside.run('nft', ['-f', file]);
  }
}

function readText(text: string): readonly PolicyDocument[] {
  const { documents, faults } = readAndCheck([{ file: 'router.yaml', text }]);
  const errors = faults.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  return documents;
}

/** One question and its echo: `echo`, `none`, or the code of the error. `as`: the address it is sent from. */
export async function say(
  from: Namespace,
  protocol: 'tcp' | 'udp',
  address: string,
  port: number,
  as = '',
): Promise<string> {
  const answer: Answer = await ask('nsenter', [
    `--net=${from.path}`,
    '--',
    process.execPath,
    talk,
    'say',
    protocol,
    address,
    String(port),
    as,
  ]);
  return answer.out.trim() || answer.complaint;
}

/** Echoes on ports of both protocols until the lab ends. */
export async function serve(lab: Lab, at: Namespace, ports: readonly number[]): Promise<void> {
  const argv = [process.execPath, talk, 'serve', ...ports.map(String)];
  const program = lab.start(`serve-${at.name}-${ports[0]}`, { argv, namespace: at });
  await program.line(/^serving/, 10_000);
}

/** A TCP connection that is asked again and again. */
export class Held {
  readonly #program;

  private constructor(program: ReturnType<Lab['start']>) {
    this.#program = program;
  }

  static async open(lab: Lab, from: Namespace, address: string, port: number): Promise<Held> {
    const argv = [process.execPath, talk, 'hold', address, String(port)];
    const held = new Held(lab.start(`hold-${from.name}-${port}-${holds++}`, { argv, namespace: from }));
    await held.#program.line(/^echo 1$/, 5000);
    return held;
  }

  /** The port it has at its own end. */
  get port(): number {
    return Number(/^from (\d+)$/m.exec(this.#program.output())?.[1]);
  }

  /** Whether echoes still come: within 700 ms, or never. */
  async lives(): Promise<boolean> {
    const before = this.#echoes();
    const until = performance.now() + 700;
    while (performance.now() < until) {
      if (this.#echoes() > before + 2) return true;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return false;
  }

  async close(): Promise<void> {
    await this.#program.stop('SIGKILL');
  }

  #echoes(): number {
    return this.#program
      .output()
      .split('\n')
      .filter((line) => line.startsWith('echo ')).length;
  }
}

let holds = 0;
