// husk policy check: every fault of policy files, with file, line and column, and proofs of what must hold.

import type { Proven } from '../../agent/policy/classes/check-proofs.ts';
import type { Controller } from '../../agent/policy/classes/expect.ts';
import { formatFault } from '../../agent/policy/faults.ts';
import { kernelMemory, memoryText, usualSizes } from '../../agent/policy/kernel-memory.ts';
import { readPolicyFiles } from '../policy/documents.ts';
import { provePolicies } from '../policy/proofs.ts';
import { type CommandFile, command, controllers, count } from './common.ts';
import { Failure, type Io, shown } from './io.ts';

interface Options {
  readonly json?: boolean;
  readonly data: string;
  readonly controller?: readonly Controller[];
  readonly shadows?: boolean;
  readonly kernelMemory?: number;
  readonly cpus: number;
}

export const policyCheck: CommandFile = (parent, io) => {
  command(parent, io, 'check <files...>', 'Check policy files together, as one bundle; all faults at once')
    .option(
      '--controller <address:port>',
      "prove that devices reach it; several with commas (default: the data folder's, else any address, port 8883)",
      controllers,
    )
    .option('--shadows', 'also say which rules others above them decide in part, and which change no verdict')
    .option('--kernel-memory <MiB>', 'an error where a device would need more for it', count(1, 65_536))
    .option('--cpus <count>', 'of the device, for what it needs of kernel memory', count(1, 4096), 4)
    .addHelpText(
      'after',
      `
Documents of kind PacketPolicy, HardeningPolicy, Shield, Exception and AddressSet, in YAML or JSON, several in a file. Lists
that an AddressSet names (spec.file) are read in. Needs no controller. Exit 1 where there is an error; warnings pass.

What a policy expects (spec.expect, spec.admins) is proven for every packet that is described; where it does not hold, a
packet shows it, which is an error. A policy under which devices cannot reach their controller or a resolver is
warned of, as are rules that others above take every packet of.

What the policy takes of a device's kernel memory is stated: a device refuses what is above its own ceiling
(limits.kernelBytesMax, else an eighth of its memory and at least 16 MiB) before it loads anything. Counters are for the
rules of two policies at once; where that is more than a device has as a rule, it is said.

Example:
  husk policy check branch.yaml lists.yaml
  husk policy check branch.yaml --controller 192.0.2.10:8883 --shadows`,
    )
    .action((files: readonly string[], options: Options) => {
      const { documents, faults: read, isWhole, tableBytes, counted } = readPolicyFiles(files);
      const proven = provePolicies(documents, {
        controllers: options.controller,
        data: options.data,
        parts: options.shadows ?? false,
        progress: io.progress?.bind(io),
      });
      const faults = [...read, ...proven.faults];
      const errors = faults.filter((fault) => fault.severity === 'error').length;
      const { cpus } = options;
      // A swap has the counters of two policies.
      const counters = Math.max(usualSizes.counters, 2 * counted);
      const memory =
        errors > 0 || tableBytes === null
          ? null
          : kernelMemory(tableBytes, { ...usualSizes, counters, cpus });
      if (options.json === true) {
        const all = {
          isFaultless: errors === 0,
          isWhole,
          documents: documents.length,
          faults,
          ...jsonOf(proven),
        };
        io.out(JSON.stringify({ ...all, kernelMemory: memory }, null, 2));
      } else for (const fault of faults) io.err(formatFault(fault));
      // What is meant is known of a document that has its form: names, addresses, rules that can never match.
      const more = isWhole ? '' : '; what names, addresses and rules mean is checked once these are mended';
      if (errors > 0) throw new Failure(`${errors} fault${errors === 1 ? '' : 's'}${more}`);
      const isAbove = memory !== null && memory.total > (options.kernelMemory ?? Infinity) * 1024 ** 2;
      if (isAbove) throw new Failure(`${memoryText(memory)}: above ${options.kernelMemory} MiB`);
      if (options.json === true) return;
      io.out(`${documents.length} document${documents.length === 1 ? '' : 's'} without faults`);
      if (memory !== null) io.out(memoryText(memory));
      if (counters > usualSizes.counters)
        io.out(
          `${counted} rules and defaults are counted: devices need limits.counters of ${counters} in their configuration, which is ${usualSizes.counters} where it says nothing`,
        );
      sayProofs(proven, io);
    });
};

function sayProofs({ proofs }: Proven, io: Io): void {
  const written = proofs.filter(
    ({ kind, result }) => (kind === 'expect' || kind === 'admins') && result !== 'empty',
  );
  if (written.length > 0)
    io.out(`${written.length} expectation${written.length === 1 ? '' : 's'} proven over every packet`);
  for (const { id, result, limits } of written) {
    if (result === 'limited') io.out(shown(`  ${id}: within the limits of ${limits.join(', ')}`));
  }
  for (const { kind, id, result, limits } of proofs) {
    if ((kind === 'controller' || kind === 'dns') && result === 'limited')
      io.out(shown(`the device reaches its ${id} within the limits of ${limits.join(', ')} alone`));
  }
}

/** Without the bytes and the device that a counterexample was judged with. */
function jsonOf({ proofs, shadows }: Proven) {
  return {
    proofs: proofs.map(({ counterexample, ...proof }) => {
      if (counterexample === null) return { ...proof, counterexample };
      const { at: _, device: __, ...packet } = counterexample.packet;
      return { ...proof, counterexample: { packet, by: counterexample.step } };
    }),
    shadows,
  };
}
