// husk token create: the line a device joins with.

import { Option } from 'commander';
import {
  type CommandFile,
  type CommonOptions,
  client,
  command,
  count,
  duration,
  mqttsUrl,
  show,
} from './common.ts';
import { time } from './io.ts';

interface Options extends CommonOptions {
  readonly uses: number;
  readonly expires: number;
  readonly deviceUrl?: string;
  readonly enrollUrl?: string;
}

interface Created {
  readonly token: string;
  readonly join: string;
  readonly uses: number;
  readonly expiresAt: number;
}

const daySeconds = 86_400;

export const tokenCreate: CommandFile = (parent, io) => {
  command(parent, io, 'create', 'Make an enrollment token and print the join line for a device')
    .option('--uses <n>', 'how many devices may enroll with it', count(1, 100_000), 1)
    .addOption(
      new Option('--expires <time>', 'until when it is good, from now: 90s, 30m, 24h, 7d')
        .argParser(duration)
        .default(daySeconds, '24h'),
    )
    .option(
      '--device-url <url>',
      'where devices reach the broker, where it differs: mqtts://host:port',
      mqttsUrl,
    )
    .option('--enroll-url <url>', 'where they enroll, likewise', mqttsUrl)
    .addHelpText(
      'after',
      `
The join line holds the token's secret and pins whom the device believes. Give it to the device over a way
you trust; it is shown once.

Example:
  husk token create --uses 50 --expires 7d > join
  (on the device: put it at /etc/husk/join, and in /etc/husk/agent.json: "join": "/etc/husk/join")`,
    )
    .action(async (options: Options) => {
      const { uses, expires, deviceUrl, enrollUrl } = options;
      const made = await client(options).post<Created>('/v1/tokens', {
        uses,
        expiresInSeconds: expires,
        ...(deviceUrl === undefined ? {} : { deviceUrl }),
        ...(enrollUrl === undefined ? {} : { enrollUrl }),
      });
      show(io, options, made, () => {
        io.out(made.join);
        io.err(
          io.paint(
            'dim',
            `token ${made.token}: for ${uses} device${uses === 1 ? '' : 's'}, until ${time(made.expiresAt)}`,
          ),
        );
      });
    });
};
