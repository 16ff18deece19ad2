// The policies that the filter's benchmark puts in force: lists of rules, sets, states and limits, as documents.

import type { PacketPolicy, PacketRule, PolicyDocument } from '../../../agent/contract/policy.ts';
import { formatAddress } from '../../../agent/policy/addresses.ts';
import type { ClassifierEntry } from '../../../agent/policy/classifier/entry.ts';
import { prefixesOf, prefixWords } from '../../../agent/policy/prefixes.ts';
import type { Ranges } from '../../../agent/policy/ranges.ts';

export interface PolicyParts {
  readonly rules: readonly PacketRule[];
  readonly default?: 'allow' | 'drop';
  /** One set of these addresses, `listed`. */
  readonly listed?: readonly string[];
  readonly interfaces?: readonly string[];
}

export function packetPolicy(parts: PolicyParts): PolicyDocument[] {
  const policy: PacketPolicy = {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'bench' },
    spec: {
      mode: 'enforce',
      zones: { wan: { interfaces: parts.interfaces ?? ['lo'] } },
      ...(parts.listed === undefined ? {} : { sets: { listed: { addressSet: 'listed' } } }),
      ingress: [{ zone: 'wan', default: parts.default ?? 'allow', rules: parts.rules }],
      egress: [],
    },
  };
  if (parts.listed === undefined) return [policy];
  const metadata = { name: 'listed' };
  return [{ apiVersion: 'husk/v1', kind: 'AddressSet', metadata, spec: { addresses: parts.listed } }, policy];
}

/** Entries of test/bench/rule-lists.ts as rules that people write. */
export function rulesOf(entries: readonly ClassifierEntry[], action: 'allow' | 'drop'): PacketRule[] {
  return entries.map((entry, index): PacketRule => {
    const pair = entry.ipv4 ?? entry.ipv6;
    if (pair === null) throw new Error('an entry without addresses');
    const protocol = entry.protocols?.[0];
    const ports = entry.ports === null ? null : { from: entry.ports.from[0], to: entry.ports.to[0] };
    const text = (range: { readonly first: number; readonly last: number }) =>
      range.first === range.last ? range.first : `${range.first}-${range.last}`;
    const isAny = (range: { readonly first: number; readonly last: number } | undefined) =>
      range === undefined || (range.first === 0 && range.last === 65535);
    return {
      id: `r${index}`,
      from: prefixTexts(pair.from),
      to: prefixTexts(pair.to),
      ...(protocol === undefined ? {} : { protocol }),
      ...(ports === null
        ? {}
        : {
            ports: {
              ...(ports.from === undefined || isAny(ports.from) ? {} : { from: text(ports.from) }),
              ...(ports.to === undefined || isAny(ports.to) ? {} : { to: text(ports.to) }),
            },
          }),
      action,
    };
  });
}

/** As in `192.0.2.0/24`. */
export function prefixTexts(ranges: Ranges): string[] {
  const words = prefixesOf(ranges);
  return Array.from({ length: words.length / prefixWords }, (_, index) => {
    const at = index * prefixWords;
    const address = formatAddress(words, at);
    const length = (words[at + 4] ?? 0) - (address.includes(':') ? 0 : 96);
    return `${address}/${length}`;
  });
}
