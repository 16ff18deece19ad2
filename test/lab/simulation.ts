// Simulations of the shield library: what an exploit makes a daemon do, and what the daemon does every day, as steps
// for firmware-integration/shields/simulate/stubd.c.

import { parse } from 'yaml';
import { z } from 'zod';

const step = z.string().min(1).max(1000);

const schema = z.strictObject({
  /** Where the stand-in is put, and started. */
  daemon: z.string().startsWith('/'),
  /** Who it runs as. */
  user: z.int().min(0).default(0),
  /** What has to be there first: `folder`, `file`, `program`, `setuid-program` or `tmpfs`, and its path. */
  prepare: z.array(z.string().regex(/^(folder|file|program|setuid-program|tmpfs) \/\S*$/)),
  /** What the shield denies, and by which of its rules. */
  attack: z.array(z.strictObject({ rule: z.string(), step })).min(1),
  /** What it is said not to stop. */
  unseen: z.array(step).default([]),
  /** What goes on, shield or not. */
  ordinary: z.array(step).min(1),
});

export type Simulation = z.infer<typeof schema>;

/** Throws where the text is none. */
export const parseSimulation = (text: string): Simulation => schema.parse(parse(text));
