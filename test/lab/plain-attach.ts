// What attaching is asked for in tests that care for packets and not for how they are got at.

import type { AttachWanted, IngressTry } from '../../agent/kernel/attach.ts';

/** XDP and, for what goes out, tc, on these interfaces and on nothing else. */
export function plainAttach(
  interfaces: readonly { readonly name: string; readonly index: number }[],
  { way = 'native', tc = 'tcx' }: { readonly way?: IngressTry['way']; readonly tc?: AttachWanted['tc'] } = {},
): Omit<AttachWanted, 'cgroup'> {
  return {
    interfaces: interfaces.map(({ name, index }) => ({ name, index, ingress: [{ way, why: '' }] })),
    others: [],
    tc,
  };
}
