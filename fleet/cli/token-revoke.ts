// husk token revoke: nobody enrolls with it from now on.

import { type CommandFile, type CommonOptions, client, command, show } from './common.ts';

export const tokenRevoke: CommandFile = (parent, io) => {
  command(parent, io, 'revoke <token>', 'End an enrollment token; devices that have enrolled stay').action(
    async (token: string, options: CommonOptions) => {
      const value = await client(options).delete<{ readonly token: string }>(
        `/v1/tokens/${encodeURIComponent(token)}`,
      );
      show(io, options, value, () => io.out(`revoked ${value.token}`));
    },
  );
};
