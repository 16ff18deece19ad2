// Writes the published JSON Schema to stdout: `node agent/policy/gen-schema.ts > agent/policy/policy.schema.gen.json`.
//
// For editors: `# yaml-language-server: $schema=…` at the top of a policy gives completion and faults
// while writing. What the schema cannot say (names that resolve, rules that can match) `husk policy check` says.

import { jsonSchema } from './schema.ts';

console.log(JSON.stringify(jsonSchema(), null, 2));
