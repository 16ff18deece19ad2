// What guest/packet-programs.ts tells, line by line, as the types that it must be: a guest is believed nothing
// before it was read by these.

import { z } from 'zod';

/** Counts of four lots of datagrams: IPv4 and IPv6 of the kind that is dropped, then of the kind that is not. */
const lots = z.tuple([z.int(), z.int(), z.int(), z.int()]);
const errnos = z.record(z.string(), z.string());

export const scene = z.discriminatedUnion('scene', [
  z.strictObject({
    scene: z.literal('opened'),
    release: z.string(),
    how: z.enum(['made', 'adopted', 'renewed']),
    ms: z.int(),
    hasTcx: z.boolean(),
  }),
  z.strictObject({
    scene: z.literal('attached'),
    hooks: z.array(
      z.strictObject({
        description: z.string(),
        action: z.string(),
        why: z.string().optional(),
        at: z.strictObject({ index: z.int(), direction: z.string() }).optional(),
      }),
    ),
  }),
  z.strictObject({ scene: z.literal('empty'), inwards: lots, outwards: lots }),
  z.strictObject({
    scene: z.literal('proven'),
    serial: z.int(),
    packets: z.int(),
    packetRules: z.strictObject({ rules: z.int(), of: z.int() }),
    calls: z.int(),
    operations: z.number(),
    untried: z.array(z.string()),
  }),
  z.strictObject({ scene: z.literal('guarded'), inwards: lots, outwards: lots }),
  z.strictObject({ scene: z.literal('calls'), within: errnos, without: errnos }),
  z.strictObject({ scene: z.literal('counted'), hits: z.record(z.string(), z.int()) }),
  z.strictObject({
    scene: z.literal('trial'),
    seconds: z.int(),
    during: lots,
    after: lots,
    inTrial: z.boolean(),
    serial: z.int().nullable(),
  }),
  z.strictObject({ scene: z.literal('unloaded'), isPinned: z.boolean() }),
]);
export type Scene = z.infer<typeof scene>;
type Named<Name extends Scene['scene']> = Extract<Scene, { readonly scene: Name }>;

/** The first scene of that name. Throws where there is none. */
export function sceneOf<Name extends Scene['scene']>(scenes: readonly Scene[], name: Name): Named<Name> {
  const found = scenes.find((one): one is Named<Name> => one.scene === name);
  if (found === undefined) throw new Error(`the guest told nothing of '${name}'`);
  return found;
}
