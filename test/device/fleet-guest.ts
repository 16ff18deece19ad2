// The reference device, booted in an emulator and enrolled with a real controller: what tests of a whole device run in.
//
//   a namespace of this run's own                        QEMU
//   ┌──────────────────────────────────────┐      ┌─────────────────────────┐
//   │ husk serve ── hkbr0 .1 ── hktap0 ────┼──────┤ eth0 .2   husk-agent,   │
//   └──────────────────────────────────────┘      │           services      │
//     198.51.100.0/24                             └─────────────────────────┘
//
//   const device = await FleetGuest.boot(t, { kernel: '6.12' });
//   await device.publish(yaml);
//   const { status, lines } = await device.run('/tmp/evil');
//
// The image is what `./build.sh image` made; this run's files reach it on a provisioning disk. What is written to its disk
// outlives a reboot and is gone at the end. Where the test fails, the console's log and the agent's are kept in
// `build/device/`.

import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { z } from 'zod';
import type { HuskEvent, Stream } from '../../agent/contract/event.ts';
import type { Reported } from '../../agent/contract/state.ts';
import { deviceArguments, qemu } from '../../firmware-integration/image/qemu.ts';
import { Controller } from '../lab/controller.ts';
import { executablesMissing, huskAgent } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { publishAndSettle } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { CommandLine, type CommandResult } from './command-line.ts';
import { type CloudKernelName, root } from './kernels.ts';
import { dyingWithUs, Machine } from './machine.ts';
import { type DeviceFiles, packProvision } from './provision.ts';
import { layNetwork } from './tap.ts';

const image = path.join(root, 'build/image');
const manifestFile = path.join(image, 'manifest.json');
const manifest = z.object({ kernels: z.array(z.string()) });
const addresses = { controller: '198.51.100.1', device: '198.51.100.2' } as const;
const bootMsMax = 180_000;
/** Half a minute on an idle machine: an emulated CPU starts the agent and loads its programs. Others may be working. */
const agentMsMax = 400_000;
const lifeMs = 2_400_000;

/** Why no device can be booted with this kernel here, or false: for a test's `skip`. */
export function fleetGuestMissing(kernel: CloudKernelName): string | false {
  for (const program of [qemu, dyingWithUs[0], '/dev/net/tun'])
    if (!existsSync(program)) return `needs ${program}`;
  const missing = labMissing() || executablesMissing();
  if (missing) return missing;
  if (!existsSync(manifestFile)) return 'needs build/image: ./build.sh image';
  if (!manifest.parse(JSON.parse(readFileSync(manifestFile, 'utf8'))).kernels.includes(kernel))
    return `build/image has no ${kernel} kernel: ./build.sh deps fetches it, ./build.sh image packs it`;
  return false;
}

export interface FleetGuestOptions {
  readonly kernel: CloudKernelName;
  /** Words of the kernel's command line, as in `lsm=lockdown,capability,landlock`. */
  readonly append?: string;
  /** Files of the test, there before anything starts. */
  readonly files?: DeviceFiles;
  /** Laid over the agent's configuration, top level by top level. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export class FleetGuest {
  readonly lab: Lab;
  readonly controller: Controller;
  /** The network beyond eth0, where the controller is. */
  readonly namespace: Namespace;
  /** Of eth0. */
  readonly address = addresses.device;
  /** The device's name with the controller. */
  readonly id: string;
  readonly #commands: CommandLine;
  #policies = 0;

  private constructor(
    lab: Lab,
    namespace: Namespace,
    controller: Controller,
    commands: CommandLine,
    id: string,
  ) {
    this.lab = lab;
    this.namespace = namespace;
    this.controller = controller;
    this.#commands = commands;
    this.id = id;
  }

  /** Boots a device and waits until it has enrolled. It ends with the test `t`. */
  static async boot(t: Test, options: FleetGuestOptions): Promise<FleetGuest> {
    const { kernel, append = '', files = {}, config = {} } = options;
    mustBeOfThisBuild();
    const lab = await Lab.open();
    const kept = new KeptLogs(t, lab, `image-${kernel}`);
    const { namespace, tap } = layNetwork(lab, [`${addresses.controller}/24`]);
    const controller = await Controller.start(lab, { namespace, address: addresses.controller });
    const join = await controller.join();
    const provision = path.join(lab.folder('provision'), 'disk');
    writeFileSync(provision, packProvision({ join, address: addresses.device, config, files }));
    const machine = new Machine({
      name: `image-${kernel}`,
      prepare: () =>
        deviceArguments({
          image,
          kernel,
          append,
          provision,
          network: `tap,ifname=${tap},script=no,downscript=no`,
        }),
      enter: ['nsenter', `--net=${namespace.path}`, '--'],
      lifeMs,
    });
    const commands = new CommandLine(machine);
    kept.of(machine, commands);
    await commands.ready(bootMsMax);
    const id = await waitFor(
      async () => {
        const rows = await controller.devices();
        return rows.find((row) => row.state === 'up' && row.reported !== null)?.device;
      },
      { what: 'the device to enroll', withinMs: agentMsMax, everyMs: 700 },
    );
    return new FleetGuest(lab, namespace, controller, commands, id);
  }

  /** Runs a shell command in the device, as root and outside of every service. One at a time. */
  async run(command: string, withinMs?: number): Promise<CommandResult> {
    return await this.#commands.run(command, withinMs);
  }

  /**
   * Runs a shell command as an attacker would who found a hole in the device's web pages: as a child of `/usr/sbin/httpd`.
   * `status` is the shell's.
   */
  async inject(command: string, withinMs?: number): Promise<CommandResult> {
    const query = encodeURIComponent(command).replaceAll("'", '%27');
    const { lines } = await this.run(`wget -qO- 'http://127.0.0.1/cgi-bin/run?${query}'`, withinMs);
    const exit = lines.findLastIndex((line) => line.startsWith('husk-exit '));
    if (exit < 0) throw new Error(`the device's web pages did not run it: ${lines.join(' | ')}`);
    return { status: Number(lines[exit]?.split(' ')[1]), lines: lines.slice(0, exit) };
  }

  /** Publishes these documents in place of those before, and returns what the device reports once it is done with them. */
  async publish(yaml: string, trialSeconds = 60): Promise<Reported> {
    const file = path.join(this.lab.dir, `policy-${this.#policies++}.yaml`);
    writeFileSync(file, yaml);
    return await publishAndSettle(this, { files: [file], trialSeconds }, agentMsMax);
  }

  /** The newest events of a stream that have arrived at the controller, oldest first. */
  async events(stream: Stream): Promise<HuskEvent[]> {
    return (await this.controller.events(this.id, stream)).map((row) => row.event);
  }

  /** Waits for an event at the controller. */
  async event(stream: Stream, meant: (event: HuskEvent) => boolean, withinMs = 60_000): Promise<HuskEvent> {
    const what = `an event of the stream ${stream}`;
    return await waitFor(async () => (await this.events(stream)).find(meant), {
      what,
      withinMs,
      everyMs: 700,
    });
  }

  /**
   * Boots again, in order, or as when the power is cut, and returns as soon as commands are taken: before the agent
   * starts. `connected()` waits for that.
   */
  async reboot({ powerCut = false } = {}): Promise<void> {
    this.#commands.send(powerCut ? 'echo b >/proc/sysrq-trigger' : 'reboot');
    await this.#commands.ready(bootMsMax);
  }

  /** Waits until the controller sees a connection that the agent opened after `since` (Unix milliseconds). */
  async connected(since: number): Promise<void> {
    await waitFor(
      async () => {
        const { state, stateAt } = await this.controller.device(this.id);
        return state === 'up' && (stateAt ?? 0) > since;
      },
      { what: 'the device to be connected', withinMs: agentMsMax, everyMs: 700 },
    );
  }
}

/** At the end of a test that fails, keeps what the machine and its agent said, where the next run does not lie. */
class KeptLogs {
  #machine: Machine | null = null;
  #commands: CommandLine | null = null;

  constructor(t: Test, lab: Lab, name: string) {
    t.teardown(async () => {
      const failed = !t.passing();
      if (failed) await this.#keepAgentLog(t, name);
      const kept = await this.#machine?.close({ keepConsole: failed });
      if (kept) t.comment(`console: ${kept}`);
      if (failed) t.comment(lab.logTails());
      await lab.close();
    });
  }

  of(machine: Machine, commands: CommandLine): void {
    this.#machine = machine;
    this.#commands = commands;
  }

  async #keepAgentLog(t: Test, name: string): Promise<void> {
    if (this.#commands === null) return;
    const file = path.join(root, 'build/device', `${name}.log`);
    // One of an earlier failure would be taken for this run's.
    rmSync(file, { force: true });
    try {
      const result = await this.#commands.run('logread', 20_000);
      writeFileSync(file, `${result.lines.join('\n')}\n`);
      t.comment(`the device's log: ${file}`);
    } catch (error) {
      t.comment(`the device's log could not be read: ${error}`);
    }
  }
}

/** An image of an older agent would be tested in its place. */
function mustBeOfThisBuild(): void {
  if (statSync(manifestFile).mtimeMs < statSync(huskAgent).mtimeMs)
    throw new Error('build/image is older than dist/husk-agent: ./build.sh image');
}
