// A set of ipset in a rule: `--match-set NAME src,dst`, by the contents that were given.

import type { AddressTerm, Box } from './box.ts';
import { protocolBox } from './conditions.ts';
import type { RuleContext } from './iptables-rule.ts';
import { complementNumbers } from './numbers.ts';

/** Boxes of which one has to hold, or why there are none. */
export function setCondition(
  context: RuleContext,
  name: string,
  sides: string,
  not: boolean,
): readonly Box[] | string {
  if (context.sets === null)
    return `set "${name}": its contents are in "ipset save", which was not given (--ipset)`;
  const set = context.sets.get(name);
  if (set === undefined) return `set "${name}" is not in the file of ipsets`;
  const [first = '', second = ''] = sides.split(',');
  const side = sideOf(first);
  if (side === null) return `direction "${sides}" of set "${name}"`;
  switch (set.kind) {
    case 'addresses':
      return [{ [side]: [{ name: documentName(context, name), ranges: set.ranges, not }] }];
    case 'ports': {
      const ports = not ? complementNumbers(set.ports) : set.ports;
      // What has no ports is not in the set: negated, the rule would be about it too.
      if (not) return `set "${name}" of ports, negated`;
      return ports.length === 0
        ? []
        : [{ ...protocolBox(6, 17), [side === 'from' ? 'fromPorts' : 'toPorts']: ports }];
    }
    case 'pairs': {
      const portSide = sideOf(second);
      if (portSide === null) return `direction "${sides}" of set "${name}"`;
      if (not) return `set "${name}" of addresses with ports, negated`;
      return set.pairs.map(({ ranges, protocol, port }) => {
        const term: AddressTerm = { name: null, ranges, not: false };
        const key = portSide === 'from' ? 'fromPorts' : 'toPorts';
        return { ...protocolBox(protocol), [side]: [term], [key]: [{ first: port, last: port }] };
      });
    }
    case 'other':
      return `set "${name}" ${set.reason}`;
  }
}

const sideOf = (word: string) => (word === 'src' ? 'from' : word === 'dst' ? 'to' : null);

/** What its document is called: lower case, unique. */
function documentName({ setNames }: RuleContext, name: string): string {
  const known = setNames.get(name);
  if (known !== undefined) return known;
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 55);
  const base = plain === '' ? 'set' : plain;
  const taken = new Set(setNames.values());
  let unique = base;
  for (let count = 2; taken.has(unique); count++) unique = `${base}-${count}`;
  setNames.set(name, unique);
  return unique;
}
