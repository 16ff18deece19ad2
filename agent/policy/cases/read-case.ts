// Reads case files: a policy, and packets and calls with the verdicts they must get. README.md has the form.

import type { ConnectionState } from '../../contract/policy.ts';
import { messageOf } from '../../contract/thrown.ts';
import { parseAddress } from '../addresses.ts';
import type { DeviceView } from '../device-view.ts';
import type { OperationAt } from '../evaluate.ts';
import type { CanaryOperation, Judgement, PacketAt, Reason } from '../judgement.ts';
import { protocolNumbers, socketFamilyNumbers, socketTypeNumbers } from '../numbers.ts';
import { readApplets, readOperation } from './operation-line.ts';
import { PacketLines } from './packet-line.ts';
import { readDevice } from './read-device.ts';

export interface Case {
  readonly file: string;
  /** The lines before the first section: what the case is about. */
  readonly about: string;
  readonly policy: string;
  /** What comes in force where a line says `swap`. */
  readonly next: string;
  /** Packets are judged one after another, on this device; null: each for itself, on one that has nothing. */
  readonly device: DeviceView | null;
  /** Lines of the file before the policy's first. */
  readonly policyLine: number;
  /** `line:column: path: message` each, counted from the policy's first line. */
  readonly faults: readonly string[];
  readonly packets: readonly PacketCase[];
  readonly calls: readonly CallCase[];
  readonly operations: readonly OperationCase[];
  /** Programs of many applets, and the names they have. */
  readonly applets: ReadonlyMap<string, readonly string[]>;
  /** Lines of the table image as the project's tests render it; null where the case does not say. */
  readonly tables: readonly string[] | null;
}

export interface PacketCase extends PacketAt {
  readonly line: number;
  readonly text: string;
  /** What was done just before it: `next` came into force, or was taken back. */
  readonly after?: 'swap' | 'return';
  /** Without `state` where the line says nothing of it. */
  readonly expect: Judgement;
}

export interface CallCase {
  readonly line: number;
  readonly text: string;
  readonly cgroup: string;
  readonly call: CanaryOperation;
  readonly expect: Judgement;
}

export interface OperationCase extends OperationAt {
  readonly line: number;
  readonly text: string;
  readonly expect: Judgement;
}

const sections = [
  'policy',
  'next',
  'device',
  'applets',
  'faults',
  'packets',
  'calls',
  'operations',
  'tables',
] as const;
type Section = (typeof sections)[number];

interface Line {
  readonly number: number;
  readonly text: string;
}

/** A text that is no case; the message begins with `file:line: `. */
export class CaseError extends Error {
  override readonly name = 'CaseError';
}

/** `file` names the text in messages. Throws CaseError. */
export function readCase(text: string, file: string): Case {
  const parts = new Map<Section | 'about', Line[]>([['about', []]]);
  let at: Section | 'about' = 'about';
  text
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
    .forEach((text, index) => {
      const section = /^=== (\w+)\s*$/.exec(text)?.[1];
      if (section === undefined) {
        parts.get(at)?.push({ number: index + 1, text });
        return;
      }
      const found = sections.find((one) => one === section);
      if (found === undefined) {
        throw new CaseError(
          `${file}:${index + 1}: no section "${section}"; there are ${sections.join(', ')}`,
        );
      }
      if (parts.has(found)) throw new CaseError(`${file}:${index + 1}: a second section "${section}"`);
      at = found;
      parts.set(at, []);
    });
  const lines = (section: Section) =>
    (parts.get(section) ?? []).filter(({ text }) => text.trim() !== '' && !text.startsWith('#'));
  const each = <T>(section: Section, read: (line: Line) => T) =>
    lines(section).map((line) => {
      try {
        return read(line);
      } catch (error) {
        throw new CaseError(`${file}:${line.number}: ${messageOf(error)}`);
      }
    });
  const whole = (section: Section) => (parts.get(section) ?? []).map(({ text }) => text).join('\n');
  const device = parts.has('device') ? deviceOf(whole('device'), file) : null;
  return {
    file,
    device,
    next: whole('next'),
    about: (parts.get('about') ?? []).map(({ text }) => text.replace(/^# ?/, '')).join('\n'),
    policyLine: (parts.get('policy')?.[0]?.number ?? 1) - 1,
    policy: whole('policy'),
    faults: lines('faults').map(({ text }) => text),
    packets: readPackets(each, new PacketLines(device)),
    calls: each('calls', readCall),
    operations: each('operations', ({ number, text }) => {
      const [, operation = '', verdict = ''] = /^(.*) => (.*)$/.exec(text) ?? [];
      return { line: number, text, ...readOperation(operation), expect: readVerdict(verdict) };
    }),
    applets: new Map(each('applets', ({ text }) => readApplets(text))),
    tables: parts.has('tables') ? lines('tables').map(({ text }) => text) : null,
  };
}

type Each = <T>(section: Section, read: (line: Line) => T) => readonly T[];

/** `ingress wan0: ipv4 … / tcp … => drop by p/rule`, and between them `swap` and `return`. */
function readPackets(each: Each, lines: PacketLines): readonly PacketCase[] {
  let after: PacketCase['after'];
  return each('packets', ({ number, text }): readonly PacketCase[] => {
    if (text === 'swap' || text === 'return') {
      after = text;
      return [];
    }
    const { at, verdict } = lines.read(text);
    const packet = { line: number, text, ...at, expect: readVerdict(verdict) };
    const before = after;
    after = undefined;
    return [before === undefined ? packet : { ...packet, after: before }];
  }).flat();
}

function deviceOf(text: string, file: string): DeviceView {
  try {
    return readDevice(text);
  } catch (error) {
    throw new CaseError(`${file}: device: ${messageOf(error)}`);
  }
}

/** `daemons/x: connect tcp 192.0.2.1 443 => deny by h/rule` */
function readCall({ number, text }: Line): CallCase {
  const parts = /^(\S+): (.*) => (.*)$/.exec(text);
  if (parts === null) throw new Error('has to be CGROUP: CALL … => VERDICT');
  const [, cgroup = '', call = '', verdict = ''] = parts;
  return { line: number, text, cgroup, call: readCallWords(call), expect: readVerdict(verdict) };
}

/** `connect tcp 192.0.2.1 443`, `socket inet raw`. Throws Error with a sentence about what cannot be understood. */
export function readCallWords(text: string): CanaryOperation {
  const parts = /^(\w+) (\S+) (\S+)(?: (\d+))?$/.exec(text);
  if (parts === null) throw new Error('has to be CALL TRANSPORT ADDRESS PORT, or socket FAMILY TYPE');
  const [, call = '', second = '', third = '', port] = parts;
  return call === 'socket' ? socketCall(second, third) : addressCall(call, second, third, port);
}

function socketCall(familyWord: string, typeWord: string): CanaryOperation {
  const family = socketFamilyNumbers[familyWord as keyof typeof socketFamilyNumbers];
  const type = socketTypeNumbers[typeWord as keyof typeof socketTypeNumbers];
  if (family === undefined || type === undefined) throw new Error('socket FAMILY TYPE');
  return { call: 'socket', family, type, protocol: typeWord === 'raw' ? 255 : 0 };
}

function addressCall(
  call: string,
  transport: string,
  address: string,
  portText: string | undefined,
): CanaryOperation {
  const port = Number(portText);
  if (portText === undefined || port > 65_535) throw new Error(`${call} TRANSPORT ADDRESS PORT`);
  if (call !== 'connect' && call !== 'sendto' && call !== 'bind') throw new Error(`"${call}" is no call`);
  if (transport !== 'tcp' && transport !== 'udp') throw new Error('tcp or udp');
  const bytes = parseAddress(address);
  const isIpv4 = !address.includes(':');
  return {
    call,
    family: isIpv4 ? 4 : 6,
    type: transport === 'tcp' ? socketTypeNumbers.stream : socketTypeNumbers.dgram,
    protocol: protocolNumbers[transport],
    address: isIpv4 ? bytes.slice(12) : bytes,
    port,
  };
}

/** What `readVerdict` reads. */
export function verdictText({ verdict, reason, rule, monitored, state, kills }: Judgement): string {
  const by = rule === null ? reason : reason === 'limited' ? `limited by ${rule}` : `by ${rule}`;
  const noted = monitored === null ? '' : ` monitored ${monitored}`;
  const killed = kills === true ? ' kills' : '';
  return `${verdict} ${by}${killed}${noted}${state === undefined ? '' : ` state ${state ?? 'none'}`}`;
}

const reasons: readonly string[] = [
  'default',
  'never-drop',
  'unparseable',
  'unzoned',
  'deferred',
  'own-source',
  'no-subject',
] satisfies readonly Reason[];
const states: readonly string[] = [
  'new',
  'established',
  'related',
  'invalid',
] satisfies readonly ConnectionState[];

/** `drop by p/rule`, `drop limited by p/rule`, `allow never-drop`, with `kills`, `monitored p/rule` and `state new` or without. */
export function readVerdict(text: string): Judgement {
  const parts =
    /^(allow|drop|reject|deny)(?:( limited)? by (\S+)| (\S+))?( kills)?(?: monitored (\S+))?(?: state (\S+))?$/.exec(
      text,
    );
  if (parts === null) throw new Error(`"${text}" is no verdict`);
  const [, verdict, limited, rule, reason, kills, monitored, state] = parts;
  if (rule === undefined && (reason === undefined || !reasons.includes(reason))) {
    throw new Error('a verdict says the rule or the reason');
  }
  if (state !== undefined && state !== 'none' && !states.includes(state)) {
    throw new Error(`"${state}" is no state`);
  }
  const isDefault = rule !== undefined && /(:|\/)default-/.test(rule);
  const byRule = limited !== undefined ? 'limited' : isDefault ? 'default' : 'rule';
  return {
    verdict: verdict as Judgement['verdict'],
    reason: rule === undefined ? (reason as Reason) : byRule,
    rule: rule ?? null,
    monitored: monitored ?? null,
    ...(kills === undefined ? {} : { kills: true }),
    ...(state === undefined ? {} : { state: state === 'none' ? null : (state as ConnectionState) }),
  };
}
