// A guest for the length of a test, and a program played in it.

import type { Test } from 'tap';
import type { CommandResult } from './command-line.ts';
import { Guest } from './guest.ts';
import type { GuestFiles } from './initramfs.ts';
import type { KernelName } from './kernels.ts';

/** Ends with the test; where that failed, it is said where its console is. */
export async function bootFor(t: Test, name: KernelName, files: GuestFiles): Promise<Guest> {
  const guest = await Guest.boot(name, files);
  t.teardown(async () => {
    const console = await guest.close({ failed: !t.passing() });
    if (console !== null) t.comment(`the guest's console: ${console}`);
  });
  t.comment(`${guest.kernel.version}: up after ${guest.bootMs} ms`);
  return guest;
}

/** `program`: of guest/, as in `link-kinds bare`. */
export async function playIn(t: Test, guest: Guest, program: string, msMax: number): Promise<CommandResult> {
  const [name = '', ...words] = program.split(' ');
  const result = await guest.run(`node /husk/build/${[`${name}.cjs`, ...words].join(' ')}`, msMax);
  t.equal(result.status, 0, `${program} is played to its end`, { said: result.lines.slice(-20) });
  return result;
}
