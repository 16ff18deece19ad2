// husk policy learn: what devices learnt of a service, merged, as a policy for a person to edit.

import { readProfile } from '../policy/profile.ts';
import { proposalText } from '../policy/proposal-text.ts';
import { proposePolicy } from '../policy/propose-policy.ts';
import { askDevices } from './ask-devices.ts';
import { type CommandFile, type CommonOptions, client, collect, command, count } from './common.ts';
import { Failure, shown, UsageError } from './io.ts';

interface Options extends CommonOptions {
  readonly device?: readonly string[];
  readonly all?: boolean;
  readonly policy?: string;
  readonly named: number;
  readonly reads?: boolean;
  readonly within: number;
}

export const policyLearn: CommandFile = (parent, io) => {
  command(parent, io, 'learn', 'Propose a policy from what devices learnt of a service')
    .option('--device <device>', 'ask this device; may be given again', collect)
    .option('--all', 'ask every enrolled device')
    .option('--policy <name>', 'of this policy, where devices learn under several')
    .option(
      '--named <count>',
      'files of a folder, or addresses of a port, that are named one by one',
      count(1, 64),
      5,
    )
    .option('--reads', 'hold reading to what was seen as well')
    .option('--within <seconds>', 'how long to wait for each answer', count(1, 50), 20)
    .addHelpText(
      'after',
      `
First publish a HardeningPolicy with mode: learn, whose subject is the service; it decides nothing, and its devices keep
what the service does. Some time later this command asks them, merges what they kept, and prints a policy to stdout: all
that was seen is allowed, the rest denied, mode monitor, and beside each line on how many devices it was seen. Who gave no
answer is said in it and on stderr.

Example:
  husk policy learn --all > httpd.yaml
  husk policy check httpd.yaml
  husk policy shadow httpd.yaml --all`,
    )
    .action(async (options: Options) => {
      if ((options.all === true) === (options.device !== undefined))
        throw new UsageError('say --all, or --device for each device meant');
      const question = {
        view: 'profile',
        args: options.policy === undefined ? {} : { policy: options.policy },
        withinSeconds: options.within,
      } as const;
      const { answered, unanswered } = await askDevices(client(options), options.device, question);
      const read = answered.map(({ device, rows }) => ({ device, ...readProfile(device, rows) }));
      const profiles = read.flatMap((one) => one.profiles);
      const policies = [...new Set(profiles.map(({ policy }) => policy))].toSorted();
      const silent = [
        ...unanswered.map(({ device, why }) => ({ device, why })),
        ...read
          .filter((one) => one.profiles.length === 0)
          .map(({ device }) => ({ device, why: 'learns nothing' })),
      ];
      for (const { device, why } of silent) io.err(shown(`${device}: ${why}`));
      if (policies.length === 0)
        throw new Failure('no device learns: publish a policy with mode: learn first');
      if (policies.length > 1)
        throw new Failure(shown(`devices learn under ${policies.join(', ')}: say which with --policy`));
      const unread = read.reduce((sum, one) => sum + one.unread, 0);
      if (unread > 0) io.err(`${unread} rows were not understood: devices of another version?`);
      const proposal = proposePolicy(profiles, { namedMax: options.named, reads: options.reads ?? false });
      const lost = profiles.reduce((sum, one) => sum + one.lost, 0);
      if (options.json === true) {
        const { seenOn, ...rest } = proposal;
        io.out(
          JSON.stringify({ ...rest, seenOn: Object.fromEntries(seenOn), unanswered: silent, lost }, null, 2),
        );
      } else io.out(proposalText(proposal, silent, lost).trimEnd());
    });
};
