// The command line as a function: words in, exit code out.
//
//   0 done · 1 refused or failed, the reason on stderr · 2 wrong usage

import { Command, CommanderError } from 'commander';
import { commands } from './commands.ts';
import { Failure, type Io, UsageError } from './io.ts';

export const version = '0.1.0';

/** `words` as typed, without the program's name. */
export async function run(words: readonly string[], io: Io): Promise<number> {
  try {
    await program(io).parseAsync([...words], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help that was asked for; anything else of commander's is about how it was called.
      return error.exitCode === 0 ? 0 : 2;
    }
    if (error instanceof UsageError) {
      io.err(`${error.message}\nSee --help.`);
      return 2;
    }
    if (error instanceof Failure) {
      io.err(error.message);
      return 1;
    }
    io.err(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return 1;
  }
}

function program(io: Io): Command {
  const husk = new Command('husk')
    .description('Husk: serve a fleet of devices and hand them signed policy.')
    .version(version)
    .showHelpAfterError('See --help.')
    .addHelpText(
      'after',
      `
Begin:
  husk init --tenant acme --name husk.example.net
  husk serve
  husk token create                      the line a device joins with
  husk policy check branch.yaml
  husk policy simulate branch.yaml --pcap uplink.pcap
  husk policy publish branch.yaml --all --wait

Exit codes: 0 done, 1 refused or failed (the reason is on stderr), 2 wrong usage.`,
    );
  for (const entry of commands) {
    if (typeof entry === 'function') {
      entry(husk, io);
      continue;
    }
    const group = husk.command(entry.name).summary(entry.summary).description(entry.summary);
    if (entry.help !== undefined) group.addHelpText('after', entry.help);
    for (const one of entry.commands) one(group, io);
  }
  everyCommand(husk, (command) => {
    command.exitOverride().configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.err(text.trimEnd()),
    });
  });
  return husk;
}

function everyCommand(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const sub of command.commands) everyCommand(sub, visit);
}
