// Reads case files: a policy, and packets and calls with the verdicts they must get. README.md has the form.

import { readFileSync } from 'node:fs';
import { parseAddress } from '../../agent/policy/addresses.ts';
import type { CanaryOperation, Judgement, Reason } from '../../agent/policy/judgement.ts';
import { protocolNumbers, socketFamilyNumbers, socketTypeNumbers } from '../../agent/policy/numbers.ts';
import { frameFromText } from './frame-text.ts';

export interface Case {
  readonly file: string;
  /** The lines before the first section: what the case is about. */
  readonly about: string;
  readonly policy: string;
  /** `line:column: path: message` each, counted from the policy's first line. */
  readonly faults: readonly string[];
  readonly packets: readonly PacketCase[];
  readonly calls: readonly CallCase[];
  /** Lines of the table image as render-image.ts writes them; null where the case does not say. */
  readonly tables: readonly string[] | null;
}

export interface PacketCase {
  readonly line: number;
  readonly text: string;
  readonly direction: 'ingress' | 'egress';
  readonly interface: string;
  readonly frame: Uint8Array;
  readonly expect: Judgement;
}

export interface CallCase {
  readonly line: number;
  readonly text: string;
  readonly cgroup: string;
  readonly call: CanaryOperation;
  readonly expect: Judgement;
}

const sections = ['policy', 'faults', 'packets', 'calls', 'tables'] as const;
type Section = (typeof sections)[number];

interface Line {
  readonly number: number;
  readonly text: string;
}

export function readCase(file: string): Case {
  const parts = new Map<Section | 'about', Line[]>([['about', []]]);
  let at: Section | 'about' = 'about';
  readFileSync(file, 'utf8')
    .split('\n')
    .forEach((text, index) => {
      const section = /^=== (\w+)$/.exec(text)?.[1];
      if (section === undefined) {
        parts.get(at)?.push({ number: index + 1, text });
        return;
      }
      const found = sections.find((one) => one === section);
      if (found === undefined || parts.has(found))
        throw new Error(`${file}:${index + 1}: section "${section}"`);
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
        throw new Error(`${file}:${line.number}: ${error instanceof Error ? error.message : error}`);
      }
    });
  return {
    file,
    about: (parts.get('about') ?? []).map(({ text }) => text.replace(/^# ?/, '')).join('\n'),
    policy: (parts.get('policy') ?? []).map(({ text }) => text).join('\n'),
    faults: lines('faults').map(({ text }) => text),
    packets: each('packets', readPacket),
    calls: each('calls', readCall),
    tables: parts.has('tables') ? lines('tables').map(({ text }) => text) : null,
  };
}

/** `ingress wan0: ipv4 … / tcp … => drop by p/rule` */
function readPacket({ number, text }: Line): PacketCase {
  const parts = /^(ingress|egress) (\S+): (.*) => (.*)$/.exec(text);
  if (parts === null) throw new Error('has to be DIRECTION INTERFACE: HEADERS => VERDICT');
  const [, direction, name = '', packet = '', verdict = ''] = parts;
  return {
    line: number,
    text,
    direction: direction === 'egress' ? 'egress' : 'ingress',
    interface: name,
    frame: frameFromText(packet),
    expect: readVerdict(verdict),
  };
}

/** `daemons/x: connect tcp 192.0.2.1 443 => deny by h/rule` */
function readCall({ number, text }: Line): CallCase {
  const parts = /^(\S+): (\w+) (\S+) (\S+)(?: (\d+))? => (.*)$/.exec(text);
  if (parts === null) throw new Error('has to be CGROUP: CALL … => VERDICT');
  const [, cgroup = '', call = '', second = '', third = '', port, verdict = ''] = parts;
  return {
    line: number,
    text,
    cgroup,
    call: call === 'socket' ? socketCall(second, third) : addressCall(call, second, third, Number(port)),
    expect: readVerdict(verdict),
  };
}

function socketCall(familyWord: string, typeWord: string): CanaryOperation {
  const family = socketFamilyNumbers[familyWord as keyof typeof socketFamilyNumbers];
  const type = socketTypeNumbers[typeWord as keyof typeof socketTypeNumbers];
  if (family === undefined || type === undefined) throw new Error('socket FAMILY TYPE');
  return { call: 'socket', family, type, protocol: typeWord === 'raw' ? 255 : 0 };
}

function addressCall(call: string, transport: string, address: string, port: number): CanaryOperation {
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

const reasons: readonly string[] = ['default', 'never-drop', 'unparseable', 'unzoned', 'no-subject'];

/** `drop by p/rule`, `allow never-drop`, `allow default`, each with `monitored p/rule` or without. */
export function readVerdict(text: string): Judgement {
  const parts = /^(allow|drop|deny)(?: by (\S+)| (\S+))?(?: monitored (\S+))?$/.exec(text);
  if (parts === null) throw new Error(`"${text}" is no verdict`);
  const [, verdict, rule, reason, monitored] = parts;
  if (rule === undefined && (reason === undefined || !reasons.includes(reason))) {
    throw new Error('a verdict says the rule or the reason');
  }
  const isDefault = rule !== undefined && /(:|\/)default-/.test(rule);
  return {
    verdict: verdict as Judgement['verdict'],
    reason: rule === undefined ? (reason as Reason) : isDefault ? 'default' : 'rule',
    rule: rule ?? null,
    monitored: monitored ?? null,
  };
}
