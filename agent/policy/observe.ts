// Which operations of which subjects are told of although they are allowed.

import { HuskOperation } from '../../bpf/abi/layout.gen.ts';
import type { HardeningSpec, ObserveWord } from '../contract/policy.ts';
import { bitsOf, type NumberedSubject } from './subjects.ts';

/** Where a policy says nothing of it: what its subjects run. */
const observedByDefault: readonly ObserveWord[] = ['exec'];

const operationsOf: Readonly<Record<ObserveWord, readonly HuskOperation[]>> = {
  exec: [HuskOperation.EXEC],
  load: [HuskOperation.LOAD, HuskOperation.MODULE],
  connect: [HuskOperation.CONNECT],
};

type Observing = { readonly spec: { readonly observe?: HardeningSpec['observe'] } };

/** Subject bits by operation, as husk_operations.observed has them. */
export function observedBits(subjects: readonly NumberedSubject[]): bigint[] {
  const bits = new Array<bigint>(HuskOperation.COUNT).fill(0n);
  for (const subject of subjects) {
    for (const document of subject.documents) {
      for (const operation of observedOf(document))
        bits[operation] = (bits[operation] ?? 0n) | bitsOf(subject);
    }
  }
  return bits;
}

const observedOf = ({ spec }: Observing): readonly HuskOperation[] =>
  (spec.observe ?? observedByDefault).flatMap((word) => operationsOf[word]);

/** Whether a policy asks for it in so many words. */
export const asksToObserve = ({ spec }: Observing): boolean => (spec.observe ?? []).length > 0;
