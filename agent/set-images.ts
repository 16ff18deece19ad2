// Tables of big sets that were built before: a bundle that leaves a list as it is, or only adds to it, finds its
// table here, and the kernel finds it in the generation in force.
//
// Nothing is kept alive: a table is there for as long as an image holds its bytes, which is that of the policy in force.

import type { KnownSet } from './prepare-policy.ts';

export class BuiltSetImages {
  readonly #known = new Map<string, { readonly chunkBytes: number; readonly bytes: WeakRef<Uint8Array> }>();

  /** Those that are still there, with their bytes, by key. */
  alive(): ReadonlyMap<string, { readonly set: KnownSet; readonly bytes: Uint8Array }> {
    const alive = new Map<string, { readonly set: KnownSet; readonly bytes: Uint8Array }>();
    for (const [key, { chunkBytes, bytes: held }] of this.#known) {
      const bytes = held.deref();
      if (bytes === undefined) this.#known.delete(key);
      else alive.set(key, { set: { key, chunkBytes, byteLength: bytes.length }, bytes });
    }
    return alive;
  }

  learn({ key, chunkBytes }: KnownSet, bytes: Uint8Array): void {
    this.#known.set(key, { chunkBytes, bytes: new WeakRef(bytes) });
  }
}
