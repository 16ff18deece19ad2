// An object file is loaded only if its own BTF says what this agent was built with.

import { layout } from '../../bpf/abi/layout.gen.ts';
import { compareLayout, readBtf } from './btf.ts';

/** Throws with every difference between the object's structs and the ones this agent encodes. */
export function checkObjectLayout(name: string, btf: Uint8Array): void {
  const differences = compareLayout(readBtf(btf), layout);
  if (differences.length > 0)
    throw new Error(`${name} was built with another layout: ${differences.join('; ')}`);
}
