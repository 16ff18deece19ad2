// A HardeningPolicy from what devices learnt: all that was seen is allowed, and what no device did is denied.
//
// It is a proposal for a person: in mode monitor, and each line says on how many devices it was seen. What an operation
// can be held by hangs on its word: exec, write, create, mount, connect and bind have a default, which is denied, and rules that
// allow; of the others what was not seen is denied, or all but what was seen. Files that are mapped, and what is read, are left
// alone unless `reads` is said: a service reads more than it shows in a week.

import {
  type FileWord,
  fileWords,
  type HardeningPolicy,
  type HardeningRule,
} from '../../agent/contract/policy.ts';
import { capabilityNames } from '../../agent/policy/capabilities.ts';
import { generalisePaths, type PathWord } from './generalise-paths.ts';
import type { DeviceProfile, Seen } from './profile.ts';

export interface ProposeOptions {
  /** Files of one folder, or addresses of one port, that are named one by one; of more the folder, or any address, is meant. */
  readonly namedMax: number;
  /** Reading is held to what was seen as well. */
  readonly reads: boolean;
}

export interface Proposal {
  readonly policy: HardeningPolicy;
  /** By `rule id/word`, as in `write/under//var/lib/x`: devices that did it. */
  readonly seenOn: ReadonlyMap<string, number>;
  /** Devices whose profiles were merged, and those of them that see what tasks do to objects (tiers A and B). */
  readonly devices: number;
  readonly devicesSeeing: number;
  /** What was seen and is not in the policy, with why. */
  readonly leftOut: readonly { readonly what: string; readonly why: string }[];
}

/** The profiles are of one policy, one for each device. */
export function proposePolicy(profiles: readonly DeviceProfile[], options: ProposeOptions): Proposal {
  const [first] = profiles;
  if (first === undefined) throw new RangeError('there is no profile to make a policy of');
  const maker = new Maker(profiles, options);
  return maker.make(first);
}

const sees = ({ tier }: DeviceProfile) => tier === 'A' || tier === 'B';
interface Sighting {
  readonly device: string;
  readonly seen: Seen;
}

/** Protocols and ports of one word: a device takes 128 entries of call rules in all. */
const portsMax = 48;
type Match = { readonly paths?: readonly string[]; readonly under?: readonly string[] };
const defaultWords = ['write', 'create', 'mount'] as const;
const exceptWords: readonly FileWord[] = fileWords.filter(
  (one) => one !== 'read' && !defaultWords.some((other) => other === one),
);

class Maker {
  readonly #profiles: readonly DeviceProfile[];
  readonly #options: ProposeOptions;
  readonly #rules: HardeningRule[] = [];
  readonly #defaults: Partial<Record<'exec' | 'write' | 'create' | 'mount' | 'connect' | 'bind', 'deny'>> =
    {};
  readonly #seenOn = new Map<string, number>();
  readonly #leftOut = new Map<string, string>();

  constructor(profiles: readonly DeviceProfile[], options: ProposeOptions) {
    this.#profiles = profiles;
    this.#options = options;
  }

  make({ policy, subject }: DeviceProfile): Proposal {
    const seeing = this.#profiles.filter(sees);
    if (seeing.length > 0) {
      if (this.#isLearnt('exec')) this.#exec();
      for (const word of defaultWords) if (this.#isLearnt(word)) this.#allowedFiles(word);
      for (const word of exceptWords) if (this.#isLearnt(word)) this.#deniedFiles(word);
      if (this.#options.reads && this.#isLearnt('read')) this.#deniedFiles('read');
      this.#privileges();
      this.#kernel();
      if (this.#isLearnt('writeExecute') && this.#of('writeExecute').length === 0)
        this.#rules.push({ id: 'no-write-execute', memory: { writeExecute: true }, action: 'deny' });
    }
    for (const call of ['connect', 'bind'] as const) if (this.#isLearnt(call)) this.#calls(call);
    if (this.#isLearnt('socket')) this.#sockets();
    const name = `${policy}-learnt`.slice(0, 63);
    return {
      policy: {
        apiVersion: 'husk/v1',
        kind: 'HardeningPolicy',
        metadata: { name },
        spec: { mode: 'monitor', subject, default: this.#defaults, rules: this.#rules },
      },
      seenOn: this.#seenOn,
      devices: this.#profiles.length,
      devicesSeeing: seeing.length,
      leftOut: [...this.#leftOut].map(([what, why]) => ({ what, why })),
    };
  }

  #isLearnt(operation: string): boolean {
    return this.#profiles.some(({ learns }) => learns.includes(operation));
  }

  #of(operation: string): readonly Sighting[] {
    return this.#profiles.flatMap(({ device, seen }) =>
      seen.filter((one) => one.operation === operation).map((one) => ({ device, seen: one })),
    );
  }

  #exec(): void {
    this.#defaults.exec = 'deny';
    const all = this.#of('exec');
    const applets = new Map<string, Set<string>>();
    for (const { device, seen } of all) {
      if (seen.applet !== true || seen.startedAs === undefined) continue;
      applets.set(seen.startedAs, (applets.get(seen.startedAs) ?? new Set<string>()).add(device));
    }
    const names = [...applets.keys()].filter(isPlain).toSorted();
    if (names.length > 0) this.#rules.push({ id: 'applets', exec: { applets: names }, action: 'allow' });
    for (const one of names) this.#note('applets', one, applets.get(one)?.size ?? 0);

    const multiples = new Set(all.flatMap(({ seen }) => (seen.applet === true ? (seen.path ?? []) : [])));
    const programs = all.filter(({ seen }) => {
      if (seen.applet === true) return false;
      if (typeof seen.path !== 'string' || !multiples.has(seen.path)) return true;
      const what = `exec of ${seen.path} as ${seen.startedAs ?? 'nothing'}`;
      this.#leftOut.set(what, 'would allow all that this program can be; allow the names meant');
      return false;
    });
    // Programs are named, however many there are.
    const match = this.#match('programs', programs, Number.POSITIVE_INFINITY);
    if (match !== null) this.#rules.push({ id: 'programs', exec: match, action: 'allow' });
  }

  #allowedFiles(word: (typeof defaultWords)[number]): void {
    this.#defaults[word] = 'deny';
    const match = this.#match(word, this.#of(word), this.#options.namedMax);
    if (match !== null) this.#rules.push({ id: word, file: { [word]: match }, action: 'allow' });
  }

  #deniedFiles(word: FileWord): void {
    const id = `no-other-${word}`;
    const match = this.#match(id, this.#of(word), this.#options.namedMax);
    this.#rules.push({ id, file: { [word]: match === null ? {} : { except: match } }, action: 'deny' });
  }

  #match(id: string, all: readonly Sighting[], namedMax: number): Match | null {
    const usable = all.flatMap(({ device, seen }) => {
      const { path, folder = false } = seen;
      if (typeof path === 'string' && path.startsWith('/') && isPlain(path))
        return [{ path, isFolder: folder, device }];
      this.#leftOut.set(`${seen.operation} of ${path ?? 'a path'}`, 'no mount of its device shows it');
      return [];
    });
    const words = generalisePaths(usable, namedMax);
    const named = (isFolder: boolean) => words.filter((one) => one.isFolder === isFolder);
    const take = (some: readonly PathWord[]) =>
      some.map(({ path, devices }) => {
        this.#note(id, path, devices.size);
        return path;
      });
    const [paths, under] = [take(named(false)), take(named(true))];
    if (paths.length + under.length === 0) return null;
    return { ...(paths.length === 0 ? {} : { paths }), ...(under.length === 0 ? {} : { under }) };
  }

  #privileges(): void {
    if (this.#isLearnt('capability')) {
      const used = new Map<string, Set<string>>();
      for (const { device, seen } of this.#of('capability')) {
        const name = String(seen.capability);
        used.set(name, (used.get(name) ?? new Set<string>()).add(device));
      }
      const capabilities = capabilityNames.filter((one) => !used.has(one));
      for (const [name, devices] of used) this.#note('no-other-capability', `not ${name}`, devices.size);
      this.#rules.push({ id: 'no-other-capability', privilege: { capabilities }, action: 'deny' });
    }
    const unused = (['setuid', 'ptrace', 'userns'] as const).filter(
      (one) => this.#isLearnt(one) && this.#of(one).length === 0,
    );
    if (unused.length > 0)
      this.#rules.push({ id: 'no-privilege', privilege: trueFor(unused), action: 'deny' });
  }

  #kernel(): void {
    const unused = (['module', 'bpf', 'kexec', 'perf', 'lockdown'] as const).filter(
      (one) => this.#isLearnt(one) && this.#of(one).length === 0,
    );
    if (unused.length > 0) this.#rules.push({ id: 'no-kernel', kernel: trueFor(unused), action: 'deny' });
  }

  /** Peers by protocol and port, with any address where there are many. */
  #calls(call: 'connect' | 'bind'): void {
    const inet = this.#of(call).filter(({ seen }) => {
      if (seen.address !== undefined && seen.port !== undefined) return true;
      this.#leftOut.set(
        `${call} of family ${seen.family ?? 'unknown'}`,
        'rules have no word for such addresses',
      );
      return false;
    });
    const groups = Map.groupBy(inet, ({ seen }) => `${seen.protocol} ${seen.port}`);
    if (groups.size > portsMax) {
      this.#leftOut.set(
        `${call} to ${groups.size} ports`,
        `more than ${portsMax}, which a device has room for`,
      );
      return;
    }
    // Denied by default it would be denied as well.
    if (inet.length === this.#of(call).length) this.#defaults[call] = 'deny';
    let number = 0;
    for (const group of groups.values()) {
      const [one] = group;
      if (one === undefined) continue;
      const { port, protocol } = one.seen;
      number += 1;
      const id = `${call}-${number}`;
      const addresses = [...new Set(group.flatMap(({ seen }) => seen.address ?? []))].toSorted();
      const to = addresses.length > this.#options.namedMax ? {} : { to: addresses };
      const which = protocol === 'tcp' || protocol === 'udp' ? { protocol } : {};
      const match = { ...to, ...which, ...(port === undefined ? {} : { ports: port }) };
      this.#rules.push({ id, [call]: match, action: 'allow' });
      this.#note(id, '', new Set(group.map(({ device }) => device)).size);
    }
  }

  /** Of the families whose sockets every device sees. */
  #sockets(): void {
    const all = this.#of('socket');
    if (all.some(({ seen }) => seen.type === 'raw')) return;
    const socket = { family: ['inet', 'inet6'], type: ['raw'] } as const;
    this.#rules.push({ id: 'no-raw-sockets', socket, action: 'deny' });
  }

  #note(id: string, word: string, devices: number): void {
    this.#seenOn.set(`${id}/${word}`, devices);
  }
}

const trueFor = <Word extends string>(words: readonly Word[]) =>
  Object.fromEntries(words.map((word) => [word, true])) as { readonly [Key in Word]?: true };

/** Nothing that a policy, or a terminal, would read as something else. */
const isPlain = (text: string) => text.isWellFormed() && !/[\p{Cc}\ufffd]/u.test(text) && text.length > 0;
