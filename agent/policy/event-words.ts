// An event in words, for people: the same wherever one is shown. Of hostile text nothing is taken out here: who puts it
// on a terminal makes it harmless.

import type {
  CallEvent,
  EventProcess,
  EventProgram,
  HuskEvent,
  OperationEvent,
  PacketEvent,
  TaskFinding,
} from '../contract/event.ts';
import { capabilityNames } from './capabilities.ts';
import { endpointWords } from './packet-words.ts';

/** What happened, in one line. */
export function eventWords(event: HuskEvent): string {
  switch (event.kind) {
    case 'packet':
      return packetEventWords(event);
    case 'call':
      return findingWords(event, `${event.call} ${callTarget(event)}`);
    case 'operation':
      return findingWords(event, `${event.operation} ${operationTarget(event)}`.trimEnd());
    case 'audit':
      return `${event.what} ${JSON.stringify(event.detail)}`;
    case 'gap':
      return `lost ${event.lost} events (${event.where})`;
  }
}

/** What more there is to say, a line each: who did it and from where he comes, and what would allow it. */
export function eventDetails(event: HuskEvent): string[] {
  if (event.kind !== 'call' && event.kind !== 'operation') return [];
  const tier = event.tier === undefined ? '' : `, tier ${event.tier}`;
  const { process, remediation } = event;
  return [
    process == null ? `by a process that is not known${tier}` : `${processWords(process)}${tier}`,
    ...(remediation === undefined ? [] : [remediation.desc]),
  ];
}

function packetEventWords(event: PacketEvent): string {
  const from = endpoint(event.from, event.fromPort);
  const to = endpoint(event.to, event.toPort);
  const way = event.cameBy === undefined ? event.interface : `${event.cameBy} → ${event.interface}`;
  const verdict =
    event.mode === 'monitor' && event.verdict !== 'allow' ? `would ${event.verdict}` : event.verdict;
  return `${verdict} ${way} protocol ${event.protocol} ${from} → ${to} by ${event.rule ?? event.reason}${event.reason === 'limited' ? ' (above its limit)' : ''}${times(event.count)}`;
}

function findingWords(event: CallEvent | OperationEvent, what: string): string {
  const { rule, shield, process, count, duration } = event;
  const of = process == null ? '' : ` by ${process.name}`;
  const rules = rule === null ? '' : ` (${rule}${shieldWords(shield)})`;
  const during = duration === undefined || duration < 1000 ? '' : ` in ${(duration / 1000).toFixed(1)} s`;
  return `${verdictWord(event)} ${what}${of}${rules}${times(count)}${count > 1 ? during : ''}`;
}

/** One word for verdict, mode and what became of the process. */
function verdictWord(event: Pick<TaskFinding, 'verdict' | 'mode' | 'killed'>): string {
  if (event.verdict === 'allow') return 'observed';
  if (event.mode === 'monitor') return 'would-deny';
  return event.killed === true ? 'killed' : 'denied';
}

function shieldWords(shield: TaskFinding['shield']): string {
  if (shield === undefined) return '';
  return `, ${[...shield.cve, shield.severity].join(' ')}`;
}

const callTarget = ({ call, family, type, address, port }: CallEvent) =>
  call === 'socket' || address === '' ? `${family} ${type}` : endpoint(address, port);

function operationTarget({ operation, file, number, traits }: OperationEvent): string {
  const numbered = operation === 'capability' ? (capabilityNames[number ?? -1] ?? number) : number;
  return [
    ...(file === null ? [] : [file.path]),
    ...(file?.name === undefined ? [] : [`as ${file.name}`]),
    ...(numbered === undefined ? [] : [String(numbered)]),
    ...(traits ?? []).map((trait) => `(${trait})`),
  ].join(' ');
}

function processWords(process: EventProcess): string {
  const { pid, user, cgroup, container, file, ancestry, ancestryIsWhole } = process;
  const from = ancestry.map((one) => ` ← ${programWords(one)}`).join('');
  const where = container === undefined ? cgroup : `${container.runtime} ${container.uid.slice(0, 12)}`;
  const more = ancestryIsWhole ? '' : ' ← unknown';
  return `process ${pid}, uid ${user.uid}: ${programWords(file)}${from}${more}, in ${where}`;
}

function programWords({ path, name, number }: EventProgram): string {
  const known = path ?? (number === undefined ? 'unknown' : `unknown ${number}`);
  return name === undefined ? known : `${known} as ${name}`;
}

const times = (count: number) => (count > 1 ? ` ×${count}` : '');

function endpoint(address: string, port: number): string {
  return endpointWords(address, port === 0 ? null : port);
}
