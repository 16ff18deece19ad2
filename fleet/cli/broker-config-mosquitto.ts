// husk broker-config mosquitto: our rules for a Mosquitto of the site's own.

import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { systemMessageOf } from '../../agent/contract/thrown.ts';
import { devicePattern, namePattern } from '../../agent/contract/topics.ts';
import { openDataFolder } from '../data-folder.ts';
import { mosquittoFiles } from '../link/mosquitto.ts';
import { type CommandFile, type CommonOptions, collect, command, count, show } from './common.ts';
import { Failure } from './io.ts';

interface Options extends CommonOptions {
  readonly out: string;
  readonly listen?: string;
  readonly port: number;
  readonly enrollPort: number;
  readonly servicesPort: number;
  readonly servicesListen: string;
  readonly service?: readonly string[];
}

export const brokerConfigMosquitto: CommandFile = (parent, io) => {
  const port = count(1, 65_535);
  command(parent, io, 'mosquitto', 'Write a configuration and access lists for Mosquitto 2')
    .requiredOption('--out <dir>', 'folder to write to; made where it is not there')
    .option('--listen <address>', 'address for devices and enrollment (default: all)')
    .option('--port <port>', 'for devices and the controller', port, 8883)
    .option('--enroll-port <port>', 'for boxes that enroll', port, 8884)
    .option('--services-port <port>', 'for service certificates', port, 8885)
    .option('--services-listen <address>', 'address for them', '127.0.0.1')
    .option('--service <name>', 'name of a further service certificate; may be given again', service)
    .addHelpText(
      'after',
      `
The folder then holds mosquitto.conf, an access list for each of three listeners, and copies of authority.pem,
server.pem and server.key. It must belong to the user that mosquitto runs as. What Mosquitto cannot enforce is
said at the top of mosquitto.conf.

Example:
  husk broker-config mosquitto --data /srv/husk --out /etc/mosquitto/husk
  chown -R mosquitto: /etc/mosquitto/husk
  mosquitto -c /etc/mosquitto/husk/mosquitto.conf
  husk serve --data /srv/husk --broker mqtts://localhost:8883`,
    )
    .action((options: Options) => {
      const folder = resolve(options.out);
      const data = (() => {
        try {
          return openDataFolder(options.data, Date.now);
        } catch (error) {
          throw new Failure(`${options.data}: ${systemMessageOf(error)}`);
        }
      })();
      const { paths, config } = data;
      const files = mosquittoFiles({
        tenant: config.tenant,
        folder,
        listen: options.listen,
        port: options.port,
        enrollPort: options.enrollPort,
        servicesPort: options.servicesPort,
        servicesListen: options.servicesListen,
        services: ['operator', ...(options.service ?? [])],
      });
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      for (const { name, content } of files) writeFileSync(join(folder, name), content, { mode: 0o600 });
      writeFileSync(join(folder, 'authority.pem'), readFileSync(paths.pem('authority')), { mode: 0o600 });
      writeFileSync(join(folder, 'server.pem'), readFileSync(paths.pem('server')), { mode: 0o600 });
      const key = join(folder, 'server.key');
      copyFileSync(paths.key('server'), key);
      chmodSync(key, 0o600);
      const names = [...files.map(({ name }) => name), 'authority.pem', 'server.pem', 'server.key'];
      show(io, options, { folder, files: names }, () => {
        io.out(`wrote ${names.join(', ')} to ${folder}`);
      });
    });
};

function service(text: string, before?: readonly string[]): readonly string[] {
  if (!namePattern.test(text) || devicePattern.test(text) || text === 'controller') {
    throw new InvalidArgumentError('lower case letters, digits and -; not the form of a device id');
  }
  return collect(text, before);
}
