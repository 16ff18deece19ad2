// Writes the published JSON Schema: `node agent/policy/gen-schema.ts [OUTPUT]`, to stdout without an output.
//
// For editors: `# yaml-language-server: $schema=…` at the top of a policy gives completion and faults
// while writing. What the schema cannot say (names that resolve, rules that can match) `husk policy check` says.

import { writeFileSync } from 'node:fs';
import { jsonSchema } from './schema.ts';

const text = `${JSON.stringify(jsonSchema(), null, 2)}\n`;
const [output] = process.argv.slice(2);
if (output === undefined) process.stdout.write(text);
else writeFileSync(output, text);
