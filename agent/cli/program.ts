// The commands of husk-agent: what each takes, says and ends with.
//
// Exit status everywhere: 0 done, 1 refused or failed (why is on standard error), 2 wrong usage. With --json,
// standard output is JSON and nothing else. Commands ask the running agent; those that can do without one
// ask the kernel instead, where what is enforced lies whether an agent lives or not.

import { isAbsolute, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import * as z from 'zod';
import type { Addon } from '../../native/index.ts';
import { type Config, ConfigError, configPath, readConfig } from '../config.ts';
import type { HuskEvent } from '../contract/event.ts';
import { parseJson } from '../contract/json.ts';
import { envelopeBytesMax } from '../contract/limits.ts';
import { unprotectSecondsMax } from '../contract/permit.ts';
import type { Tier } from '../contract/policy.ts';
import { type View, views } from '../contract/query.ts';
import { RefusalError, refusals } from '../contract/refusal.ts';
import { messageOf } from '../contract/thrown.ts';
import { version } from '../os/build-info.ts';
import type { Files } from '../os/files.ts';
import { readMachine } from '../os/machine.ts';
import { eventDetails, eventWords } from '../policy/event-words.ts';
import { eventsMax } from '../query/views.ts';
import { decodeBase64 } from '../trust/base64.ts';
import { IdentityStore, trustSigners } from '../trust/identity.ts';
import { trustKeys } from '../trust/keys.ts';
import {
  askAgent,
  type ControlAsk,
  isAgentRunning,
  NoAgent,
  NotBelieved,
  type PermitEnvelope,
  type Row,
} from './control.ts';
import { judgeFrames } from './judge.ts';
import { offlineReturn, offlineRows, offlineUnprotect, openPinned, unloadKernel } from './offline.ts';
import { probe, probeRefusal, showProbe } from './probe.ts';
import { showRecord, showTable, showValue } from './show.ts';
import { protocolFrom, type TraceAsk, tracedAddress, traceFilter, traceLine, tracePackets } from './trace.ts';
import { readBundleFolder, verifyFolder } from './verify.ts';

export interface CliTools {
  readonly files: Files;
  /** Opened when first asked for: most commands do without. */
  readonly addon: () => Promise<Addon>;
  /** `path`: of the file that the configuration was read from. */
  readonly run: (config: Config, path: string) => Promise<number>;
  readonly out: (text: string) => void;
  readonly complain: (text: string) => void;
  /** Standard input, of the one command that reads it. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Comes with Ctrl-C, for the commands that go on until then. */
  readonly interrupted: () => AbortSignal;
  /** Whether somebody can be asked. */
  readonly isTerminal: boolean;
}

/** Long enough for a package to be unpacked, or for somebody to stop the agent by hand. */
const unprotectSeconds = 300;

interface Common {
  readonly config?: string;
  readonly json?: boolean;
}

type TraceOptions = Common & TraceAsk & { readonly seconds?: number; readonly count?: number };

/** Runs one command; resolves with the exit status. */
export async function runCommand(argv: readonly string[], tools: CliTools): Promise<number> {
  let status = 0;
  const program = makeProgram(tools, (code) => {
    status = code;
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    tools.complain(`husk-agent: ${describe(error)}\n`);
    return 1;
  }
}

function makeProgram(tools: CliTools, end: (status: number) => void): Command {
  const program = new Command('husk-agent')
    .description('Enforces signed policy in the kernel of this device and tells the fleet about it.')
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: tools.out, writeErr: tools.complain })
    .showHelpAfterError('(--help says how)')
    .addHelpText(
      'after',
      `
Start it from the init system with \`husk-agent run\`; it enforces the last confirmed policy before it
connects, and what it loaded stays in force when it ends. \`husk-agent unload\` takes everything out again.

Exit status: 0 done, 1 refused or failed (why is on standard error), 2 wrong usage.`,
    );

  const command = (name: string, description: string, help: string): Command =>
    program
      .command(name)
      .description(description)
      .option('--config <file>', 'configuration of the device', configPath)
      .option('--json', 'JSON on standard output')
      .addHelpText('after', `\n${help}`);
  const act =
    (action: (options: Common, ...args: string[]) => Promise<number>) =>
    async (...given: unknown[]): Promise<void> => {
      // Commander hands over the arguments, then the options, then the command itself.
      const options = given.at(-2) as Common;
      end(await action(options, ...(given.slice(0, -2) as string[])));
    };
  const configOf = (options: Common): Config =>
    readConfig(tools.files, options.config === configPath ? undefined : options.config);
  const ask = (config: Config, what: ControlAsk, permit: PermitEnvelope | null = null) =>
    collect(askAgent(config.runDirectory, what, permit));
  const permitOf = (options: Common): PermitEnvelope | null => {
    const { permit } = options as { permit?: string };
    return permit === undefined ? null : readPermit(tools.files, permit);
  };
  const permitOption = [
    '--permit <file>',
    'a permit of the fleet, for who comes from a shielded service',
  ] as const;

  command(
    'run',
    'enforce, connect and report until SIGTERM',
    'Logs JSON lines to standard output. SIGTERM says goodbye to the fleet and leaves enforcement in place.',
  ).action(act((options) => tools.run(configOf(options), options.config ?? configPath)));

  command(
    'probe',
    'which tier this kernel gives, what is missing for the next',
    'Has a canary refused or ended by programs of its own, for a moment, and loads the smallest program of each kind. Nothing stays, and a running agent is not disturbed. Needs root. Exits 1 where the kernel takes no programs from us, or gives less than --least.',
  )
    .addOption(new Option('--least <tier>', 'the tier that there has to be').choices(['A', 'B', 'C', 'D']))
    .action(
      act(async (options: Common & { readonly least?: Tier }) => {
        const report = await probe(await tools.addon());
        if (options.json === true) print(report);
        else tools.out(showProbe(report));
        const why = probeRefusal(report, options.least ?? 'D');
        if (why !== null) tools.complain(`husk-agent: ${why}\n`);
        return why === null ? 0 : 1;
      }),
    );

  command(
    'status',
    'what is in force, the last assignment, link and spool',
    'Without a running agent the kernel is asked what it enforces.',
  ).action(act((options) => query(options, 'status', undefined)));

  command(
    'query',
    'rows of a view',
    `Views:\n${Object.entries(views)
      .map(([name, what]) => `  ${name.padEnd(12)}${what}`)
      .join('\n')}\n\nThe same views answer the fleet's questions over MQTT.`,
  )
    .argument('<view>', `one of ${Object.keys(views).join(', ')}`)
    .option('--count <n>', 'for events and connections: how many', readCount)
    .option('--address <address>', 'for connections: of either end')
    .option('--port <n>', 'for connections: of either end', readPort)
    .option('--protocol <name>', 'for connections: tcp, udp, icmp …, or a number', readAs(protocolFrom))
    .action(
      act((options, view) => {
        if (view === undefined || !Object.hasOwn(views, view)) {
          throw new CommanderError(2, 'husk.view', complainUsage(`there is no view ${view}; see --help`));
        }
        const { count, address, port, protocol } = options as Common & Row;
        const given = Object.entries({ count, address, port, protocol });
        const args = given.filter(([, value]) => value !== undefined);
        return query(options, view as View, args.length === 0 ? undefined : Object.fromEntries(args));
      }),
    );

  command(
    'events',
    'the newest events, or all as they come',
    'Events stay in the spool until the controller has them in its database.',
  )
    .option('--count <n>', 'how many of the newest', readCount, 50)
    .option('--follow', 'go on with those that come')
    .action(
      act(async (options) => {
        const { count, follow } = options as Common & { count: number; follow?: boolean };
        const config = configOf(options);
        const rows = await ask(config, { ask: 'query', view: 'events', args: { count } });
        if (follow !== true && options.json === true) {
          print(rows);
          return 0;
        }
        for (const row of rows) showEvent(row, options);
        if (follow === true) {
          for await (const row of rowsOf(askAgent(config.runDirectory, { ask: 'follow' })))
            showEvent(row, options);
        }
        return 0;
      }),
    );

  command(
    'apply',
    'apply a signed bundle from a folder',
    `The folder holds assignment.json (the signed envelope) and bundle.json. The running agent takes the bundle
as if it had come over the link: verified, proven, on trial. The trial ends well only with the controller's
answer over a new connection, so a device without a link returns to its policy at the deadline.`,
  )
    .argument('<folder>', 'where the two files are')
    .option(...permitOption)
    .action(
      act(async (options, folder = '.') => {
        const what = { ask: 'apply', folder: absolute(folder) } as const;
        const rows = await ask(configOf(options), what, permitOf(options));
        const outcome = rows.at(-1) ?? {};
        if (options.json === true) print(outcome);
        else tools.out(showRecord(outcome));
        return outcome.result === 'confirmed' ? 0 : 1;
      }),
    );

  command(
    'return',
    'go back to the previous policy now',
    'Ends a trial that is running; outside one, puts the policy before this one in force. Works without a running\nagent too, where the kernel still holds that policy. The serial that was left is not tried again: the fleet has to sign a new one.',
  )
    .option(...permitOption)
    .action(
      act(async (options) => {
        const config = configOf(options);
        const rows = await ask(config, { ask: 'return' }, permitOf(options)).catch(
          ifNoAgent(async () => [
            {
              returned: await offlineReturn({ config, addon: await tools.addon(), files: tools.files }),
              without: 'agent',
            },
          ]),
        );
        const returned = rows.at(-1)?.returned === true;
        if (options.json === true) print({ returned });
        else if (returned) tools.out('returned to the previous policy\n');
        if (!returned) {
          tools.complain(
            rows.at(-1)?.without === 'agent'
              ? 'husk-agent: the kernel does not hold the previous policy; a running agent makes it again from the disk\n'
              : 'husk-agent: there is no previous policy to return to\n',
          );
        }
        return returned ? 0 : 1;
      }),
    );

  command(
    'unload',
    'take programs, maps and links out of the kernel',
    'Nothing is enforced afterwards. Bundles and identity stay on the disk: the next `run` enforces again.',
  )
    .option('--yes', 'do not ask')
    .option(...permitOption)
    .action(
      act(async (options) => {
        const config = configOf(options);
        const permit = permitOf(options);
        if (permit !== null) await ask(config, { ask: 'unprotect', seconds: unprotectSeconds }, permit);
        if (await isAgentRunning(config.runDirectory)) {
          const forSoLong = permit === null ? '' : `, within ${unprotectSeconds} seconds`;
          throw new Error(`the agent is running and would load everything again: stop it first${forSoLong}`);
        }
        if ((options as { yes?: boolean }).yes !== true && !(await isSure())) {
          tools.complain('husk-agent: nothing was changed (--yes does it without asking)\n');
          return 1;
        }
        const unloaded = await unloadKernel({ config, addon: await tools.addon(), files: tools.files });
        if (options.json === true) print({ unloaded });
        else tools.out(unloaded ? 'unloaded: nothing is enforced any more\n' : 'nothing was loaded\n');
        return 0;
      }),
    );

  command(
    'unprotect',
    'let go of what guards Husk itself, for a while',
    `Where Husk protects itself, nobody else can stop the agent, change its files or take its programs out. For an
upgrade, or to stop an agent that no supervisor minds, let go of it first: what is enforced stays enforced. The next
start of the agent protects it again, or the end of the time. Policy is not loosened by this, but who is root
may then loosen it. Shielded services are still refused, unless it is done by a permit.`,
  )
    .option('--seconds <n>', 'for how long; 0: no longer', readUnprotect, unprotectSeconds)
    .option(...permitOption)
    .action(
      act(async (options) => {
        const config = configOf(options);
        const { seconds } = options as Common & { seconds: number };
        const rows = await ask(config, { ask: 'unprotect', seconds }, permitOf(options)).catch(
          ifNoAgent(async () => [
            { unprotected: offlineUnprotect({ config, addon: await tools.addon() }, seconds), seconds },
          ]),
        );
        const unprotected = rows.at(-1)?.unprotected === true;
        if (options.json === true) print({ unprotected, seconds });
        else if (!unprotected) tools.out('Husk does not protect itself here\n');
        else tools.out(seconds === 0 ? 'protected\n' : `unprotected for ${seconds} seconds\n`);
        return 0;
      }),
    );

  command(
    'verify',
    'whether this device would accept a bundle in a folder',
    'The folder holds assignment.json (the signed envelope) and bundle.json. Serials are not looked at: an older\nbundle that is well signed verifies. By default the signer and the names are those this device enrolled with.',
  )
    .argument('<folder>', 'where the two files are')
    .option('--signer <key>', 'Ed25519 public key, base64, instead of the enrolled one')
    .option('--tenant <name>', 'with --signer: whom it must be for')
    .option('--device <name>', 'with --signer: whom it must be for')
    .action(
      act(async (options, folder = '.') => {
        const { trusted, we } = whomToBelieve(options);
        const { row, faults, isAcceptable } = verifyFolder(
          readBundleFolder(tools.files, absolute(folder)),
          trusted,
          we,
        );
        if (options.json === true) print({ ...row, faults: faults === '' ? [] : faults.split('\n') });
        else tools.out(showRecord(row));
        if (faults !== '') tools.complain(`${faults}\n`);
        return isAcceptable ? 0 : 1;
      }),
    );

  command(
    'judge',
    "what this machine's kernel makes of frames under a policy",
    `Reads JSON lines from standard input: first {"documents": […]}, then one {"direction": "ingress",
"interface": "wan0", "frame": "<base64>"} each. Answers with JSON lines: {"ready": true, …} once the programs are
loaded, then for each frame its verdict, reason and rule, or {"error": …} where the kernel does not run the program
on it. Attaches and pins nothing, and leaves what is enforced alone. Needs root, and no configuration.
\`husk policy simulate --kernel\` and \`husk policy test --kernel\` use it.`,
  ).action(
    act(async () => {
      await judgeFrames({ addon: await tools.addon(), input: tools.input, out: tools.out });
      return 0;
    }),
  );

  command(
    'trace',
    'follow matching packets live: what became of each, and by which rule',
    `Every packet that the programs judge and that fits what is asked is shown as it passes, allowed or not. Needs
root; works without a running agent. Ends with Ctrl-C, after --seconds, or after --count packets. One tracer at a
time.

Examples:
  husk-agent trace --address 192.0.2.7 --protocol tcp --port 22
  husk-agent trace --stopped --interface wan0 --seconds 10 --json`,
  )
    .option('--address <address>', 'source or destination: an address or a prefix', readAs(tracedAddress))
    .option('--port <n>', 'source or destination port', readPort)
    .option('--protocol <name>', 'tcp, udp, icmp …, or a number', readAs(protocolFrom))
    .option('--interface <name>', 'where it is judged')
    .option('--stopped', 'dropped and rejected packets alone')
    .option('--seconds <n>', 'end after that long', readCount)
    .option('--count <n>', 'end after so many packets', readCount)
    .action(act((options) => trace(options as TraceOptions)));

  command('version', 'version of this agent', 'The version is that of the whole project.').action(
    act(async (options) => {
      if (options.json === true) print({ version, node: process.versions.node });
      else tools.out(`husk-agent ${version}\n`);
      return 0;
    }),
  );

  return program;

  async function query(
    options: Common,
    view: View,
    args: ControlAsk extends never ? never : Row | undefined,
  ): Promise<number> {
    const config = configOf(options);
    const rows = await ask(config, { ask: 'query', view, args }).catch(
      ifNoAgent(async (none) => {
        const found = await offlineRows({ config, addon: await tools.addon(), files: tools.files }, view);
        if (found === null) throw none;
        return found;
      }),
    );
    if (options.json === true) print(view === 'status' ? rows[0] : rows);
    else tools.out(view === 'status' ? showRecord(rows[0] ?? {}) : showTable(rows));
    return 0;
  }

  async function trace(options: TraceOptions): Promise<number> {
    const addon = await tools.addon();
    const filter = traceFilter(options, addon);
    const kernel = await openPinned({ config: configOf(options), addon });
    if (kernel === null) throw new Error('nothing is loaded: is there an agent?');
    const enough = new AbortController();
    const ends = [tools.interrupted(), enough.signal];
    if (options.seconds !== undefined) ends.push(AbortSignal.timeout(options.seconds * 1000));
    let left = options.count ?? Number.POSITIVE_INFINITY;
    try {
      const lost = await tracePackets(filter, {
        addon,
        kernel,
        signal: AbortSignal.any(ends),
        show: (event) => {
          if (left-- <= 0) return;
          tools.out(`${options.json === true ? JSON.stringify(event) : traceLine(event)}\n`);
          if (left <= 0) enough.abort();
        },
      });
      if (lost > 0n) tools.complain(`husk-agent: ${lost} packets passed faster than they could be shown\n`);
    } finally {
      kernel.close();
    }
    return 0;
  }

  function whomToBelieve(options: Common): {
    readonly trusted: ReturnType<typeof trustKeys>;
    readonly we: { readonly tenant: string; readonly device: string };
  } {
    const { signer, tenant, device } = options as { signer?: string; tenant?: string; device?: string };
    if (signer === undefined) {
      const identity = new IdentityStore(tools.files, `${configOf(options).stateDirectory}/identity`).load();
      if (identity === null)
        throw new Error('this device is not enrolled: name --signer, --tenant and --device');
      return { trusted: trustSigners(identity), we: identity };
    }
    const key = decodeBase64(signer);
    if (key === null || tenant === undefined || device === undefined) {
      throw new CommanderError(
        2,
        'husk.signer',
        complainUsage('--signer takes base64, with --tenant and --device'),
      );
    }
    return { trusted: trustKeys([key]), we: { tenant, device } };
  }

  async function isSure(): Promise<boolean> {
    if (!tools.isTerminal) return false;
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return /^y(es)?$/i.test(
        (await terminal.question('Take all enforcement out of the kernel? [y/N] ')).trim(),
      );
    } finally {
      terminal.close();
    }
  }

  function showEvent(row: Row, options: Common): void {
    if (options.json === true) tools.out(`${JSON.stringify(row)}\n`);
    else tools.out(`${describeEvent(row)}\n`);
  }

  function print(value: unknown): void {
    tools.out(`${JSON.stringify(value, null, 2)}\n`);
  }

  function complainUsage(text: string): string {
    tools.complain(`husk-agent: ${text}\n`);
    return text;
  }
}

/** When, which stream, what; and what more there is to say of it. */
function describeEvent(row: Row): string {
  const event = row.event as HuskEvent;
  const when = typeof row.ts === 'number' ? new Date(row.ts).toISOString() : `+${row.mono}ms`;
  const line = `${when} ${showValue(row.stream)}#${row.seq} ${showValue(eventWords(event))}`;
  return [line, ...eventDetails(event).map((detail) => `    ${showValue(detail)}`)].join('\n');
}

async function collect(replies: ReturnType<typeof askAgent>): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for await (const row of rowsOf(replies)) rows.push(row);
  return rows;
}

/** Throws what the agent refused. */
async function* rowsOf(replies: ReturnType<typeof askAgent>): AsyncGenerator<Row> {
  for await (const reply of replies) {
    if ('refusal' in reply) throw new RefusalError(reply.refusal.code, reply.refusal.detail);
    if ('error' in reply) throw new Error(reply.error);
    if ('row' in reply) yield reply.row;
  }
}

function ifNoAgent<T>(otherwise: (none: NoAgent) => Promise<T>): (error: unknown) => Promise<T> {
  return (error) => {
    if (error instanceof NoAgent) return otherwise(error);
    throw error;
  };
}

/** An option's value, where `read` has nothing against it; else its sentence, as wrong usage. */
function readAs<T>(read: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return read(text);
    } catch (error) {
      throw new InvalidArgumentError(`${messageOf(error)}.`);
    }
  };
}

const readUnprotect = (text: string) => readNumber(text, 0, unprotectSecondsMax);
const readPort = (text: string) => readNumber(text, 0, 65535);
const readCount = (text: string) => readNumber(text, 1, eventsMax);

function readNumber(text: string, least: number, most: number): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  if (number < least || number > most)
    throw new InvalidArgumentError(`It has to be a whole number from ${least} to ${most}.`);
  return number;
}

/** Throws where it is no envelope; what it says the agent looks at. */
function readPermit(files: Files, path: string): PermitEnvelope {
  const bytes = files.readBounded(path, envelopeBytesMax);
  if (bytes === null) throw new Error(`${path}: there is no such file`);
  try {
    return z.record(z.string(), z.unknown()).parse(parseJson(bytes, { bytesMax: envelopeBytesMax }));
  } catch (error) {
    throw new Error(`${path}: not a permit: ${messageOf(error)}`, { cause: error });
  }
}

function absolute(folder: string): string {
  return isAbsolute(folder) ? folder : resolve(folder);
}

function describe(error: unknown): string {
  if (error instanceof RefusalError) return `${error.code}: ${refusals[error.code]} ${error.detail}`;
  if (error instanceof ConfigError) return error.message;
  if (error instanceof NotBelieved) return `${error.message} --boot ${readMachine().bootId}`;
  return messageOf(error);
}
