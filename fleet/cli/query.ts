// husk query: a question to a device, answered from what it is now.

import { Argument } from 'commander';
import { type View, views } from '../../agent/contract/query.ts';
import { eventWords } from '../../agent/policy/event-words.ts';
import { parseEventRow } from '../inbox/message.ts';
import { type CommandFile, type CommonOptions, client, command, count, show } from './common.ts';
import { type Io, shown, table, time, UsageError } from './io.ts';

interface Options extends CommonOptions {
  readonly within: number;
}

interface Answer {
  readonly rows: readonly unknown[];
}

export const query: CommandFile = (parent, io) => {
  const list = Object.entries(views).map(([name, what]) => `  ${name.padEnd(12)}${what}`);
  command(parent, io, 'query', 'Ask a device: status, interfaces, rules with counters, sets, events')
    .argument('<device>', 'id, the beginning of it, or a unique host name')
    .addArgument(new Argument('<view>', 'what to ask for').choices(Object.keys(views)))
    .argument('[arguments...]', 'key=value; numbers, true and false are taken as such')
    .option('--within <seconds>', 'how long to wait for the answer', count(1, 50), 10)
    .addHelpText(
      'after',
      `
Views:
${list.join('\n')}

Nothing is changed on a device by a question.

Example:
  husk query router-3 rules
  husk query router-3 events count=200 --json`,
    )
    .action(async (device: string, view: View, given: readonly string[], options: Options) => {
      const args = Object.fromEntries(given.map(argument));
      const path = `/v1/devices/${encodeURIComponent(device)}/query`;
      const { rows } = await client(options).post<Answer>(path, {
        view,
        args,
        withinMs: options.within * 1000,
      });
      show(io, options, rows, () => {
        if (rows.length === 0) io.out(io.paint('dim', 'no rows'));
        else if (view === 'events') for (const row of rows) io.out(eventLine(io, row));
        else if (rows.length === 1)
          for (const [key, value] of entries(rows[0])) io.out(`${key.padEnd(16)} ${cell(value)}`);
        else {
          const columns = [...new Set(rows.flatMap((row) => entries(row).map(([key]) => key)))];
          const lines = rows.map((row) => {
            const members = new Map(entries(row));
            return columns.map((column) => cell(members.get(column)));
          });
          table(
            io,
            columns.map((column) => column.toUpperCase()),
            lines,
          );
        }
      });
    });
};

/** What a device of another version says differently is shown as it came. */
function eventLine(io: Io, row: unknown): string {
  const event = parseEventRow(row);
  if (event === null) return shown(cell(row));
  return `${io.paint('dim', time(event.ts))} ${event.stream.padEnd(5)} ${shown(eventWords(event.event))}`;
}

function argument(text: string): readonly [string, unknown] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`"${text}": arguments are written key=value`);
  const value = text.slice(at + 1);
  if (value === 'true' || value === 'false') return [text.slice(0, at), value === 'true'];
  if (/^-?\d{1,15}$/.test(value)) return [text.slice(0, at), Number(value)];
  return [text.slice(0, at), value];
}

function entries(row: unknown): readonly (readonly [string, unknown])[] {
  return typeof row === 'object' && row !== null ? Object.entries(row) : [['value', row]];
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
