// husk policy check: every fault of policy files, with file, line and column.

import { formatFault } from '../../agent/policy/faults.ts';
import { readPolicyFiles } from '../policy/documents.ts';
import { type CommandFile, withJson } from './common.ts';
import { Failure } from './io.ts';

export const policyCheck: CommandFile = (parent, io) => {
  withJson(parent, 'check <files...>', 'Check policy files together, as one bundle; all faults at once')
    .addHelpText(
      'after',
      `
Documents of kind PacketPolicy, HardeningPolicy and AddressSet, in YAML or JSON, several in a file. Lists that an
AddressSet names (spec.file) are read in. Needs no controller. Exit 1 where there is an error; warnings pass.

Example:
  husk policy check branch.yaml lists.yaml`,
    )
    .action((files: readonly string[], options: { readonly json?: boolean }) => {
      const { documents, faults } = readPolicyFiles(files);
      const errors = faults.filter((fault) => fault.severity === 'error').length;
      if (options.json === true)
        io.out(JSON.stringify({ isFaultless: errors === 0, documents: documents.length, faults }, null, 2));
      else for (const fault of faults) io.err(formatFault(fault));
      if (errors > 0) throw new Failure(`${errors} fault${errors === 1 ? '' : 's'}`);
      if (options.json !== true)
        io.out(`${documents.length} document${documents.length === 1 ? '' : 's'} without faults`);
    });
};
