// husk policy publish: files become what devices are to enforce.

import { basename } from 'node:path';
import type { Controller } from '../../agent/policy/classes/expect.ts';
import { formatFault } from '../../agent/policy/faults.ts';
import type { Progress } from '../api/policy.ts';
import { readPolicyFiles } from '../policy/documents.ts';
import { provePolicies } from '../policy/proofs.ts';
import type { ApiClient } from './api-client.ts';
import {
  type CommandFile,
  type CommonOptions,
  client,
  collect,
  command,
  controllers,
  count,
  duration,
  show,
} from './common.ts';
import { Failure, type Io, shown, UsageError } from './io.ts';

interface Options extends CommonOptions {
  readonly device?: readonly string[];
  readonly all?: boolean;
  readonly trial: number;
  readonly title?: string;
  readonly wait?: boolean;
  readonly within?: number;
  readonly controller?: readonly Controller[];
}

interface Published {
  readonly serial: number;
  readonly digest: string;
  readonly length: number;
  readonly title: string;
  readonly devices: readonly string[];
}

interface Followed extends Omit<Published, 'devices'> {
  readonly devices: readonly Progress[];
}

const pollMs = 300;
/** Devices named in what is said at the end; all of them are in the JSON. */
const saidMax = 20;
/** Beside the trial: fetching, compiling, a device that is just coming back. */
const beyondTrialSeconds = 120;

export const policyPublish: CommandFile = (parent, io) => {
  command(parent, io, 'publish <files...>', 'Check, sign and publish policy files to devices')
    .option('--device <device>', 'to this device; may be given again', collect)
    .option('--all', 'to every enrolled device')
    .option(
      '--trial <seconds>',
      'how long a device may try it before it must be confirmed',
      count(1, 86_400),
      120,
    )
    .option('--title <text>', 'what people will see; by default the names of the files')
    .option(
      '--controller <address:port>',
      'prove that devices reach it, as `husk policy check` does',
      controllers,
    )
    .option('--wait', 'follow it until each device has confirmed, refused or returned it')
    .option(
      '--within <time>',
      'wait no longer than this: 90s, 5m (default: the trial and two minutes)',
      duration,
    )
    .addHelpText(
      'after',
      `
All files together become one bundle and replace what the devices enforce. Each device tries it first and
goes back by itself where it loses the way to the controller. Devices that are offline get it when they
come back. A device holds the trial within its own limits (30 s to 30 minutes by default).

With --wait, exit 0 means that every device confirmed it: it could be reached with the policy in force. Which
rules it cannot fully enforce is said at the end, and in \`enforcement\` of --json.

Example:
  husk policy publish branch.yaml --all --trial 60 --wait
  husk policy publish lab.yaml --device router-3 --title "lab: ssh only"`,
    )
    .action(async (files: readonly string[], options: Options) => {
      if ((options.all === true) === (options.device !== undefined)) {
        throw new UsageError('say --all, or --device for each device meant');
      }
      const { documents, faults: read } = readPolicyFiles(files);
      const proven = provePolicies(documents, {
        controllers: options.controller,
        data: options.data,
        progress: io.progress?.bind(io),
      });
      const faults = [...read, ...proven.faults];
      for (const fault of faults) io.err(formatFault(fault));
      const errors = faults.filter((fault) => fault.severity === 'error').length;
      if (errors > 0) throw new Failure(`not published: ${errors} fault${errors === 1 ? '' : 's'}`);
      const api = client(options);
      const published = await api.post<Published>('/v1/bundles', {
        documents,
        title:
          options.title ??
          files
            .map((file) => basename(file))
            .join(', ')
            .slice(0, 200),
        trialSeconds: options.trial,
        devices: options.device ?? 'all',
      });
      const { serial, digest, length, devices } = published;
      if (options.json !== true) {
        io.out(
          `serial ${serial}: ${length} bytes to ${devices.length} device${devices.length === 1 ? '' : 's'}, ${digest}`,
        );
      }
      if (options.wait !== true) {
        if (options.json === true) io.out(JSON.stringify(published, null, 2));
        return;
      }
      const followed = await follow(api, io, serial, options.within ?? options.trial + beyondTrialSeconds);
      show(io, options, followed, () => {});
      const short = followed.devices.flatMap((one) => shortfall(one) ?? []);
      for (const line of short.slice(0, saidMax)) io.err(io.paint('yellow', line));
      if (short.length > saidMax) io.err(`and ${short.length - saidMax} devices more`);
      const wanting = followed.devices.filter((one) => one.result !== 'confirmed');
      if (wanting.length === 0) {
        if (options.json !== true)
          io.out(io.paint('green', `confirmed by ${followed.devices.length} of ${followed.devices.length}`));
        return;
      }
      const reasons = wanting.slice(0, saidMax).map((one) => `  ${nameOf(one)}: ${sentence(one)}`);
      throw new Failure(
        [
          `confirmed by ${followed.devices.length - wanting.length} of ${followed.devices.length}`,
          ...reasons,
        ].join('\n'),
      );
    });
};

/** Until every device is done with it, or time is up; says each step of each device. */
async function follow(api: ApiClient, io: Io, serial: number, withinSeconds: number): Promise<Followed> {
  const until = Date.now() + withinSeconds * 1000;
  const said = new Map<string, string>();
  for (;;) {
    const followed = await api.get<Followed>(`/v1/bundles/${serial}`);
    for (const one of followed.devices) {
      const now = sentence(one);
      if (said.get(one.device) === now) continue;
      said.set(one.device, now);
      io.err(`${nameOf(one)}: ${now}`);
    }
    if (followed.devices.every(isDone) || Date.now() >= until) return followed;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

function isDone(one: Progress): boolean {
  return one.isSuperseded || ['confirmed', 'refused', 'returned', 'superseded'].includes(one.result);
}

/** `vm: 3 of 5 rules degraded: xdp_ingress is not attached to wan0 (husk device show vm)` */
function shortfall(one: Progress): string | null {
  const { enforcement } = one;
  if (one.result !== 'confirmed' || enforcement === null || enforcement.why === null) return null;
  const { rules, degraded, unsupported, why } = enforcement;
  const states = [
    ...(degraded > 0 ? [`${degraded} of ${rules} rules degraded`] : []),
    ...(unsupported > 0 ? [`${unsupported} of ${rules} rules unsupported`] : []),
  ];
  const name = one.hostname === '' ? one.device : one.hostname;
  return shown(`${name}: ${states.join(', ')}: ${why} (husk device show ${one.device.slice(0, 8)})`);
}

function nameOf(one: Progress): string {
  return shown(one.hostname === '' ? one.device : `${one.hostname} ${one.device.slice(0, 8)}`);
}

function sentence(one: Progress): string {
  const why = one.refusal === null ? one.reason : `${one.refusal.code}: ${one.refusal.detail}`;
  const result = one.isSuperseded && one.result === 'offered' ? 'superseded' : one.result;
  const away = one.result === 'offered' && one.state !== 'up' ? ` (${one.state})` : '';
  return shown(`${result}${away}${why === null ? '' : `, ${why}`}`);
}
