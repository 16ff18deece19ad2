// A device of a lab: dist/husk-agent with configuration, state, run folder, bpffs and hardening root of its
// own, in its namespace. It can be ended at any moment, at a given step of a bundle, and started again.

import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { huskAgent } from './executables.ts';
import type { Lab } from './lab.ts';
import type { Namespace } from './namespace.ts';
import type { Ended, Program } from './program.ts';
import { type Answer, ask, unmount, writeJson } from './system.ts';
import { waitFor } from './wait-for.ts';

export interface DeviceOptions {
  readonly namespace: Namespace;
  readonly interfaces: readonly string[];
  /** The join line, or null for one that has been enrolled. */
  readonly join: string | null;
  /** Whether what tasks do is judged (`hardening.tasks`): for the whole machine, so subjects have to be the test's own. */
  readonly tasks?: boolean;
  /** Laid over the lab's configuration, top level by top level. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Instead of a folder of the lab. */
  readonly stateDirectory?: string;
}

export class Device {
  readonly stateDirectory: string;
  /** The hardening root: rules name cgroups below it. */
  readonly cgroup: string;
  readonly namespace: Namespace;
  readonly #lab: Lab;
  readonly #cgroupName: string;
  readonly #options: DeviceOptions;
  #runDirectory: string;
  readonly #configPath: string;
  #bpffs: string;
  /** Laid over the kernel's own for the agent alone; null before the first reboot. */
  #bootIdFile: string | null = null;
  #program: Program | null = null;

  constructor(lab: Lab, options: DeviceOptions) {
    this.#lab = lab;
    this.#options = options;
    this.namespace = options.namespace;
    this.stateDirectory = options.stateDirectory ?? lab.folder('state');
    this.#cgroupName = `device-${devices++}`;
    this.cgroup = lab.cgroupBelow(this.#cgroupName);
    this.#runDirectory = lab.folder('run');
    this.#configPath = join(lab.folder('etc'), 'agent.json');
    this.#bpffs = lab.bpffs();
    this.#writeConfig();
  }

  /**
   * A boot, as far as the agent can tell: what was pinned and the run folder are gone, the boot id is another,
   * what is on disk stays. The agent must not be running. Boot time goes on counting, which is not like a boot.
   */
  reboot(): void {
    if (this.#program?.running === true) throw new Error('end the agent first');
    // By hand, since a mount namespace of somebody else's may hold the file system beyond its unmount.
    rmSync(join(this.#bpffs, 'husk'), { recursive: true, force: true });
    unmount(this.#bpffs);
    this.#bpffs = this.#lab.bpffs();
    this.#runDirectory = this.#lab.folder('run');
    this.#bootIdFile = join(this.#lab.folder('boot'), 'boot_id');
    writeFileSync(this.#bootIdFile, `${randomUUID()}\n`);
    this.#writeConfig();
  }

  /** A cgroup below the hardening root: what rules call `name`. */
  serviceCgroup(name: string): string {
    return this.#lab.cgroupBelow(join(this.#cgroupName, name));
  }

  get bpffs(): string {
    return this.#bpffs;
  }

  get runDirectory(): string {
    return this.#runDirectory;
  }

  get program(): Program {
    if (this.#program === null) throw new Error('the agent was not started');
    return this.#program;
  }

  /** With HUSK_STOP_AT in `env`, it stops itself at that step of agent/apply-bundle.ts. */
  start(env: Readonly<Record<string, string>> = {}): Program {
    if (this.#program?.running === true) throw new Error('the agent is running');
    this.#program = this.#lab.start('agent', {
      argv: [...this.#anotherBoot(), huskAgent, 'run', '--config', this.#configPath],
      namespace: this.namespace,
      env,
    });
    return this.#program;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Ended> {
    return await this.program.stop(signal);
  }

  /** Waits until the agent, started with HUSK_STOP_AT, has stopped itself at its step. */
  async stopped(withinMs = 60_000): Promise<void> {
    const { program } = this;
    await waitFor(
      () => {
        if (!program.running) throw new Error(`the agent ended: ${program.output().slice(-500)}`);
        return stateOf(program.pid) === 'T';
      },
      { what: 'the agent to stop itself', withinMs, everyMs: 10 },
    );
  }

  /** A command of the agent's own, as someone logged in to the device would give it. */
  cli(args: readonly string[], timeoutMs = 60_000): Promise<Answer> {
    const enter = [`--net=${this.namespace.path}`, '--', huskAgent];
    return ask('nsenter', [...enter, ...args, '--config', this.#configPath], { timeoutMs });
  }

  /** Such a command as a program of a lab, which is in the device's namespace already. */
  command(...args: readonly string[]): readonly string[] {
    return [huskAgent, ...args, '--config', this.#configPath];
  }

  async json(args: readonly string[]): Promise<unknown> {
    const { code, out, complaint } = await this.cli([...args, '--json']);
    if (code !== 0) throw new Error(`husk-agent ${args.join(' ')}: exit ${code}: ${complaint.trim()}`);
    return JSON.parse(out);
  }

  #anotherBoot(): string[] {
    if (this.#bootIdFile === null) return [];
    const script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"';
    const shell = ['/bin/sh', '-c', script, 'sh', this.#bootIdFile];
    return ['unshare', '--mount', '--propagation', 'private', ...shell];
  }

  #writeConfig(): void {
    writeJson(this.#configPath, {
      stateDirectory: this.stateDirectory,
      runDirectory: this.#runDirectory,
      bpffs: this.#bpffs,
      interfaces: this.#options.interfaces,
      hardening: { cgroup: this.cgroup, tasks: this.#options.tasks ?? false },
      // Short enough that a test can wait for a trial to run out.
      trial: { minimumSeconds: 2, maximumSeconds: 60 },
      link: { keepaliveSeconds: 5, reconnectSeconds: { minimum: 0.1, maximum: 1 } },
      hardwareId: `lab-${this.namespace.name}-${process.pid}`,
      join: this.#options.join,
      ...this.#options.config,
    });
  }
}

let devices = 0;

/** proc_pid_stat(5): the state stands after the command, which is in parentheses. */
function stateOf(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2)[0];
}
