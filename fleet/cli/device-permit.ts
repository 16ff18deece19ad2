// husk device permit: for somebody on the device whom it does not believe by himself.

import { Option } from 'commander';
import type { SignedEnvelope } from '../../agent/contract/bundle.ts';
import { type Permit, permitPurposes } from '../../agent/contract/permit.ts';
import { type CommandFile, type CommonOptions, client, command, duration, show } from './common.ts';
import { time } from './io.ts';

interface Options extends CommonOptions {
  readonly purpose: string;
  readonly boot: string;
  readonly valid: number;
}

const hourSeconds = 3600;

export const devicePermit: CommandFile = (parent, io) => {
  command(
    parent,
    io,
    'permit <device>',
    'Sign a permit: one command on the device, once, where it refuses it',
  )
    .addOption(
      new Option('--purpose <what>', 'unprotect is for unload and for an upgrade as well')
        .choices(permitPurposes)
        .makeOptionMandatory(),
    )
    .requiredOption('--boot <id>', "the device's boot, as the command that was refused told it")
    .addOption(
      new Option('--valid <time>', 'from now: 30m, 1h, at most 24h')
        .argParser(duration)
        .default(hourSeconds, '1h'),
    )
    .addHelpText(
      'after',
      `
A device that protects itself takes no commands from what comes from a shielded service: a login by an SSH server
that a shield speaks of, say. A permit lets one through. It is for that device, that boot and that purpose, is
good once, and needs no link: carry it there as a file.

Example:
  husk device permit gw-7 --purpose unprotect --boot 4f1c…9a > permit.json
  (on the device)  husk-agent unprotect --permit permit.json`,
    )
    .action(async (name: string, options: Options) => {
      const { purpose, boot, valid } = options;
      const signed = await client(options).post<Permit & { readonly envelope: SignedEnvelope }>(
        `/v1/devices/${encodeURIComponent(name)}/permits`,
        { purpose, boot, validSeconds: valid },
      );
      // With --json too it is the permit that the device takes: what stands in it is signed.
      show(io, { json: true }, signed.envelope, () => {});
      const until = time(signed.notAfter * 1000);
      io.err(io.paint('dim', `permit ${signed.id}: ${purpose} on ${signed.device}, until ${until}`));
    });
};
