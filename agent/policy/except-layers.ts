// Where denials of every object stand when some of them have exceptions.
//
// A table holds one denial of all objects for each bit of a subject and operation, and one exception for each
// object. That is enough where a denial has none: those after it change nothing. Denials with exceptions
// can all be needed, so that each gets a bit of its own, in the order of the rules.

import type { HardeningPolicy, HardeningRule } from '../contract/policy.ts';
import { activeMode, ruleId } from './ids.ts';
import { type OperationReach, operationReaches } from './operation-reach.ts';

type Active = 'monitor' | 'enforce';

/** How many bits a subject takes, of which these are the policies, for all rules but those apart. */
export function layersNeeded(documents: readonly HardeningPolicy[], apart: ReadonlySet<string>): number {
  const places = new ExceptLayers();
  let needed = 1;
  for (const document of documents) {
    const { spec } = document;
    for (const rule of spec.rules) {
      if (apart.has(ruleId(document, rule))) continue;
      const mode = activeMode(spec.mode, rule.mode);
      if (mode === null) continue;
      for (const reach of operationReaches(rule))
        needed = Math.max(needed, (places.layerOf(rule, mode, reach) ?? 0) + 1);
    }
  }
  return needed;
}

interface Filling {
  layer: number;
  /** What the layer holds already. */
  readonly held: Set<Active>;
  hasException: boolean;
  /** Where a denial without exceptions stands, by mode: those after it decide nothing. */
  readonly settled: Map<Active, { readonly layer: number; kills: boolean }>;
}

/** Gives rules their layers, one after another in the order of the policies. */
export class ExceptLayers {
  readonly #fillings = new Map<number, Filling>();

  /** The layer of what the rule says of the operation; null where it changes nothing. */
  layerOf(
    { action, kill }: Pick<HardeningRule, 'action' | 'kill'>,
    mode: Active,
    reach: OperationReach,
  ): number | null {
    if (action !== 'deny' || !reach.objects.some(({ kind }) => kind === 'any')) return 0;
    const filling = this.#fillings.get(reach.operation) ?? {
      layer: 0,
      held: new Set(),
      hasException: false,
      settled: new Map(),
    };
    this.#fillings.set(reach.operation, filling);
    const hasException = reach.except.length > 0;
    const kills = mode === 'enforce' && kill === true;
    const settled = filling.settled.get(mode);
    if (settled !== undefined && !hasException) {
      settled.kills ||= kills;
      return settled.layer;
    }
    if (settled !== undefined && (settled.kills || !kills)) return null;
    if (filling.held.has(mode) || (hasException && filling.hasException)) {
      filling.layer++;
      filling.held.clear();
      filling.hasException = false;
    }
    filling.held.add(mode);
    filling.hasException ||= hasException;
    if (!hasException) filling.settled.set(mode, { layer: filling.layer, kills });
    return filling.layer;
  }
}
