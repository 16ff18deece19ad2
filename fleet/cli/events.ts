// husk events: what devices saw and did, as it was stored; with --follow as it comes.

import { Option } from 'commander';
import { type Stream, streams } from '../../agent/contract/event.ts';
import { eventDetails, eventWords } from '../../agent/policy/event-words.ts';
import type { StoredEvent } from '../store/events.ts';
import { type CommandFile, type CommonOptions, client, command, count } from './common.ts';
import { type Io, shown, time } from './io.ts';

interface Options extends CommonOptions {
  readonly device?: string;
  readonly stream?: Stream;
  readonly count: number;
  readonly follow?: boolean;
}

/** The server answers at the first event or after this. */
const waitMs = 20_000;

export const events: CommandFile = (parent, io) => {
  command(parent, io, 'events', 'Show events of the fleet: dropped packets, denied calls, what agents did')
    .option('--device <device>', 'of this device only')
    .addOption(new Option('--stream <stream>', 'of this stream only').choices([...streams]))
    .option('--count <n>', 'how many of the newest', count(1, 10_000), 1000)
    .option('--follow', 'go on as they come, until interrupted')
    .addHelpText(
      'after',
      `
With --json one array; with --json --follow one event a line. \`gap\` stands where events were lost, with how many.
Of what a task was denied (killed, would-deny) or seen doing (observed) it is said who did it, from which programs it
comes, the nearest first, and what would allow it. ×20 in 4.0 s: so many alike. Fields carry OCSF's names where it has
one: agent/events/README.md.

Example:
  husk events --device router-3 --follow
  husk events --stream alert --json | jq '.[].event'`,
    )
    .action(async (options: Options) => {
      const { device, stream } = options;
      const api = client(options);
      const newest = await api.get<readonly StoredEvent[]>('/v1/events', {
        device,
        stream,
        count: options.count,
      });
      if (options.json === true && options.follow !== true) {
        io.out(JSON.stringify(newest, null, 2));
        return;
      }
      const say = (event: StoredEvent) =>
        io.out(options.json === true ? JSON.stringify(event) : linesOf(io, event));
      for (const event of newest) say(event);
      if (options.follow !== true) return;
      let after = newest.at(-1)?.id ?? 0;
      for (;;) {
        const more = await api.get<readonly StoredEvent[]>('/v1/events', { device, stream, after, waitMs });
        for (const event of more) say(event);
        after = more.at(-1)?.id ?? after;
      }
    });
};

function linesOf(io: Io, { device, ts, receivedAt, event }: StoredEvent): string {
  const when = time(ts ?? receivedAt);
  const line = `${io.paint('dim', when)} ${device.slice(0, 8)} ${shown(eventWords(event))}`;
  return [line, ...eventDetails(event).map((detail) => io.paint('dim', `    ${shown(detail)}`))].join('\n');
}
