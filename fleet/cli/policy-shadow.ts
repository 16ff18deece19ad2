// husk policy shadow: a candidate judged on devices beside what they enforce; what it would decide otherwise.

import { basename } from 'node:path';
import * as z from 'zod';
import { formatFault } from '../../agent/policy/faults.ts';
import { readPolicyFiles } from '../policy/documents.ts';
import { askDevices } from './ask-devices.ts';
import { type CommandFile, type CommonOptions, client, collect, command, count, show } from './common.ts';
import { Failure, type Io, shown, table, UsageError } from './io.ts';

interface Options extends CommonOptions {
  readonly device?: readonly string[];
  readonly all?: boolean;
  readonly title?: string;
  readonly show?: boolean;
  readonly stop?: boolean;
  readonly within: number;
}

export const policyShadow: CommandFile = (parent, io) => {
  command(
    parent,
    io,
    'shadow [files...]',
    'Judge a candidate beside the policy in force, and see what differs',
  )
    .option('--device <device>', 'on this device; may be given again', collect)
    .option('--all', 'on every enrolled device')
    .option('--show', 'what it decides otherwise than the policy in force: differences alone')
    .option('--stop', 'end it')
    .option('--title <text>', 'what people will see; by default the names of the files')
    .option('--within <seconds>', 'with --show: how long to wait for each answer', count(1, 50), 20)
    .addHelpText(
      'after',
      `
The candidate is signed and handed out like a policy, and decides nothing: in the kernel of each device every operation and call
that hardening is about is judged by it as well, and where its verdict is another, that is counted, by operation, object and both
rules. Packets are not judged in shadow. It borrows the place of the next policy: when one is published, the shadow is over.

Example:
  husk policy shadow httpd.yaml --device router-3
  husk policy shadow --show --device router-3
  husk policy shadow --stop --all`,
    )
    .action(async (files: readonly string[], options: Options) => {
      if (options.all === true && options.device !== undefined)
        throw new UsageError('say --all, or --device for each device meant');
      const ways = [options.show === true, options.stop === true, files.length > 0].filter(Boolean).length;
      if (ways !== 1) throw new UsageError('say files to judge by, --show or --stop');
      if (options.show === true) return showDifferences(io, options);
      if (options.all !== true && options.device === undefined)
        throw new UsageError('say --all, or --device for each device meant');
      if (options.stop === true) return stop(io, options);
      return begin(io, files, options);
    });
};

async function begin(io: Io, files: readonly string[], options: Options): Promise<void> {
  const { documents, faults } = readPolicyFiles(files);
  for (const fault of faults) io.err(formatFault(fault));
  const errors = faults.filter((fault) => fault.severity === 'error').length;
  if (errors > 0) throw new Failure(`not handed out: ${errors} fault${errors === 1 ? '' : 's'}`);
  const title = options.title ?? files.map((file) => basename(file)).join(', ');
  const order = { documents, title: title.slice(0, 200), devices: options.device ?? 'all' };
  const made = await client(options).post<{ serial: number; devices: readonly string[] }>(
    '/v1/shadow',
    order,
  );
  show(io, options, made, ({ serial, devices }) => {
    io.out(`serial ${serial}: in shadow on ${devices.length} device${devices.length === 1 ? '' : 's'}`);
  });
}

async function stop(io: Io, options: Options): Promise<void> {
  const order = { devices: options.device ?? 'all' };
  const made = await client(options).post<{ devices: readonly string[] }>('/v1/shadow/stop', order);
  show(io, options, made, ({ devices }) => {
    io.out(`ended on ${devices.length} device${devices.length === 1 ? '' : 's'}`);
  });
}

const head = z.looseObject({
  judging: z.looseObject({ serial: z.number() }).nullable(),
  assignment: z.looseObject({ state: z.string(), why: z.string().optional() }).nullable(),
  lost: z.union([z.number(), z.string()]),
});
const difference = z.looseObject({
  live: z.enum(['allow', 'deny']),
  shadow: z.enum(['allow', 'deny']),
  liveRule: z.string().nullable(),
  shadowRule: z.string().nullable(),
  operation: z.string(),
  count: z.union([z.number(), z.string()]),
});

async function showDifferences(io: Io, options: Options): Promise<void> {
  const question = { view: 'shadow', args: {}, withinSeconds: options.within } as const;
  const { answered, unanswered } = await askDevices(client(options), options.device, question);
  const devices = answered.map(({ device, hostname, rows }) => ({
    device,
    hostname,
    status: rows.flatMap((row) => head.safeParse(row).data ?? [])[0] ?? null,
    differences: rows.flatMap((row) => difference.safeParse(row).data ?? []),
  }));
  show(io, options, { devices, unanswered }, () => {
    for (const one of devices) describe(io, one);
  });
  if (options.json !== true) for (const { device, why } of unanswered) io.err(shown(`${device}: ${why}`));
  if (answered.length === 0) throw new Failure('no device answered');
}

interface Shown {
  readonly device: string;
  readonly hostname: string;
  readonly status: z.infer<typeof head> | null;
  readonly differences: readonly z.infer<typeof difference>[];
}

function describe(io: Io, { device, hostname, status, differences }: Shown): void {
  const { judging = null, assignment = null, lost = 0 } = status ?? {};
  const state = judging === null ? 'nothing in shadow' : `serial ${judging.serial} in shadow`;
  const last =
    assignment === null
      ? ''
      : `, ${assignment.state}${assignment.why === undefined ? '' : `: ${assignment.why}`}`;
  const gone = Number(lost) > 0 ? `, ${lost} not kept for want of room` : '';
  io.out(shown(`${hostname === '' ? device : `${hostname} ${device.slice(0, 8)}`}: ${state}${last}${gone}`));
  if (differences.length === 0) {
    io.out(io.paint('dim', '  no differences'));
    return;
  }
  const rows = differences.map((one) => [
    one.operation,
    `${one.live} by ${one.liveRule ?? 'no rule'}`,
    `${one.shadow} by ${one.shadowRule ?? 'no rule'}`,
    objectOf(one),
    String(one.count),
    `${one.command ?? '-'} ${one.pid ?? ''} uid ${one.uid ?? '-'}`,
  ]);
  table(
    io,
    ['OPERATION', 'NOW', 'IN SHADOW', 'OBJECT', 'COUNT', 'FIRST BY'],
    rows.map((row) => row.map(shown)),
  );
}

function objectOf(one: Readonly<Record<string, unknown>>): string {
  const { path, startedAs, address, port, protocol, capability, number, within } = one;
  if (typeof path === 'string') return typeof startedAs === 'string' ? `${path} as ${startedAs}` : path;
  if (address !== undefined) return `${address} ${protocol}/${port}`;
  return String(capability ?? number ?? within ?? '-');
}
