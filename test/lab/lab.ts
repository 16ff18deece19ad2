// A lab: network namespaces joined by veth pairs, a cgroup, mounts and programs, all of one run and all gone
// when it closes: at the end, on failure, on SIGINT and SIGTERM. What a run that was killed outright left
// behind is swept by the next one, by its name (see run-name.ts); nothing else is touched.
//
//   /run/netns/husk-lab-<pid>-<start>-wan       namespaces
//   <cgroup2>/husk-lab-<pid>-<start>/           every program of the lab, so that none can get away
//   <tmp>/husk-lab-<pid>-<start>-XXXXXX/        folders, logs, mounts
//
// Namespaces are entered by nsenter: `ip netns exec` would remount /sys, and with it hide bpffs and cgroups.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cgroupRoot, removeCgroup } from './cgroups.ts';
import { Namespace } from './namespace.ts';
import { Program, type ProgramOptions } from './program.ts';
import { runName } from './run-name.ts';
import { netnsFolder, sweepLeftOvers } from './sweep.ts';
import { removeFolder, run, unmount } from './system.ts';
import { Undo } from './undo.ts';

/** Why no lab can be had here, or false: for a test's `skip`. */
export function labMissing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root for namespaces, cgroups and BPF';
  for (const program of ['ip', 'nsenter', 'mount', 'umount']) {
    if (spawnSync(program, ['--version']).error !== undefined) return `needs the program ${program}`;
  }
  return false;
}

export interface Wire {
  readonly namespace: Namespace;
  /** Must not exist on the host: under nsenter /sys/class/net still shows the host's. */
  readonly interface: string;
  /** With prefix length, as in `192.0.2.1/24`. */
  readonly addresses: readonly string[];
}

export class Lab {
  /** A folder of this lab alone, 0700. */
  readonly dir: string;
  readonly cgroup: string;
  readonly #undo: Undo;
  #count = 0;

  private constructor(undo: Undo, dir: string, cgroup: string) {
    this.#undo = undo;
    this.dir = dir;
    this.cgroup = cgroup;
  }

  static async open(): Promise<Lab> {
    await sweepLeftOvers();
    const undo = new Undo();
    try {
      const dir = mkdtempSync(join(tmpdir(), `${runName}-`));
      undo.add(`folder ${dir}`, () => removeFolder(dir));
      const cgroup = join(cgroupRoot(dir), `${runName}-${labs++}`);
      mkdirSync(cgroup);
      undo.add(`cgroup ${cgroup}`, () => removeCgroup(cgroup));
      return new Lab(undo, dir, cgroup);
    } catch (error) {
      await undo.close().catch(() => {}); // the first error is the one to tell
      throw error;
    }
  }

  /** A signal or close() has begun to take it down. */
  get closing(): boolean {
    return this.#undo.closing;
  }

  /** Joins what is to be undone with the lab's end. */
  onClose(what: string, undo: () => void | Promise<void>): void {
    this.#undo.add(what, undo);
  }

  namespace(name: string): Namespace {
    const full = `${runName}-${this.#number()}-${name}`;
    run('ip', ['netns', 'add', full]);
    this.#undo.add(`namespace ${full}`, () => {
      run('ip', ['netns', 'delete', full]);
    });
    const namespace = new Namespace(name, join(netnsFolder, full));
    namespace.run('ip', ['link', 'set', 'lo', 'up']);
    // A packet from a listed address comes in where the route back does not lead: let the policy judge it.
    for (const who of ['all', 'default']) namespace.set(`net/ipv4/conf/${who}/rp_filter`, '0');
    return namespace;
  }

  /** A veth pair between two namespaces, both ends up with their addresses. */
  wire(a: Wire, b: Wire): void {
    const args = ['link', 'add', a.interface, 'netns', nameOf(a.namespace), 'type', 'veth'];
    run('ip', [...args, 'peer', 'name', b.interface, 'netns', nameOf(b.namespace)]);
    for (const end of [a, b]) {
      for (const address of end.addresses) {
        // Duplicate address detection would hold a fresh IPv6 address back for a second.
        const nodad = address.includes(':') ? ['nodad'] : [];
        end.namespace.run('ip', ['addr', 'add', address, 'dev', end.interface, ...nodad]);
      }
      end.namespace.run('ip', ['link', 'set', end.interface, 'up']);
    }
  }

  folder(name: string): string {
    const path = join(this.dir, `${this.#number()}-${name}`);
    mkdirSync(path, { mode: 0o700 });
    return path;
  }

  bpffs(): string {
    return this.mount('bpffs', ['-t', 'bpf', 'bpf']);
  }

  /** A file system of so many bytes, to be full. */
  smallDisk(bytes: number): string {
    return this.mount('disk', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tmpfs']);
  }

  mount(name: string, args: readonly string[]): string {
    const path = this.folder(name);
    run('mount', [...args, path]);
    this.#undo.add(`mount ${path}`, () => unmount(path));
    return path;
  }

  /** A cgroup of this lab, as in `device/daemon`; made with its parents. */
  cgroupBelow(path: string): string {
    const full = join(this.cgroup, path);
    mkdirSync(full, { recursive: true });
    return full;
  }

  /** Starts a program that ends with the lab at the latest. */
  start(name: string, options: Omit<ProgramOptions, 'cgroup' | 'log' | 'netns'> & StartOptions): Program {
    const { cgroup = this.cgroup, namespace, log = join(this.dir, `${name}.log`), ...rest } = options;
    if (this.#undo.closing) throw new Error('the lab is closing');
    const netns = namespace === undefined ? {} : { netns: namespace.path };
    const program = new Program({ ...rest, cgroup, log, ...netns });
    this.#undo.add(`program ${name}`, async () => {
      await program.stop('SIGTERM', 2000);
    });
    return program;
  }

  /** The last lines of every log, for somebody who has to find out what went wrong. */
  logTails(lines = 12): string {
    const logs = readdirSync(this.dir).filter((name) => name.endsWith('.log'));
    const tails = logs.map((name) => {
      const text = readFileSync(join(this.dir, name), 'utf8').trimEnd();
      return `--- ${name}\n${text.split('\n').slice(-lines).join('\n')}`;
    });
    return tails.join('\n');
  }

  async close(): Promise<void> {
    await this.#undo.close();
  }

  #number(): number {
    return this.#count++;
  }
}

let labs = 0;

interface StartOptions {
  readonly namespace?: Namespace;
  readonly cgroup?: string;
  readonly log?: string;
}

function nameOf(namespace: Namespace): string {
  return namespace.path.slice(netnsFolder.length + 1);
}
