// husk audit: who changed what.

import type { StoredAuditEntry } from '../store/audit.ts';
import { type CommandFile, type CommonOptions, client, command, count, show } from './common.ts';
import { table, time } from './io.ts';

export const audit: CommandFile = (parent, io) => {
  command(parent, io, 'audit', 'Show who changed what: tokens, enrollments, policies')
    .option('--count <n>', 'how many of the newest', count(1, 1000), 100)
    .action(async (options: CommonOptions & { readonly count: number }) => {
      const entries = await client(options).get<readonly StoredAuditEntry[]>('/v1/audit', {
        count: options.count,
      });
      show(io, options, entries, () => {
        const rows = entries.map((one) => [
          time(one.at),
          one.who,
          one.what,
          one.object,
          JSON.stringify(one.detail),
        ]);
        table(io, ['TIME', 'WHO', 'WHAT', 'OBJECT', 'DETAIL'], rows);
      });
    });
};
