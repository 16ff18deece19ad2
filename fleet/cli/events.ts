// husk events: what devices saw and did, as it was stored; with --follow as it comes.

import { Option } from 'commander';
import { type HuskEvent, type Stream, streams } from '../../agent/contract/event.ts';
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
        io.out(options.json === true ? JSON.stringify(event) : lineOf(io, event));
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

function lineOf(io: Io, { device, ts, receivedAt, event }: StoredEvent): string {
  const when = time(ts ?? receivedAt);
  return `${io.paint('dim', when)} ${device.slice(0, 8)} ${shown(words(event))}`;
}

function words(event: HuskEvent): string {
  switch (event.kind) {
    case 'packet': {
      const times = event.count > 1 ? ` ×${event.count}` : '';
      const from = endpoint(event.from, event.fromPort);
      const to = endpoint(event.to, event.toPort);
      return `${wouldBe(event.mode, event.verdict)} ${event.interface} protocol ${event.protocol} ${from} → ${to} by ${event.rule ?? event.reason}${times}`;
    }
    case 'call': {
      const times = event.count > 1 ? ` ×${event.count}` : '';
      const where =
        event.call === 'socket' ? `${event.family} ${event.type}` : endpoint(event.address, event.port);
      return `${wouldBe(event.mode, event.verdict)} ${event.call} ${where} of ${event.command} (${event.pid}, uid ${event.uid}) in ${event.cgroup} by ${event.rule ?? 'default'}${times}`;
    }
    case 'audit':
      return `${event.what} ${JSON.stringify(event.detail)}`;
    case 'gap':
      return `lost ${event.lost} events (${event.where})`;
  }
}

function wouldBe(mode: 'monitor' | 'enforce', verdict: string): string {
  return mode === 'monitor' && verdict !== 'allow' ? `would ${verdict}` : verdict;
}

function endpoint(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
