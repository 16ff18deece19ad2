// husk import: from what people have (iptables, nft, lists of addresses) to documents of a policy.
//
// The policy goes to stdout or a file, what could not be carried over to stderr, line by line. Exit 0 also where
// something was left out, since nothing that was left out became an allow; --strict makes that exit 1, without a policy.

import { realpathSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { bundleBytesMax } from '../../agent/contract/limits.ts';
import { systemMessageOf } from '../../agent/contract/thrown.ts';
import { importIptables } from '../../agent/policy/import/iptables.ts';
import { importList } from '../../agent/policy/import/list.ts';
import { importNft } from '../../agent/policy/import/nft.ts';
import {
  changesVerdicts,
  ImportError,
  type Imported,
  type ImportFile,
  type NotCarriedOver,
} from '../../agent/policy/import/report.ts';
import { policyText } from '../policy/document-text.ts';
import { FileError, readTextWithin } from '../policy/read-file.ts';
import { type CommandFile, withJson } from './common.ts';
import { Failure, type Io, shown, UsageError } from './io.ts';

interface Options {
  readonly json?: boolean;
  readonly strict?: boolean;
  readonly output?: string;
  readonly name?: string;
  readonly mode: 'monitor' | 'enforce';
  readonly interfaces?: readonly string[];
}

const common = `
What cannot be carried over is listed on stderr, line by line with the reason, and never becomes an allow: an accept
is left out, and of a drop that is left out it is said what may now pass. Each entry begins with what it does to packets:
  none      no packet is judged otherwise
  stricter  packets may be dropped that passed
  differs   what is judged is not quite what was
  WIDER     packets may pass that were dropped; the lines below it name what lets them pass
Exit 0 with a policy; with --strict exit 1 and no policy where a packet may be judged otherwise.
Look at the result, try it with mode monitor (--mode monitor), then husk policy check and husk policy publish.`;

export const importIptablesCommand: CommandFile = (parent, io) => {
  withCommon(withJson(parent, 'iptables <files...>', 'Import iptables-save and ip6tables-save'), true)
    .option('--ipset <file>', 'contents of sets, from ipset save')
    .addOption(
      new Option('--family <family>', 'of files that do not say it themselves').choices(['ipv4', 'ipv6']),
    )
    .addHelpText(
      'after',
      `${common}

INPUT becomes rules of the way in with toDevice, OUTPUT rules of the way out with origin device, FORWARD rules of
the way out by the interface it leaves by. Other tables (nat, mangle, raw) stay where they are and are listed.

Examples:
  iptables-save > rules.v4; ip6tables-save > rules.v6; ipset save > sets
  husk import iptables rules.v4 rules.v6 --ipset sets -o branch.yaml
  husk import iptables rules.v4 --interfaces eth0,br-lan,wg0 --name branch > branch.yaml
  iptables-save | husk import iptables - --strict`,
    )
    .action((files: readonly string[], options: Options & { ipset?: string; family?: 'ipv4' | 'ipv6' }) => {
      const { ipset, family } = options;
      run(io, options, files, () =>
        importIptables(readAll(files), {
          ...policyOptions(options),
          ...(family === undefined ? {} : { family: family === 'ipv6' ? 6 : 4 }),
          ...(ipset === undefined ? {} : { ipsets: readInput(ipset) }),
        }),
      );
    });
};

export const importNftCommand: CommandFile = (parent, io) => {
  withCommon(withJson(parent, 'nft <file>', 'Import nft -j list ruleset'), true)
    .addHelpText(
      'after',
      `${common}

Chains of type filter on the hooks input, forward and output are carried over, of families ip, ip6 and inet, with
the sets and maps they use. Rules are named by chain and handle (nft -a list ruleset shows them).

Examples:
  nft -j list ruleset > ruleset.json
  husk import nft ruleset.json --interfaces eth0,br-lan -o branch.yaml
  nft -j list ruleset | husk import nft - --json | jq '.notCarriedOver[] | select(.effect == "wider")'`,
    )
    .action((file: string, options: Options) =>
      run(io, options, [file], () => importNft(readInput(file), policyOptions(options))),
    );
};

export const importListCommand: CommandFile = (parent, io) => {
  withCommon(withJson(parent, 'list <files...>', 'Import lists of addresses as one AddressSet'), false)
    .option(
      '--drop <interfaces>',
      'a policy beside it that drops the list on these interfaces',
      interfaceList,
    )
    .addHelpText(
      'after',
      `
One address, prefix or range a line; what follows on the line is ignored, and so are lines that begin with # or ;.
.gz is read too. Lines that begin with no address are listed on stderr; with --strict they are exit 1, without a policy.
A list of more than ${inlineMax} entries stays in a file of its own, which the document names.

Examples:
  husk import list ipsum.txt --name ipsum > ipsum.yaml
  husk import list drop.txt edrop.txt --name spamhaus --drop 'eth0,wwan*' -o spamhaus.yaml`,
    )
    .action((files: readonly string[], options: Options & { drop?: readonly string[] }) => {
      const { name = 'imported', drop, mode } = options;
      const list = files.length === 1 && files[0] !== '-' ? files[0] : undefined;
      run(
        io,
        options,
        files,
        () => importList(readAll(files), { name, mode, ...(drop === undefined ? {} : { drop }) }),
        list,
      );
    });
};

function withCommon(command: Command, hasInterfaces: boolean): Command {
  command
    .option('-o, --output <file>', 'write the documents there instead of to stdout')
    .option('--strict', 'fail where a packet may be judged otherwise')
    .option('--name <name>', 'of the document (default: imported)', documentName)
    .addOption(
      new Option('--mode <mode>', 'of the policy').choices(['monitor', 'enforce']).default('enforce'),
    );
  if (hasInterfaces) {
    command.option(
      '--interfaces <names>',
      'all interfaces of the device that are to be judged, with commas between; ports of a bridge left out',
      interfaceList,
    );
  }
  return command;
}

/** Entries of a set that stand in the document itself: YAML of more is slow to read and to look at. */
const inlineMax = 10_000;

/** `list`: a file that has the whole of the one set in it already. */
function run(io: Io, options: Options, files: readonly string[], read: () => Imported, list?: string): void {
  const { documents, notCarriedOver } = imported(files, read);
  const differs = changesVerdicts(notCarriedOver);
  const isRefused = options.strict === true && differs;
  if (options.json === true) {
    const policy = isRefused ? null : documents;
    io.out(JSON.stringify({ policy, notCarriedOver, judgesOtherwise: differs }, null, 2));
  } else {
    for (const one of notCarriedOver) tell(io, one);
    const count = notCarriedOver.filter(({ effect }) => effect !== 'none').length;
    const wider = notCarriedOver.filter(({ effect }) => effect === 'wider').length;
    io.err(
      `${notCarriedOver.length} not carried over; ${count} of them may change what happens to packets, ${wider} so that more may pass`,
    );
  }
  if (isRefused) throw new Failure('--strict: no policy, since packets may be judged otherwise');
  if (options.output !== undefined) {
    const folder = dirname(options.output);
    const sources = new Set(files.map(realPath));
    if (sources.has(realPath(options.output)))
      throw new UsageError(`-o ${options.output}: is read, and is not written over`);
    const text = policyText(documents, inlineMax, (name, addresses) => {
      // A list is often named as its set is: what was read stays as it was.
      const beside = [`${name}.txt`, `${name}.addresses.txt`].find(
        (one) => !sources.has(realPath(join(folder, one))),
      );
      if (beside === undefined) throw new Failure(`set ${name}: both files that it could go into are read`);
      write(join(folder, beside), `${addresses.join('\n')}\n`);
      return beside;
    });
    write(options.output, text);
  } else if (options.json !== true) {
    const isWhole = list !== undefined && notCarriedOver.length === 0;
    const text = policyText(documents, inlineMax, (name) => {
      if (isWhole) return list;
      throw new UsageError(
        `set ${name} has more than ${inlineMax} entries: give -o FILE, and it goes into a file beside it`,
      );
    });
    io.out(text.trimEnd());
  }
}

function imported(files: readonly string[], read: () => Imported): Imported {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ImportError)) throw error;
    // What is wrong with all of it together names no file by itself.
    const isNamed = files.some((file) => error.message.startsWith(`${file}:`));
    throw new Failure(shown(isNamed ? error.message : `${files.join(', ')}: ${error.message}`));
  }
}

function tell(io: Io, { file, line, text, reason, effect, mayPass = [] }: NotCarriedOver): void {
  const word = { none: 'none', stricter: 'stricter', differs: 'differs', wider: 'WIDER' }[effect];
  const style = { none: 'dim', stricter: 'yellow', differs: 'yellow', wider: 'red' } as const;
  const place = line > 0 ? `${file}:${line}` : file;
  io.err(`${io.paint(style[effect], word)}: ${shown(place)}: ${shown(reason)}`);
  if (text !== '') io.err(`    ${shown(text)}`);
  for (const one of mayPass) io.err(`    may pass: ${shown(one)}`);
}

const policyOptions = ({ name, mode, interfaces }: Options) => ({
  mode,
  ...(name === undefined ? {} : { name }),
  ...(interfaces === undefined ? {} : { interfaces }),
});

const readAll = (files: readonly string[]): readonly ImportFile[] => files.map(readInput);

/** `-`: what comes in by stdin. */
function readInput(file: string): ImportFile {
  try {
    return { file, text: readTextWithin(file, 4 * bundleBytesMax) };
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    throw new Failure(`${file}: ${error.message}`);
  }
}

/** Where links lead; of what is not there yet, its path. */
function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    // Not there: then it is none of the files that were read.
    return resolve(file);
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new Failure(`${file}: cannot be written: ${systemMessageOf(error)}`);
  }
}

function interfaceList(text: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.length > 64 || !names.every((name) => /^[!-.0-9;-~]{1,15}$/.test(name) && name !== 'lo'))
    throw new InvalidArgumentError('names of interfaces with commas between, at most 64, without lo');
  return [...new Set(names)];
}

function documentName(text: string): string {
  if (!/^[a-z0-9][a-z0-9.-]{0,62}$/.test(text))
    throw new InvalidArgumentError('lower case letters, digits, "-" and ".", at most 63');
  return text;
}
