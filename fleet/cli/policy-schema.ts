// husk policy schema: the JSON Schema of policy documents, for editors.

import schema from '../../agent/policy/policy.schema.gen.json' with { type: 'json' };
import { type CommandFile, withJson } from './common.ts';

export const policySchema: CommandFile = (parent, io) => {
  withJson(parent, 'schema', 'Print the JSON Schema of policy documents, for editors')
    .addHelpText(
      'after',
      `
Example, for editors that read the YAML language server's comment:
  husk policy schema > husk.schema.json
  # yaml-language-server: $schema=husk.schema.json`,
    )
    .action(() => io.out(JSON.stringify(schema, null, 2)));
};
