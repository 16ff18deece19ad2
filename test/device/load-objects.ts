// Loads BPF objects in a guest, each alone, and says what its kernel made of them.

import { z } from 'zod';
import type { Guest } from './guest.ts';
import { told } from './guest-programs.ts';

/** What guest/load-objects.ts tells of an object. */
const loadTold = z.union([
  z.strictObject({
    object: z.string(),
    ms: z.number(),
    programs: z.array(z.strictObject({ name: z.string(), instructions: z.number() })),
  }),
  z.strictObject({ object: z.string(), ms: z.number(), refused: z.string(), log: z.string() }),
]);
export type LoadTold = z.infer<typeof loadTold>;

/**
 * `paths` are the guest's own. The guest must have the program load-objects (guest-programs.ts). Throws where it
 * does not tell of each.
 */
export async function loadObjects(guest: Guest, paths: readonly string[]): Promise<LoadTold[]> {
  const result = await guest.run(`node /husk/build/load-objects.cjs ${paths.join(' ')}`, 120_000);
  const loads = told(result, loadTold);
  if (loads.length !== paths.length) throw new Error(result.lines.join('\n'));
  return loads;
}
