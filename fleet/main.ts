// `husk`: the operator's program. It serves the controller and is the command line to it.
//
// Bundled to one CommonJS file for the executable: nothing is awaited at this level.

import { processIo } from './cli/io.ts';
import { run } from './cli/program.ts';

run(process.argv.slice(2), processIo()).then((code) => {
  process.exitCode = code;
});
