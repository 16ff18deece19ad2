// `husk-agent judge`: a policy and frames in, what this machine's kernel makes of them out. `husk policy simulate
// --kernel` and `husk policy test --kernel` start it; anybody may who writes its lines.
//
//   in    {"documents": [policy documents], "own": ["192.0.2.1/24", addresses of the device; may be left out]}
//         {"direction": "ingress", "interface": "wan0", "link": "ethernet" or "ip", "state": "new" or null,
//          "frame": "base64, from the Ethernet header on, or from that of IP"}                             …
//   out   {"ready": true, "version": "0.1.0", "kernel": "6.18.44"}
//         {"verdict": "drop", "reason": "rule", "rule": "p/ssh", "monitored": null}                        …
//      or {"error": "why the kernel did not run the program on it"}
//
// One answer for each frame, in order. Interfaces need not exist here: a name only says which zone is meant.

import { release } from 'node:os';
import type { Addon } from '../../native/index.ts';
import { parseJson } from '../contract/json.ts';
import { bundleBytesMax } from '../contract/limits.ts';
import type { ConnectionState, PolicyDocument } from '../contract/policy.ts';
import { messageOf } from '../contract/thrown.ts';
import { packetObjects } from '../kernel/objects.ts';
import { PacketJudge } from '../kernel/packet-judge.ts';
import { readBpfObject } from '../os/assets.ts';
import { version } from '../os/build-info.ts';
import { checkDocuments } from '../policy/check.ts';
import { compile } from '../policy/compile.ts';
import { type DeviceInterface, usualNeverDrop } from '../policy/device-view.ts';
import { formatFaults } from '../policy/faults.ts';
import type { Judgement } from '../policy/judgement.ts';
import { checkOwnAddress, ownAddresses } from '../policy/own-addresses.ts';
import { parseDocuments } from '../policy/parse.ts';
import { shieldsAsPolicies } from '../policy/shields-as-policies.ts';
import { decodeBase64 } from '../trust/base64.ts';

export interface JudgeParts {
  readonly addon: Addon;
  readonly input: AsyncIterable<Uint8Array>;
  readonly out: (text: string) => void;
}

/** What a frame begins with; absent: an Ethernet header. */
type Link = 'ethernet' | 'ip';

interface FrameLine {
  readonly direction: 'ingress' | 'egress';
  readonly interface: string;
  readonly frame: Uint8Array;
  readonly link: Link;
  /** What looking its connection up would come to; absent: none is followed. */
  readonly state: ConnectionState | null;
}

/** A frame of the largest packet there is, as base64 in its line. */
const frameLineBytesMax = 512 * 1024;
/**
 * Beyond one page, less headroom and the kernel's own record at its end (320 bytes, 768 where MAX_SKB_FRAGS is
 * 45), a test run of XDP shows the program the first part only (6.18): it would judge a packet nobody sent.
 */
const runBytesMax = 3072;
/** Names that frames may bring; each new one loads the tables anew. */
const interfacesMax = 1024;
/** Of interfaces in the tables: no matter which, as nothing is attached. */
const firstIfindex = 1000;

/** Runs until the input ends. Throws where the input is none, the policy has faults or the kernel refuses. */
export async function judgeFrames({ addon, input, out }: JudgeParts): Promise<void> {
  const lines = linesOf(input, bundleBytesMax);
  try {
    await judgeLines(addon, lines, (value) => out(`${JSON.stringify(value)}\n`));
  } finally {
    // An input that nobody reads to its end would keep the process alive.
    await lines.return(undefined);
  }
}

async function judgeLines(
  addon: Addon,
  lines: AsyncGenerator<Uint8Array>,
  say: (value: unknown) => void,
): Promise<void> {
  const first = await lines.next();
  if (first.done === true) throw new Error('nothing on standard input: the first line has the documents');
  const { documents, own } = readHead(first.value);
  const policy = new JudgedPolicy(documents);
  const judge = openJudge(addon, (index) => policy.ruleId(index));
  try {
    judge.setOwnAddresses(ownAddresses([{ addresses: own }]).keys);
    await judge.load(policy.image());
    say({ ready: true, version, kernel: release() });
    for await (const line of lines) {
      const { direction, interface: name, link, frame, state } = readFrame(line);
      if (policy.meets(name, link)) await judge.load(policy.image());
      say(
        answer(frame, () =>
          judge.judge({
            direction,
            ifindex: policy.ifindex(name, link),
            link,
            cameBy: 0,
            state,
            frame,
          }),
        ),
      );
    }
  } finally {
    judge.close();
  }
}

/** What the kernel does not run is an answer, and the next one is asked. */
function answer(frame: Uint8Array, judge: () => Judgement): Judgement | { readonly error: string } {
  if (frame.length > runBytesMax) {
    return { error: `${frame.length} bytes are more than a program is run on (${runBytesMax})` };
  }
  try {
    return judge();
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string };
    // No packet without the whole of an Ethernet header, and at egress none without that of IP.
    if (code === 'EINVAL') return { error: `the kernel runs no program on ${frame.length} bytes like these` };
    return { error: message };
  }
}

/** The documents, compiled for the interfaces that frames have named so far. */
class JudgedPolicy {
  readonly #documents: readonly PolicyDocument[];
  readonly #interfaces: DeviceInterface[] = [];
  readonly #ids: string[] = [];
  readonly #indexes = new Map<string, number>();

  constructor(documents: readonly PolicyDocument[]) {
    this.#documents = documents;
  }

  /** True: the name is new with this link, and an image from now on knows it. */
  meets(name: string, link: Link): boolean {
    if (this.ifindex(name, link) !== 0) return false;
    if (this.#interfaces.length === interfacesMax) throw new Error(`more than ${interfacesMax} interfaces`);
    this.#interfaces.push({ name, link, index: firstIfindex + this.#interfaces.length, addresses: [] });
    return true;
  }

  /** 0: not met. */
  ifindex(name: string, link: Link): number {
    return this.#interfaces.find((one) => one.name === name && one.link === link)?.index ?? 0;
  }

  ruleId(index: number): string | null {
    return this.#ids[index] ?? null;
  }

  image(): ReturnType<typeof compile> {
    // Packets alone are judged, and what hardening needs to know of a device is not known here.
    const documents = shieldsAsPolicies(this.#documents).filter(({ kind }) => kind !== 'HardeningPolicy');
    return compile(documents, {
      interfaces: this.#interfaces,
      neverDrop: usualNeverDrop,
      bootSeconds: () => null,
      cgroupId: () => null,
      ruleIndex: (id) => {
        const known = this.#indexes.get(id);
        if (known !== undefined) return known;
        this.#indexes.set(id, this.#ids.push(id) - 1);
        return this.#ids.length - 1;
      },
    });
  }
}

function openJudge(addon: Addon, ruleId: (index: number) => string | null): PacketJudge {
  const files = Object.fromEntries(packetObjects.map((name) => [name, readBpfObject(name)])) as Record<
    (typeof packetObjects)[number],
    Uint8Array
  >;
  try {
    return new PacketJudge(addon, files, ruleId);
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string };
    if (code !== 'EPERM' && code !== 'EACCES') throw error;
    throw new Error(`loading programs into the kernel needs root: ${message.split('\n')[0]}`, {
      cause: error,
    });
  }
}

function readJson(line: Uint8Array, bytesMax: number, what: string): unknown {
  try {
    return parseJson(line, { bytesMax });
  } catch (error) {
    throw new Error(`${what} is no JSON: ${messageOf(error)}`, { cause: error });
  }
}

interface Head {
  readonly documents: readonly PolicyDocument[];
  readonly own: readonly string[];
}

function readHead(line: Uint8Array): Head {
  const value = readJson(line, bundleBytesMax, 'the first line') as
    | { readonly documents?: unknown; readonly own?: unknown }
    | null
    | undefined;
  if (!Array.isArray(value?.documents))
    throw new Error('the first line is {"documents": [policy documents]}');
  const { documents, faults } = parseDocuments(value.documents);
  const all = [...faults, ...(faults.length === 0 ? checkDocuments(documents) : [])];
  const errors = all.filter((fault) => fault.severity === 'error');
  if (errors.length > 0) throw new Error(`the documents have faults\n${formatFaults(errors).trimEnd()}`);
  return { documents, own: readOwn(value.own ?? []) };
}

function readOwn(value: unknown): readonly string[] {
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
    throw new Error('"own" is a list of addresses');
  for (const one of value) checkOwnAddress(one);
  return value;
}

const states: readonly ConnectionState[] = ['new', 'established', 'related', 'invalid'];

function readFrame(line: Uint8Array): FrameLine {
  const value = readJson(line, frameLineBytesMax, 'a line of a frame');
  const {
    direction,
    interface: name,
    link = 'ethernet',
    frame: text,
    state = null,
  } = (value ?? {}) as Record<string, unknown>;
  const frame = typeof text === 'string' ? decodeBase64(text) : null;
  const isWay = direction === 'ingress' || direction === 'egress';
  const isLink = link === 'ethernet' || link === 'ip';
  const isState = state === null || states.includes(state as ConnectionState);
  if (!isWay || typeof name !== 'string' || name.length > 255 || frame === null || !isState || !isLink) {
    throw new Error('a frame is {"direction": "ingress" or "egress", "interface": name, "frame": base64}');
  }
  return { direction, interface: name, link, frame, state: state as ConnectionState | null };
}

/** Lines without their newline; throws where one is longer than the limit. Empty ones are passed over. */
async function* linesOf(input: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of input) {
    let from = 0;
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, at)]);
      [parts, length, from] = [[], 0, at + 1];
      if (line.length > 0) yield line;
    }
    parts.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > bytesMax) throw new Error(`a line of more than ${bytesMax} bytes`);
  }
  if (length > 0) yield Buffer.concat(parts);
}
