// Goal: plain lists are read as published ones are written, and every line that is no address is said.
// Method: one list with all that occurs.

import t from 'tap';
import type { AddressSet } from '../../../agent/contract/policy.ts';
import { parseAddressList, withAddresses } from '../../../agent/policy/address-list.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { formatFault } from '../../../agent/policy/faults.ts';
import { readDocuments } from '../../../agent/policy/read.ts';

t.test('reads a list', async (t) => {
  const text = '# feed\n\n192.0.2.1\r\n 198.51.100.0/24 # a net\n2001:db8::/32 ; SBL1\n\t10.0.0.1-10.0.0.9\n';
  t.strictSame(parseAddressList(text), {
    addresses: ['192.0.2.1', '198.51.100.0/24', '2001:db8::/32', '10.0.0.1-10.0.0.9'],
    faults: [],
  });
  t.strictSame(parseAddressList(''), { addresses: [], faults: [] });
});

t.test('says every line that is none', async (t) => {
  const { addresses, faults } = parseAddressList(
    '192.0.2.1\n  example.org\n10.0.0.1/8\n192.0.2.1 192.0.2.2\n',
    'feed.txt',
  );
  t.strictSame(addresses, ['192.0.2.1', '192.0.2.1'], 'what follows an entry is ignored');
  t.strictSame(faults.map(formatFault), [
    'feed.txt:2:3: "example.org" is not an IPv4 or IPv6 address',
    'feed.txt:3:1: "10.0.0.1/8" has bits set behind its prefix length; the prefix is 10.0.0.0/8',
  ]);
  const many = parseAddressList('x\n'.repeat(100_000)).faults;
  t.equal(many.length, 21);
  t.equal(many.at(-1)?.message, 'and 99980 more entries that cannot be read');
});

t.test('a document with its list read in keeps its place in the file', async (t) => {
  const text = 'apiVersion: husk/v1\nkind: AddressSet\nmetadata: { name: s }\nspec: { file: feed.txt }\n';
  const { documents } = readDocuments(text, 'set.yaml');
  t.match(checkDocuments(documents).map(formatFault), [/^set.yaml:4:9: spec.file: was not read in/]);
  const written = withAddresses(documents[0] as AddressSet, ['192.0.2.1']);
  t.strictSame(checkDocuments([written]), []);
  t.match(checkDocuments([written, written]).map(formatFault), [/^set.yaml:3:/]);
});
