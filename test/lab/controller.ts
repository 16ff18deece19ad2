// A controller of a lab: dist/husk with a data folder of its own, serving in a namespace, asked through its
// command line like an operator would.

import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { envelopeKinds } from '../../agent/contract/envelope.ts';
import type { HuskEvent, SpooledEvent, Stream } from '../../agent/contract/event.ts';
import type { Reported } from '../../agent/contract/state.ts';
import { deviceTopics } from '../../agent/contract/topics.ts';
import { husk } from './executables.ts';
import type { Lab } from './lab.ts';
import type { Namespace } from './namespace.ts';
import type { Program } from './program.ts';
import { type Answer, ask } from './system.ts';

export interface ControllerOptions {
  readonly namespace: Namespace;
  /** Where devices reach it. */
  readonly address: string;
  readonly tenant?: string;
  /** Default: the one built in. */
  readonly broker?: 'embedded' | 'mosquitto';
}

export interface DeviceRow {
  readonly device: string;
  readonly state: 'never' | 'up' | 'bye' | 'gone' | 'offline';
  /** Unix milliseconds. */
  readonly stateAt: number | null;
  readonly reported: Reported | null;
}

export interface EventRow extends SpooledEvent {
  readonly stream: Stream;
}

export interface Publication {
  /** Policy files, given to the command as they are. */
  readonly files: readonly string[];
  readonly trialSeconds?: number;
  /** Wait until every device has said what became of it. */
  readonly wait?: boolean;
}

export class Controller {
  readonly data: string;
  readonly tenant: string;
  readonly address: string;
  readonly #lab: Lab;
  readonly #options: ControllerOptions;
  #program: Program | null = null;
  #mosquitto: Program | null = null;

  private constructor(lab: Lab, options: ControllerOptions, data: string) {
    this.#lab = lab;
    this.#options = options;
    this.data = data;
    this.tenant = options.tenant ?? 'demo';
    this.address = options.address;
  }

  static async start(lab: Lab, options: ControllerOptions): Promise<Controller> {
    const controller = new Controller(lab, options, join(lab.folder('controller'), 'data'));
    const { data, tenant, address } = controller;
    await controller.#must(['init', data, '--tenant', tenant, '--name', address]);
    if (options.broker === 'mosquitto') await controller.startMosquitto();
    await controller.serve();
    return controller;
  }

  get program(): Program {
    if (this.#program === null) throw new Error('the controller is not serving');
    return this.#program;
  }

  async serve(): Promise<void> {
    const { broker, enroll } = portsServed;
    const at = (port: number): string => `mqtts://${this.address}:${port}`;
    const place =
      this.#options.broker === 'mosquitto'
        ? ['--broker', at(broker), '--device-url', at(broker), '--enroll-url', at(enroll)]
        : ['--listen', this.address, '--port', String(broker), '--enroll-port', String(enroll)];
    this.#program = this.#lab.start('controller', {
      argv: [husk, 'serve', '--data', this.data, ...place],
      namespace: this.#options.namespace,
    });
    await this.#program.line(/listening/, 90_000);
  }

  /** A Mosquitto in the controller's namespace, with the configuration that husk writes for it. */
  async startMosquitto(): Promise<void> {
    const out = join(this.data, '../mosquitto');
    const { broker, enroll } = portsServed;
    const place = ['--listen', this.address, '--port', String(broker), '--enroll-port', String(enroll)];
    await this.#must(['broker-config', 'mosquitto', '--out', out, ...place, '--data', this.data]);
    const config = join(out, 'mosquitto.conf');
    // The lab's folder is root's alone; a site would give its own to mosquitto's user.
    appendFileSync(config, '\nuser root\nlog_dest stderr\n');
    const argv = ['mosquitto', '-c', config];
    this.#mosquitto = this.#lab.start('mosquitto', { argv, namespace: this.#options.namespace });
    await this.#mosquitto.line(/running/, 10_000);
  }

  get mosquitto(): Program {
    if (this.#mosquitto === null) throw new Error('there is no mosquitto');
    return this.#mosquitto;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#program?.stop(signal);
    this.#program = null;
  }

  /** Any command; `--data` is added. A failure is an answer too. */
  cli(args: readonly string[], timeoutMs = 120_000): Promise<Answer> {
    return ask(husk, [...args, '--data', this.data], { timeoutMs });
  }

  /** A one-time token as the line a device joins with. */
  async join(): Promise<string> {
    const out = await this.#json(['token', 'create']);
    const join = (out as { join?: unknown }).join;
    if (typeof join !== 'string') throw new Error(`no join line in ${JSON.stringify(out)}`);
    return join;
  }

  async devices(): Promise<DeviceRow[]> {
    return (await this.#json(['device', 'list'])) as DeviceRow[];
  }

  async device(id: string): Promise<DeviceRow> {
    return (await this.#json(['device', 'show', id])) as DeviceRow;
  }

  /** Publishes to all devices; returns what the command says. */
  publish({ files, trialSeconds, wait = false }: Publication): Promise<Answer> {
    const trial = trialSeconds === undefined ? [] : ['--trial', String(trialSeconds)];
    return this.cli([
      'policy',
      'publish',
      ...files,
      '--all',
      ...trial,
      ...(wait ? ['--wait'] : []),
      '--json',
    ]);
  }

  /** The rows of a view. */
  async query(device: string, view: string, args: readonly string[] = []): Promise<readonly unknown[]> {
    return (await this.#json(['query', device, view, ...args])) as readonly unknown[];
  }

  /** The newest events of a device in a stream, oldest first. */
  async events(device: string, stream: Stream): Promise<EventRow[]> {
    const which = ['--device', device, '--stream', stream, '--count', '10000'];
    return (await this.#json(['events', ...which])) as EventRow[];
  }

  /** Of those, the ones of a kind. */
  async eventsOf<Kind extends keyof typeof streamOf>(
    device: string,
    kind: Kind,
  ): Promise<Extract<HuskEvent, { kind: Kind }>[]> {
    const all = (await this.events(device, streamOf[kind])).map((row) => row.event);
    return all.filter((event): event is Extract<HuskEvent, { kind: Kind }> => event.kind === kind);
  }

  /** For a person with a terminal: everything devices publish, by a certificate that may read it. */
  watchCommand(from: Namespace): string {
    return [
      ...this.#mosquittoClient('mosquitto_sub', from),
      '-t',
      `'husk/${this.tenant}/d/+/up/#'`,
      '-v',
    ].join(' ');
  }

  /** A question to a device; its answer is among what the other command shows. */
  askCommand(from: Namespace, device: string): string {
    const body = { id: '1', view: 'status', who: 'operator', withinMs: 5000 };
    const topic = deviceTopics(this.tenant, device).request;
    const message = JSON.stringify({ v: 1, k: envelopeKinds.query, body });
    return [
      ...this.#mosquittoClient('mosquitto_pub', from),
      '-q',
      '1',
      '-t',
      topic,
      '-m',
      `'${message}'`,
    ].join(' ');
  }

  #mosquittoClient(program: string, from: Namespace): string[] {
    const file = (name: string): string => join(this.data, name);
    const tls = [
      '--cafile',
      file('authority.pem'),
      '--cert',
      file('operator.pem'),
      '--key',
      file('operator.key'),
    ];
    const broker = ['-h', this.address, '-p', String(portsServed.broker)];
    return ['nsenter', `--net=${from.path}`, program, ...tls, ...broker];
  }

  async #json(args: readonly string[]): Promise<unknown> {
    return JSON.parse(await this.#must([...args, '--json', '--data', this.data]));
  }

  async #must(args: readonly string[]): Promise<string> {
    const { code, out, complaint } = await ask(husk, args);
    if (code !== 0)
      throw new Error(`husk ${args.join(' ')}: exit ${code}: ${complaint.trim() || out.trim()}`);
    return out;
  }
}

/** Where events of a kind are; gaps are in all. */
const streamOf = { audit: 'audit', call: 'alert', packet: 'packet' } as const;
const portsServed = { broker: 8883, enroll: 8884 } as const;
