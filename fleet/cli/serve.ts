// husk serve: the controller, until a signal ends it.

import { isIP } from 'node:net';
import { InvalidArgumentError } from 'commander';
import { destination, pino } from 'pino';
import { systemClock } from '../clock.ts';
import { Controller } from '../controller.ts';
import { type DataFolder, openDataFolder } from '../data-folder.ts';
import { type CommandFile, type CommonOptions, command, count, mqttsUrl } from './common.ts';
import { Failure, UsageError } from './io.ts';

interface ServeOptions extends CommonOptions {
  readonly listen?: string;
  readonly port: number;
  readonly enrollPort: number;
  readonly broker?: string;
  readonly embedded?: boolean;
  readonly deviceUrl?: string;
  readonly enrollUrl?: string;
  readonly logLevel: string;
}

const logLevels = ['trace', 'debug', 'info', 'warn', 'error'];
/** How long the start waits for its own connection before it says that it listens. */
const connectMs = 10_000;

export const serve: CommandFile = (parent, io) => {
  const port = count(0, 65_535);
  command(parent, io, 'serve', 'Serve the fleet: broker, store, API')
    .option('--listen <address>', 'address to listen on (default: all)', address)
    .option('--port <port>', 'for devices and services: mutual TLS; 0 for any that is free', port, 8883)
    .option('--enroll-port <port>', 'for boxes that enroll: TLS and a token', port, 8884)
    .option(
      '--broker <url>',
      'use this MQTT broker, mqtts://host:port, in place of the embedded one',
      mqttsUrl,
    )
    .option('--embedded', 'the embedded broker (the default without --broker)')
    .option('--no-embedded', 'no embedded broker; needs --broker')
    .option(
      '--device-url <url>',
      'what join lines say devices connect to, where it is not the above',
      mqttsUrl,
    )
    .option('--enroll-url <url>', 'likewise for enrollment', mqttsUrl)
    .option('--log-level <level>', logLevels.join(', '), level, 'info')
    .addHelpText(
      'after',
      `
Where it listens is printed on stdout once it does; the log is JSON lines on stderr. SIGTERM or SIGINT
ends it in order. One data folder is served by one process. Other commands reach it through the socket
in the data folder, also from another network namespace.

A broker of your own: see \`husk broker-config mosquitto --help\`.

Example:
  husk serve --data /srv/husk
  husk serve --data /srv/husk --broker mqtts://mqtt.example.net:8883`,
    )
    .action(async (options: ServeOptions) => {
      const isEmbedded = options.embedded ?? options.broker === undefined;
      if (!isEmbedded && options.broker === undefined) throw new UsageError('--no-embedded needs --broker');
      if (isEmbedded && options.broker !== undefined)
        throw new UsageError('--embedded and --broker exclude each other');
      const log = pino({ level: options.logLevel, base: null }, destination({ fd: 2, sync: true }));
      const data = open(options.data);
      const stopped = signalled();
      const controller = await Controller.start({
        data,
        clock: systemClock,
        log,
        embedded: isEmbedded
          ? { listen: options.listen, port: options.port, enrollPort: options.enrollPort }
          : null,
        broker: options.broker,
        deviceUrl: options.deviceUrl,
        enrollUrl: options.enrollUrl,
      }).catch((error: Error) => {
        throw new Failure(`the controller could not start: ${error.message}`);
      });
      await connected(controller);
      const { listening } = controller;
      const { tenant } = data.config;
      if (options.json === true) io.out(JSON.stringify({ ready: true, tenant, listening }));
      else {
        io.out(`listening for devices on ${listening.devices}, for enrollment on ${listening.enrollment}`);
        io.out(`serving tenant ${tenant}, API on ${listening.api}`);
      }
      const signal = await stopped;
      log.info({ signal }, 'stopping');
      await controller.close();
    });
};

function open(folder: string): DataFolder {
  try {
    return openDataFolder(folder, Date.now);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Failure(`${folder} is not a data folder: make one with \`husk init\``);
    throw new Failure(message);
  }
}

/** The first signal asks for an orderly end; the second does not wait for it. */
function signalled(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let isAsked = false;
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.on(name, () => {
        if (isAsked) process.exit(1);
        isAsked = true;
        resolve(name);
      });
    }
  });
}

async function connected(controller: Controller): Promise<void> {
  const until = Date.now() + connectMs;
  while (!controller.isConnected && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function address(text: string): string {
  if (isIP(text) === 0 && text !== 'localhost') throw new InvalidArgumentError('an IPv4 or IPv6 address');
  return text;
}

function level(text: string): string {
  if (!logLevels.includes(text)) throw new InvalidArgumentError(`one of ${logLevels.join(', ')}`);
  return text;
}
