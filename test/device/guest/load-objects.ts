// Inside a guest: loads each object file named on the command line, alone, and tells what the kernel made of it.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { addon, type KernelError } from '../../../native/index.ts';
import { tell } from './tell.ts';

/** Of the verifier's log; the end says what is wrong. */
const logBytesMax = 4000;

for (const path of process.argv.slice(2)) tell({ object: basename(path), ...load(path) });

function load(path: string): object {
  const object = addon.openObject(basename(path), readFileSync(path));
  const started = process.hrtime.bigint();
  const ms = (): number => Number((process.hrtime.bigint() - started) / 1_000_000n);
  try {
    object.load();
    const took = ms();
    return { ms: took, programs: object.programNames().map(describe) };
  } catch (error) {
    const { message, log = '' } = error as KernelError;
    return { ms: ms(), refused: message.slice(0, logBytesMax), log: log.slice(-logBytesMax) };
  } finally {
    object.close();
  }

  function describe(name: string): object {
    const program = object.program(name);
    const instructions = addon.programInfo(program).verifiedInstructions;
    program.close();
    return { name, instructions };
  }
}
