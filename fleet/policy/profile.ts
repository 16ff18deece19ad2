// What devices answer to `profile`: rows of any shape until they were read here, and then the policy each is of.

import * as z from 'zod';
import type { Subject } from '../../agent/contract/policy.ts';

/** A thing that was done, as one device saw it. */
export interface Seen {
  readonly operation: string;
  readonly count: number;
  /** Absolute, as the device's own mounts show it; null: by none of them, or too deep. */
  readonly path?: string | null;
  /** It is a folder, of which so many names were seen that none is told. */
  readonly folder?: boolean;
  readonly startedAs?: string;
  /** `path` is a program of many applets, and `startedAs` one of its names. */
  readonly applet?: boolean;
  readonly traits?: readonly string[];
  readonly capability?: string | number;
  readonly number?: number;
  readonly address?: string;
  readonly port?: number;
  readonly protocol?: string | number;
  readonly family?: string | number;
  readonly type?: string | number;
}

/** What one device learnt under one policy. */
export interface DeviceProfile {
  readonly device: string;
  readonly policy: string;
  readonly subject: Subject;
  /** Operations that are kept. */
  readonly learns: readonly string[];
  /** What the device sees hangs on it: in C and D nothing but connect, bind and socket of cgroups. */
  readonly tier: 'A' | 'B' | 'C' | 'D';
  /** Things there was no room for, of all policies of the device. */
  readonly lost: number;
  readonly seen: readonly Seen[];
}

const pathMax = 4095;
const word = z.string().max(64);
const wordOrNumber = z.union([word, z.number()]);
const list = z.union([z.string().max(pathMax), z.array(z.string().max(pathMax)).max(256)]);

const subject = z.strictObject({
  cgroup: z.string().max(255).exactOptional(),
  executable: list.exactOptional(),
  descendants: z.boolean().exactOptional(),
  applet: z.string().max(255).exactOptional(),
  user: z.union([z.number(), z.array(z.number()).max(256)]).exactOptional(),
  unknown: z.enum(['deny', 'allow']).exactOptional(),
});

const head = z.looseObject({
  policy: z.string().max(63),
  subject,
  learns: z.array(word).max(64),
  tier: z.enum(['A', 'B', 'C', 'D']),
  lost: z.number(),
});

const seen = z.object({
  operation: word,
  // Beyond 2⁵³ it comes as text.
  count: z.union([z.number(), z.string().max(20)]).transform(Number),
  path: z.string().max(pathMax).nullable().exactOptional(),
  folder: z.boolean().exactOptional(),
  startedAs: z.string().max(255).exactOptional(),
  applet: z.boolean().exactOptional(),
  traits: z.array(word).max(8).exactOptional(),
  capability: wordOrNumber.exactOptional(),
  number: z.number().exactOptional(),
  address: z.string().max(64).exactOptional(),
  port: z.int().min(0).max(65535).exactOptional(),
  protocol: wordOrNumber.exactOptional(),
  family: wordOrNumber.exactOptional(),
  type: wordOrNumber.exactOptional(),
});
const named = z.looseObject({ policy: z.string().max(63).nullable() });

/** Rows of one device. What is none of ours, as of an agent of another version, is counted. */
export function readProfile(
  device: string,
  rows: readonly unknown[],
): { readonly profiles: readonly DeviceProfile[]; readonly unread: number } {
  const heads = rows.flatMap((row) => head.safeParse(row).data ?? []);
  const policies = new Set(heads.map(({ policy }) => policy));
  const things = rows.flatMap((row) => {
    const policy = named.safeParse(row).data?.policy ?? null;
    const thing = seen.safeParse(row).data;
    return policy === null || thing === undefined || !policies.has(policy) ? [] : [{ policy, thing }];
  });
  const profiles = heads.map((one): DeviceProfile => {
    const { policy, learns, tier, lost } = one;
    const ofIt = things.filter((thing) => thing.policy === policy).map(({ thing }) => thing);
    return { device, policy, subject: one.subject, learns, tier, lost, seen: ofIt };
  });
  return { profiles, unread: rows.length - heads.length - things.length };
}
