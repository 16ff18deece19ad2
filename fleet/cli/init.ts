// husk init: keys, authority, certificates, data folder.

import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { systemMessageOf } from '../../agent/contract/thrown.ts';
import { namePattern } from '../../agent/contract/topics.ts';
import { createDataFolder } from '../data-folder.ts';
import { type CommandFile, dataDefault, show, withJson } from './common.ts';
import { Failure } from './io.ts';

export const init: CommandFile = (parent, io) => {
  withJson(parent, 'init [dir]', 'Make a controller: signing key, certificate authority, data folder')
    .requiredOption('--tenant <name>', 'who the fleet belongs to: lower case letters, digits and -', tenant)
    .option(
      '--name <names>',
      'DNS names and addresses devices reach it by, with commas; the first goes into join lines',
      names,
    )
    .addHelpText(
      'after',
      `
The folder (default: HUSK_DATA where it is set, else ${dataDefault}) is readable by its owner alone and holds everything the
controller is: keep a copy of it somewhere safe. An existing folder is never overwritten.

localhost, 127.0.0.1 and ::1 are always among the names.

Example:
  husk init /srv/husk --tenant acme --name husk.example.net,192.0.2.10
  husk serve --data /srv/husk`,
    )
    .action(
      (dir: string | undefined, options: { tenant: string; name?: readonly string[]; json?: boolean }) => {
        const folder = dir ?? io.env.HUSK_DATA ?? dataDefault;
        const made = (() => {
          try {
            return createDataFolder(folder, {
              tenant: options.tenant,
              names: options.name ?? [],
              now: Date.now(),
            });
          } catch (error) {
            throw new Failure(`${folder}: ${systemMessageOf(error)}`);
          }
        })();
        const { paths, config, authority, signer } = made;
        const value = {
          data: paths.folder,
          tenant: config.tenant,
          names: config.names,
          authority: authority.digest,
          signer: signer.keyid,
          files: {
            authority: paths.pem('authority'),
            operator: { certificate: paths.pem('operator'), key: paths.key('operator') },
          },
        };
        show(io, options, value, () => {
          io.out(`${io.paint('green', 'made')} ${paths.folder} for tenant ${config.tenant}`);
          io.out(`  names      ${config.names.join(', ')}`);
          io.out(`  authority  ${authority.digest}`);
          io.out(`  signer     ${signer.keyid}`);
          const isDefault = resolve(folder) === resolve(io.env.HUSK_DATA ?? dataDefault);
          io.out(`Next: husk serve${isDefault ? '' : ` --data ${paths.folder}`}`);
          io.out('then, for each device: husk token create, with the same --data or HUSK_DATA.');
        });
      },
    );
};

function tenant(text: string): string {
  if (!namePattern.test(text)) throw new InvalidArgumentError('lower case letters, digits and -, at most 63');
  return text;
}

function names(text: string): readonly string[] {
  const all = text.split(',').map((name) => name.trim());
  for (const name of all) {
    if (isIP(name) !== 0) continue;
    const isDnsName = /^(?=.{1,253}$)(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/i.test(name);
    if (!isDnsName) throw new InvalidArgumentError(`"${name}" is neither a DNS name nor an address`);
  }
  return all;
}
