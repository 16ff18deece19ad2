// A controller with a data folder of its own, and the command line to it, in this process.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Test } from 'tap';
import type { Io } from '../../fleet/cli/io.ts';
import { run } from '../../fleet/cli/program.ts';
import type { Clock } from '../../fleet/clock.ts';
import { systemClock } from '../../fleet/clock.ts';
import { Controller, type ControllerOptions } from '../../fleet/controller.ts';
import { createDataFolder, type DataFolder, openDataFolder } from '../../fleet/data-folder.ts';
import { type EnrolledDevice, enroll, eventually, SimulatedDevice } from './simulated-device.ts';

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One command, as typed; `--data` is not added. Its complaints and its progress grow in `err` while it runs. */
export async function husk(words: readonly string[], env: Io['env'] = {}, err: string[] = []): Promise<Said> {
  const out: string[] = [];
  const code = await run(words, {
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    paint: (_style, text) => text,
    env,
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

export interface Where {
  /** Of a broker elsewhere; without it the embedded one. */
  readonly broker?: { readonly port: number; readonly enrollPort: number };
}

export class TestController {
  readonly folder: string;
  readonly data: DataFolder;
  #controller: Controller | null = null;
  #ports = { device: 0, enroll: 0 };
  readonly #clock: Clock;
  readonly #more: Partial<ControllerOptions>;

  constructor(t: Test, more: Partial<ControllerOptions> = {}, clock: Clock = systemClock) {
    const above = mkdtempSync(join(tmpdir(), 'husk-fleet-'));
    this.folder = join(above, 'data');
    this.data = createDataFolder(this.folder, { tenant: 'acme', names: ['127.0.0.1'], now: Date.now() });
    this.#clock = clock;
    this.#more = more;
    t.teardown(async () => {
      await this.stop();
      rmSync(above, { recursive: true, force: true });
    });
  }

  get controller(): Controller {
    if (this.#controller === null) throw new Error('the controller is not running');
    return this.#controller;
  }
  get ports(): { readonly device: number; readonly enroll: number } {
    return this.#ports;
  }

  /** On the same ports as before, where there was a before. */
  async start(where: Where = {}): Promise<void> {
    const { broker } = where;
    this.#controller = await Controller.start({
      data: openDataFolder(this.folder, Date.now),
      clock: this.#clock,
      log: pino({ level: process.env.HUSK_TEST_LOG ?? 'silent' }),
      embedded:
        broker === undefined
          ? { listen: '127.0.0.1', port: this.#ports.device, enrollPort: this.#ports.enroll }
          : null,
      ...(broker === undefined
        ? {}
        : {
            broker: `mqtts://127.0.0.1:${broker.port}`,
            enrollUrl: `mqtts://127.0.0.1:${broker.enrollPort}`,
          }),
      ...this.#more,
    });
    this.#ports =
      broker === undefined ? this.#controller.ports : { device: broker.port, enroll: broker.enrollPort };
    await eventually(() => this.controller.isConnected, 'the controller to be connected');
  }

  async stop(): Promise<void> {
    const controller = this.#controller;
    this.#controller = null;
    await controller?.close();
  }

  cli(...words: readonly string[]): Promise<Said> {
    return husk(words, { HUSK_DATA: this.folder });
  }

  /** The same, where what it has said so far matters before it ends. */
  running(...words: readonly string[]): { readonly ended: Promise<Said>; readonly err: readonly string[] } {
    const err: string[] = [];
    return { ended: husk(words, { HUSK_DATA: this.folder }, err), err };
  }

  async json<T>(...words: readonly string[]): Promise<T> {
    const said = await this.cli(...words, '--json');
    if (said.code !== 0) throw new Error(`husk ${words.join(' ')}: ${said.err}`);
    return JSON.parse(said.out) as T;
  }

  async enroll(options: { readonly hardwareId?: string } = {}): Promise<EnrolledDevice> {
    const { join: line } = await this.json<{ join: string }>('token', 'create');
    return await enroll({
      ...{ join: line, port: this.#ports.enroll, authority: this.data.authority.certificate },
      ...options,
    });
  }

  /** Enrolled, connected and born. */
  async device(options: { readonly hardwareId?: string } = {}): Promise<SimulatedDevice> {
    const device = await SimulatedDevice.connect(await this.enroll(options), this.#ports.device);
    await device.birth();
    return device;
  }
}

/** A policy that any device can enforce, as a file's content. */
export const somePolicy = `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: branch }
spec:
  mode: enforce
  zones: { wan: { interfaces: [wan0] } }
  sets: { listed: { addressSet: bad } }
  ingress:
    - zone: wan
      default: allow
      rules:
        - { id: listed, from: { set: listed }, action: drop }
  egress: []
---
apiVersion: husk/v1
kind: AddressSet
metadata: { name: bad }
spec: { addresses: [192.0.2.0/24, "2001:db8::/32"] }
`;
