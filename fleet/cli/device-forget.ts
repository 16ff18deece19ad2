// husk device forget: for a box that was set up anew, or is gone for good.

import { type CommandFile, type CommonOptions, client, command, show } from './common.ts';

export const deviceForget: CommandFile = (parent, io) => {
  command(
    parent,
    io,
    'forget <device>',
    'Forget a device: it is not served any more and its hardware id is free',
  )
    .addHelpText(
      'after',
      `
The embedded broker ends its connection and takes no new one; with a broker of your own its messages are
not taken any more. What it enforces stays in force on it. Its history is kept.

To bring a forgotten device back, with a new id:
  1. stop its agent and remove the folder identity of its state directory (/var/lib/husk/identity)
  2. husk token create, and put the join line where its agent looks (/etc/husk/join)
  3. start its agent, and publish policy to it again`,
    )
    .action(async (name: string, options: CommonOptions) => {
      const value = await client(options).delete<{ readonly device: string }>(
        `/v1/devices/${encodeURIComponent(name)}`,
      );
      show(io, options, value, () => io.out(`forgot ${value.device}`));
    });
};
