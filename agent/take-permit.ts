// A permit that somebody on the device presents: verified, meant for what he asks, of this boot, in time, and new.
//
// Which were used is kept in the run folder: they end with the boot that they are for, and an agent that is started
// anew must not forget.

import { join } from 'node:path';
import * as z from 'zod';
import type { PermitPurpose } from './contract/permit.ts';
import { RefusalError } from './contract/refusal.ts';
import type { Clock } from './os/clock.ts';
import type { Files } from './os/files.ts';
import type { Trusted } from './trust/keys.ts';
import { verifyPermit } from './trust/verify.ts';

export interface PermitParts {
  readonly files: Files;
  readonly runDirectory: string;
  readonly trusted: Trusted;
  readonly we: { readonly tenant: string; readonly device: string };
  readonly bootId: string;
  readonly clock: Pick<Clock, 'wall'>;
}

/** Permits of one boot; no more are taken then. */
const usedMax = 256;
const fileBytesMax = 16 * 1024;
const usedSchema = z.array(z.string().max(32)).max(usedMax);

/** Uses it up. Throws RefusalError permit.*, bundle.* where it is not signed for us. Returns its id. */
export function takePermit(parts: PermitParts, envelope: object, purpose: PermitPurpose): string {
  const { trusted, we, bootId, clock } = parts;
  const permit = verifyPermit(envelope, trusted, we);
  if (permit.purpose !== purpose)
    throw new RefusalError('permit.purpose', `it is for ${permit.purpose}, not for ${purpose}`);
  if (permit.boot !== bootId)
    throw new RefusalError('permit.boot', `it is for boot ${permit.boot}, this is ${bootId}`);
  // What is known of the time is never later than the truth: past that, it has expired for certain.
  const { ms } = clock.wall();
  if (ms !== null && ms > permit.notAfter * 1000)
    throw new RefusalError('permit.expired', `at ${new Date(permit.notAfter * 1000).toISOString()}`);
  const used = readUsed(parts);
  if (used.includes(permit.id)) throw new RefusalError('permit.used', `permit ${permit.id}`);
  if (used.length >= usedMax)
    throw new RefusalError(
      'permit.used',
      `${used.length} permits were used since boot, which is all there are`,
    );
  parts.files.writeAtomic(usedPath(parts), JSON.stringify([...used, permit.id]));
  return permit.id;
}

/** Throws where the file is damaged: what was used is not known then. */
function readUsed({ files, ...parts }: PermitParts): readonly string[] {
  const bytes = files.readBounded(usedPath(parts), fileBytesMax);
  return bytes === null ? [] : usedSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
}

const usedPath = ({ runDirectory }: Pick<PermitParts, 'runDirectory'>) =>
  join(runDirectory, 'permits-used.json');
