// A plain list of addresses to an AddressSet, and, where wanted, a policy that drops what is in it.

import {
  type AddressSet,
  apiVersion,
  type PacketPolicy,
  type PolicyDocument,
} from '../../contract/policy.ts';
import { parseAddressList } from '../address-list.ts';
import { formatAddresses } from './address-arithmetic.ts';
import { readAddresses } from './conditions.ts';
import { textBytesMax } from './iptables.ts';
import { ImportError, type Imported, type ImportFile, Report } from './report.ts';

export interface ListOptions {
  /** Of the set. */
  readonly name: string;
  /** Interfaces of a zone in whose way in the list is dropped; absent: the set alone. */
  readonly drop?: readonly string[];
  readonly mode?: 'monitor' | 'enforce';
}

/** One set of all files. Lines that begin with no entry are reported. Throws ImportError where there is no entry at all. */
export function importList(
  files: readonly ImportFile[],
  { name, drop, mode = 'enforce' }: ListOptions,
): Imported {
  const report = new Report();
  const addresses = files.flatMap(({ file, text }) => {
    if (text.length > textBytesMax) throw new ImportError(`${file}: longer than ${textBytesMax} bytes`);
    return entriesOf(file, text, report);
  });
  if (addresses.length === 0) throw new ImportError('there is no address in it');
  const set: AddressSet = { apiVersion, kind: 'AddressSet', metadata: { name }, spec: { addresses } };
  const policy = drop === undefined ? [] : [skeleton(name, drop, mode)];
  const documents: readonly PolicyDocument[] = [...policy, set];
  return { documents, notCarriedOver: report.all() };
}

function entriesOf(file: string, text: string, report: Report): readonly string[] {
  const { addresses, faults } = parseAddressList(text, file);
  if (faults.length === 0) return addresses;
  // Said of every line, and host bits behind a prefix are no reason to lose one.
  const lines = text.split('\n');
  return lines.flatMap((line, index) => {
    const entry = /^\s*([^\s#;]+)/.exec(line)?.[1];
    if (entry === undefined) return [];
    const ranges = readAddresses(entry);
    if (typeof ranges !== 'string') return formatAddresses(ranges);
    const origin = { file, line: index + 1, text: line.trim(), name: `l${index + 1}` };
    report.add(origin, ranges, 'wider', ['packets from what this line names, if it names something']);
    return [];
  });
}

const skeleton = (
  name: string,
  interfaces: readonly string[],
  mode: 'monitor' | 'enforce',
): PacketPolicy => ({
  apiVersion,
  kind: 'PacketPolicy',
  metadata: { name },
  spec: {
    mode,
    zones: { listed: { interfaces } },
    sets: { listed: { addressSet: name } },
    ingress: [
      {
        zone: 'listed',
        default: 'allow',
        rules: [{ id: 'listed', from: { set: 'listed' }, action: 'drop' }],
      },
    ],
    egress: [],
  },
});
