// Policy documents as YAML that people like to read: a rule a line, as in the examples.

import { Document, isMap, isSeq, type Node, visit } from 'yaml';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { withAddresses } from '../../agent/policy/address-list.ts';

/**
 * Several documents in one text. Sets of more than `inlineMax` entries name a file instead; `toFile` is given
 * the set's name and its entries, and returns what to write there.
 */
export function policyText(
  documents: readonly PolicyDocument[],
  inlineMax: number,
  toFile: (name: string, addresses: readonly string[]) => string,
): string {
  return documents.map((document) => textOf(elsewhere(document, inlineMax, toFile))).join('---\n');
}

function elsewhere(
  document: PolicyDocument,
  inlineMax: number,
  toFile: (name: string, addresses: readonly string[]) => string,
): PolicyDocument {
  if (document.kind !== 'AddressSet') return document;
  const { addresses = [] } = document.spec;
  if (addresses.length <= inlineMax) return document;
  const { spec: _, ...rest } = withAddresses(document, []);
  return { ...rest, spec: { file: toFile(document.metadata.name, addresses) } };
}

/** Wide enough for nearly every rule; what is longer is broken. */
const lineWidth = 160;
const inFlow = new Set(['rules', 'interfaces', 'metadata']);

function textOf(value: PolicyDocument): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Pair: (_, pair) => {
      const key = (pair.key as Node & { value?: unknown })?.value;
      if (typeof key !== 'string' || !inFlow.has(key)) return undefined;
      if (key === 'rules' && isSeq(pair.value)) {
        for (const rule of pair.value.items) if (isMap(rule)) rule.flow = true;
      } else if (isSeq(pair.value) || isMap(pair.value)) {
        pair.value.flow = true;
      }
      return undefined;
    },
  });
  return document.toString({ lineWidth, flowCollectionPadding: true });
}
