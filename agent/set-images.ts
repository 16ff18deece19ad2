// Tables of big sets that were built before: a bundle that leaves a list as it is, or only adds to it, finds its
// table here, and the kernel finds it in the generation in force.
//
// Found by the digest of what the set means (sorted ranges), which a list that was read anew gives again. Nothing is
// kept alive: a table is there for as long as an image holds it, which is that of the policy in force.

import { createHash } from 'node:crypto';
import type { SetImage, SetImages } from './policy/set-tables/set-image.ts';

export class BuiltSetImages implements SetImages {
  /** How many were not found, and built. */
  built = 0;
  /** An image's bytes are what its table holds on to. */
  readonly #known = new Map<string, { readonly chunkBytes: number; readonly bytes: WeakRef<Uint8Array> }>();

  get: SetImages['get'] = (family, ranges, build) => {
    const key = createHash('sha256').update(`${family} `).update(ranges).digest('base64');
    const known = this.#known.get(key);
    const bytes = known?.bytes.deref();
    if (known !== undefined && bytes !== undefined) return { family, chunkBytes: known.chunkBytes, bytes };
    const image: SetImage = build();
    this.built++;
    for (const [other, { bytes: held }] of this.#known) {
      if (held.deref() === undefined) this.#known.delete(other);
    }
    this.#known.set(key, { chunkBytes: image.chunkBytes, bytes: new WeakRef(image.bytes) });
    return image;
  };
}
