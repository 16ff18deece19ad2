// husk token list: which tokens there are, without their secrets.

import { type CommandFile, type CommonOptions, client, command, show } from './common.ts';
import { table, time } from './io.ts';

interface Token {
  readonly token: string;
  readonly state: 'open' | 'used' | 'expired' | 'revoked';
  readonly uses: number;
  readonly usesLeft: number;
  readonly expiresAt: number;
}

export const tokenList: CommandFile = (parent, io) => {
  command(parent, io, 'list', 'List enrollment tokens: open, used, expired, revoked').action(
    async (options: CommonOptions) => {
      const tokens = await client(options).get<readonly Token[]>('/v1/tokens');
      show(io, options, tokens, () => {
        const rows = tokens.map((one) => [
          one.token,
          one.state,
          `${one.usesLeft} of ${one.uses}`,
          time(one.expiresAt),
        ]);
        table(io, ['TOKEN', 'STATE', 'USES LEFT', 'EXPIRES'], rows, (column, text) =>
          column === 1 && text === 'open' ? 'green' : null,
        );
      });
    },
  );
};
