// husk policy simulate: what a policy would have made of captured packets, by the evaluator or by the real programs.

import { InvalidArgumentError, Option } from 'commander';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { messageOf } from '../../agent/contract/thrown.ts';
import { type CapturedPacket, CaptureError } from '../../agent/policy/capture/captured-packet.ts';
import { capturedPackets } from '../../agent/policy/capture/read-capture.ts';
import { formatFault } from '../../agent/policy/faults.ts';
import { type Direction, directions, ruleId, zoneDefaultId } from '../../agent/policy/ids.ts';
import { checkOwnAddress } from '../../agent/policy/own-addresses.ts';
import { shieldsAsPolicies } from '../../agent/policy/shields-as-policies.ts';
import { type SimulatedPacket, simulate, type Where } from '../../agent/policy/simulate.ts';
import { type PolicyZone, policyZones, zoneOfInterface } from '../../agent/policy/zones.ts';
import { readPolicyFiles } from '../policy/documents.ts';
import { type CaptureFile, openCaptureFile } from './capture-file.ts';
import { type CommandFile, withJson } from './common.ts';
import { Failure, type Io, shown, UsageError } from './io.ts';
import { KernelJudge } from './kernel-judge.ts';
import {
  counted,
  type Outcome,
  OutcomeLines,
  outcomeJson,
  outcomeOf,
  SimulationSummary,
} from './simulation.ts';

interface Options {
  readonly pcap: string;
  readonly zone?: string;
  readonly interface?: string;
  readonly direction?: Direction;
  readonly own?: readonly string[];
  readonly kernel?: boolean;
  readonly summary?: boolean;
  readonly json?: boolean;
}

/** Packets between two looks at what else there is to do, and frames that are with the agent at a time. */
const batchPackets = 256;
/** Between two lines of progress. */
const progressMs = 250;

export const policySimulate: CommandFile = (parent, io) => {
  withJson(parent, 'simulate <files...>', 'Show what a policy would have made of the packets of a capture')
    .requiredOption('--pcap <file>', 'the capture, pcap or pcapng')
    .option('--zone <zone>', 'judge all packets as of this zone')
    .option('--interface <name>', 'judge all packets as of this interface, in a zone or not')
    .addOption(
      new Option('--direction <way>', 'judge all packets as arriving or as leaving').choices([...directions]),
    )
    .option(
      '--own <addresses>',
      'addresses of the device, with commas between, as in 192.0.2.1/24,2001:db8::1/64',
      ownList,
    )
    .option('--kernel', 'verdicts of the real programs in this machine’s kernel (root; nothing is attached)')
    .option('--summary', 'only the sums by rule')
    .addHelpText(
      'after',
      `
Packets count from 0. A rule in monitor mode that would have decided is named below its packet, or as
\`monitored\`. With --json one JSON line a packet:

  {"index": 7, "verdict": "drop", "rule": "branch-wan/listed", "reason": "rule", "monitored": null,
   "time": "2026-11-30T03:00:00.123456789Z", "interface": "eth0", "direction": "ingress", "bytes": 74}

\`rule\` is null where none speaks; then the reason does: never-drop, unparseable, unzoned, default. \`verdict\` is
null where nobody can say: reason cut-short, the capture kept less of the packet than its headers; not-run, the
kernel runs no program on such a packet. --summary --json prints one object instead.

Where packets are judged: as --zone or --interface says; else on the interface the capture names, if it is in a
zone; else in the first zone that has rules for the direction. Direction: as --direction says; else as the
capture does (pcapng, Linux cooked); else ingress. Captures of Ethernet, raw IP, Linux cooked and BSD loopback
are read. What is in a damaged file before the damage is judged, and the exit is 1.

What goes to an address of --own, or to the broadcast address of its network, is to the device (toDevice); without
--own only groups and 255.255.255.255 are, which is said where a rule asks for it.

--kernel starts husk-agent (HUSK_AGENT, beside husk, or in PATH), runs the programs that devices run by the compiled
tables of the policy, and compares each verdict with the evaluator's: any difference is said and ends with 1.

Example:
  husk policy simulate branch.yaml --pcap uplink.pcap --zone wan --own 198.51.100.2/30
  husk policy simulate branch.yaml --pcap uplink.pcapng --zone wan --summary
  sudo husk policy simulate branch.yaml --pcap uplink.pcap --zone wan --kernel --json | jq -c 'select(.differs)'`,
    )
    .action(async (files: readonly string[], options: Options) => {
      if (options.zone !== undefined && options.interface !== undefined) {
        throw new UsageError('say --zone or --interface: an interface is in one zone at the most');
      }
      const written = readPolicy(io, files);
      const documents = shieldsAsPolicies(written);
      if (options.own === undefined && asksToDevice(documents))
        io.err(
          'rules ask for packets to the device, of which no address is known here: only groups and broadcasts are; say them with --own',
        );
      const zones = policyZones(documents);
      const where = whereOf(zones, options);
      const file = openCaptureFile(options.pcap);
      const judge = options.kernel === true ? await KernelJudge.start(io, written, options.own) : null;
      try {
        await run({ io, options, documents, zones, where, file, judge });
      } finally {
        await judge?.close();
      }
    });
};

interface Simulation {
  readonly io: Io;
  readonly options: Options;
  readonly documents: readonly PolicyDocument[];
  readonly zones: readonly PolicyZone[];
  readonly where: Where;
  readonly file: CaptureFile;
  readonly judge: KernelJudge | null;
}

async function run({ io, options, documents, zones, where, file, judge }: Simulation): Promise<void> {
  const rules = ruleIds(documents);
  const summary = new SimulationSummary();
  const lines = new OutcomeLines(io, {
    interfaceLength: Math.max(4, ...zones.map((zone) => zone.interface.length)),
    ruleLength: Math.max(0, ...[...rules, ...zones.flatMap(defaultIds)].map((rule) => rule.length)),
  });
  const isTable = options.json !== true && options.summary !== true;
  const progress = new Progress(io, file, summary);
  let fault: CaptureError | null = null;
  const packets = untilFault(capturedPackets(file.chunks), (error) => {
    fault = error;
  });
  let isBegun = false;
  for (const batch of batches(simulate(documents, packets, where, options.own), batchPackets)) {
    const outcomes = await judgeBatch(batch, judge);
    // Of a file that is no capture there is nothing to show.
    if (isTable && !isBegun) lines.head();
    isBegun = true;
    for (const outcome of outcomes) {
      summary.add(outcome);
      if (isTable) lines.line(outcome);
    }
    if (options.json === true && options.summary !== true) {
      io.out(outcomes.map((outcome) => JSON.stringify(outcomeJson(outcome))).join('\n'));
    }
    progress.look();
    // What was written goes out, and a reader that is gone, or an interrupt, is heard of.
    await nextTurn();
  }
  progress.end();
  if (!isBegun && fault !== null)
    throw new Failure(shown(`${options.pcap}: ${(fault as CaptureError).message}`));
  if (options.summary === true && options.json === true) io.out(JSON.stringify(summary.json(), null, 2));
  else if (options.json !== true) {
    if (isTable) io.out('');
    summary.show(io, rules);
  }
  const wrong = [
    ...(fault === null ? [] : [`${options.pcap}: ${(fault as CaptureError).message}`]),
    ...(summary.differing === 0
      ? []
      : [`evaluator and kernel differ on ${counted(summary.differing, 'packet')}: please report it`]),
  ];
  if (wrong.length > 0) throw new Failure(shown(wrong.join('; ')));
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function judgeBatch(
  batch: readonly SimulatedPacket[],
  judge: KernelJudge | null,
): Promise<readonly Outcome[]> {
  if (judge === null) return batch.map((one) => outcomeOf(one, null));
  const asked = batch.flatMap(({ at, judgement }) =>
    at === null ? [] : [{ at, state: judgement?.state ?? null }],
  );
  const answers = [...(await judge.judge(asked))];
  return batch.map((one) => outcomeOf(one, one.at === null ? null : (answers.shift() ?? null)));
}

function readPolicy(io: Io, files: readonly string[]): readonly PolicyDocument[] {
  const { documents, faults } = readPolicyFiles(files);
  for (const fault of faults) io.err(formatFault(fault));
  const errors = faults.filter((fault) => fault.severity === 'error').length;
  if (errors > 0) throw new Failure(`not simulated: ${counted(errors, 'fault')}`);
  return documents;
}

/** Whether it makes a difference which addresses the device has. */
const asksToDevice = (documents: readonly PolicyDocument[]): boolean =>
  documents.some(
    (one) =>
      one.kind === 'PacketPolicy' &&
      one.spec.mode !== 'off' &&
      one.spec.ingress.some(({ rules }) =>
        rules.some(({ toDevice, mode }) => toDevice !== undefined && mode !== 'off'),
      ),
  );

function ownList(text: string): readonly string[] {
  const addresses = text.split(',').map((one) => one.trim());
  for (const one of addresses) {
    try {
      checkOwnAddress(one);
    } catch (error) {
      throw new InvalidArgumentError(messageOf(error));
    }
  }
  return addresses;
}

/** Where packets are taken to be, by what was asked for. */
function whereOf(zones: readonly PolicyZone[], options: Options): Where {
  const direction = options.direction ?? null;
  const fixed =
    options.interface ?? (options.zone === undefined ? null : zoneNamed(zones, options.zone).interface);
  if (fixed !== null) return { direction, interface: () => fixed };
  const fallback = zones.find(({ judged }) => judged.includes(direction ?? 'ingress')) ?? zones[0] ?? null;
  return {
    direction,
    interface: ({ interface: name }: CapturedPacket) =>
      name !== null && zoneOfInterface(zones, name) !== null ? name : (fallback?.interface ?? name ?? 'none'),
  };
}

/** `wan`, or `policy/wan` where two documents have one of that name. */
function zoneNamed(zones: readonly PolicyZone[], name: string): PolicyZone {
  const found = zones.filter(({ document, zone }) => zone === name || `${document}/${zone}` === name);
  const [zone, other] = found;
  if (zone === undefined) {
    const known = zones.map((one) => one.zone);
    throw new UsageError(
      known.length === 0
        ? 'the policy has no zones'
        : `the policy has no zone ${name}; it has ${known.join(', ')}`,
    );
  }
  if (other !== undefined) {
    throw new UsageError(
      `there are two zones ${name}: ${found.map((one) => `${one.document}/${one.zone}`).join(', ')}`,
    );
  }
  return zone;
}

const defaultIds = ({ document, zone, judged }: PolicyZone): readonly string[] =>
  judged.map((direction) => zoneDefaultId({ metadata: { name: document } }, zone, direction));

const ruleIds = (documents: readonly PolicyDocument[]): readonly string[] =>
  documents
    .filter((one) => one.kind === 'PacketPolicy')
    .filter(({ spec }) => spec.mode !== 'off')
    .flatMap((one) =>
      directions.flatMap((direction) =>
        one.spec[direction].flatMap((list) =>
          list.rules.filter((rule) => rule.mode !== 'off').map((rule) => ruleId(one, rule)),
        ),
      ),
    );

/** What came before the fault is judged as well. */
function* untilFault(
  packets: Iterable<CapturedPacket>,
  onFault: (error: CaptureError) => void,
): Generator<CapturedPacket> {
  try {
    yield* packets;
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    onFault(error);
  }
}

function* batches(packets: Iterable<SimulatedPacket>, size: number): Generator<readonly SimulatedPacket[]> {
  let batch: SimulatedPacket[] = [];
  for (const packet of packets) {
    batch.push(packet);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** Says how far it is, now and then, where somebody watches. */
class Progress {
  readonly #io: Io;
  readonly #file: CaptureFile;
  readonly #summary: SimulationSummary;
  #next = Date.now() + progressMs;

  constructor(io: Io, file: CaptureFile, summary: SimulationSummary) {
    this.#io = io;
    this.#file = file;
    this.#summary = summary;
  }

  look(): void {
    if (this.#io.progress === undefined || Date.now() < this.#next) return;
    this.#next = Date.now() + progressMs;
    const { bytes, readBytes } = this.#file;
    const share = bytes === 0 ? '' : `, ${Math.floor((readBytes() / bytes) * 100)} %`;
    this.#io.progress(`${counted(this.#summary.packets, 'packet')}${share}`);
  }

  end(): void {
    this.#io.progress?.(null);
  }
}
