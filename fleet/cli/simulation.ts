// What a simulation found of one packet, in JSON and in words, and the sum of it by rule.

import type { CapturedPacket } from '../../agent/policy/capture/captured-packet.ts';
import type { Judgement } from '../../agent/policy/judgement.ts';
import { packetWords } from '../../agent/policy/packet-words.ts';
import type { SimulatedPacket } from '../../agent/policy/simulate.ts';
import { type Io, type Style, shown, table } from './io.ts';
import type { KernelAnswer } from './kernel-judge.ts';

/** A packet with the verdict that counts: the kernel's where it was asked, else the evaluator's. */
export interface Outcome {
  readonly simulated: SimulatedPacket;
  /** null where it was not asked, or the capture cut the packet. */
  readonly kernel: KernelAnswer | null;
  readonly judgement: Judgement | null;
  /** Where there is none. */
  readonly why: 'cut-short' | 'not-run' | null;
  readonly differs: boolean;
}

export function outcomeOf(simulated: SimulatedPacket, kernel: KernelAnswer | null): Outcome {
  const { judgement } = simulated;
  if (judgement === null) return { simulated, kernel, judgement, why: 'cut-short', differs: false };
  if (kernel === null) return { simulated, kernel, judgement, why: null, differs: false };
  if ('error' in kernel) return { simulated, kernel, judgement: null, why: 'not-run', differs: false };
  return { simulated, kernel, judgement: kernel, why: null, differs: !isSame(kernel, judgement) };
}

/** Programs that are only tried take no tokens: to them every packet is within its limit. */
const isSame = (kernel: Judgement, evaluator: Judgement) =>
  evaluator.reason === 'limited' ||
  (kernel.verdict === evaluator.verdict &&
    kernel.reason === evaluator.reason &&
    kernel.rule === evaluator.rule &&
    kernel.monitored === evaluator.monitored);

/** The line of a packet for machines. */
export function outcomeJson(outcome: Outcome): Record<string, unknown> {
  const { simulated, kernel, judgement, why, differs } = outcome;
  const { packet, interface: name, direction } = simulated;
  return {
    index: packet.index,
    verdict: judgement?.verdict ?? null,
    rule: judgement?.rule ?? null,
    reason: judgement?.reason ?? why,
    monitored: judgement?.monitored ?? null,
    time: timeText(packet.timeNs),
    interface: name,
    direction,
    bytes: packet.originalLength,
    ...(kernel !== null && 'error' in kernel ? { error: kernel.error } : {}),
    ...(differs || why === 'not-run' ? { evaluator: simulated.judgement } : {}),
    ...(differs ? { differs: true } : {}),
  };
}

/** `2026-11-30T03:00:00.123456789Z`; seconds since 1970 where a clock went beyond what dates have. */
export function timeText(ns: bigint | null): string | null {
  if (ns === null) return null;
  const seconds = ns / 1_000_000_000n - (ns % 1_000_000_000n < 0n ? 1n : 0n);
  const rest = String(ns - seconds * 1_000_000_000n).padStart(9, '0');
  const date = new Date(Number(seconds) * 1000);
  const head = Number.isNaN(date.getTime()) ? `@${seconds}` : date.toISOString().slice(0, -5);
  return head.startsWith('@') ? `${head}.${rest}` : `${head}.${rest}Z`;
}

/** Widths of the columns that are known before the first packet; the last column needs none. */
const widths = { index: 6, time: 12, verdict: 7, rule: 24 } as const;

export class OutcomeLines {
  readonly #io: Io;
  readonly #atWidth: number;
  readonly #ruleWidth: number;
  #first: bigint | null = null;

  /** `ruleLength`: of the longest rule there is. */
  constructor(io: Io, names: { readonly interfaceLength: number; readonly ruleLength: number }) {
    this.#io = io;
    this.#atWidth = Math.max('AT'.length, names.interfaceLength + 'out '.length);
    this.#ruleWidth = Math.min(Math.max(widths.rule, names.ruleLength), 48);
  }

  head(): void {
    const where = this.#where('INDEX', 'TIME', 'AT');
    this.#io.out(this.#io.paint('dim', `${where}VERDICT${this.#behind('VERDICT', 'RULE', 'PACKET')}`));
  }

  line(outcome: Outcome): void {
    const { simulated, judgement, why, differs } = outcome;
    const { packet, direction, interface: name } = simulated;
    const at = `${direction === 'ingress' ? 'in' : 'out'} ${name}`;
    const verdict = judgement?.verdict ?? '-';
    const where = this.#where(String(packet.index), this.#sinceFirst(packet), shown(at));
    const behind = this.#behind(verdict, shown(ruleWords(outcome)), shown(wordsOf(simulated)));
    const style = styleOf(verdict, why);
    this.#io.out(`${where}${style === null ? verdict : this.#io.paint(style, verdict)}${behind}`);
    const from = where.length;
    const monitored = judgement?.monitored ?? null;
    if (monitored !== null)
      this.#io.out(this.#io.paint('yellow', `${' '.repeat(from)}monitored by ${monitored}`));
    if (differs) {
      this.#io.out(
        this.#io.paint(
          'red',
          `${' '.repeat(from)}differs: the evaluator says ${judgementWords(simulated.judgement)}`,
        ),
      );
    }
  }

  /** What stands before the verdict. Names and times may be longer than their columns. */
  #where(index: string, time: string, at: string): string {
    const cells = [index.padStart(widths.index), time.padStart(widths.time), at.padEnd(this.#atWidth), ''];
    return cells.join('  ');
  }

  /** What stands behind the verdict, which is painted by itself, after the widths are right. */
  #behind(verdict: string, rule: string, packet: string): string {
    const space = ' '.repeat(Math.max(0, widths.verdict - verdict.length));
    return [space, rule.padEnd(this.#ruleWidth), packet].join('  ');
  }

  /** Seconds since the first packet that has a time. */
  #sinceFirst({ timeNs }: CapturedPacket): string {
    if (timeNs === null) return '-';
    this.#first ??= timeNs;
    const since = timeNs - this.#first;
    const micro = (since < 0n ? -since : since) / 1000n;
    return `${since < 0n ? '-' : ''}${micro / 1_000_000n}.${String(micro % 1_000_000n).padStart(6, '0')}`;
  }
}

const styleOf = (verdict: string, why: Outcome['why']): Style | null =>
  why !== null ? 'yellow' : verdict === 'allow' ? 'green' : 'red';

function ruleWords({ judgement, why, kernel }: Outcome): string {
  if (judgement !== null) return judgement.rule ?? judgement.reason;
  if (why === 'cut-short') return 'cut short by the capture';
  return `not run: ${kernel !== null && 'error' in kernel ? kernel.error : ''}`;
}

const wordsOf = ({ packet, at }: SimulatedPacket) =>
  at === null ? `${packet.bytes.length} of ${packet.originalLength} bytes` : packetWords(at.frame, at.link);

const judgementWords = (judgement: Judgement | null): string =>
  judgement === null ? 'nothing' : `${judgement.verdict} by ${judgement.rule ?? judgement.reason}`;

interface Sum {
  readonly verdict: string;
  readonly rule: string | null;
  readonly reason: string;
  packets: number;
  bytes: number;
}

/** Counts by verdict and rule, as packets come. Bytes are those that were on the wire. */
export class SimulationSummary {
  readonly #sums = new Map<string, Sum>();
  readonly #monitored = new Map<string, Sum>();
  packets = 0;
  bytes = 0;
  cutShort = 0;
  notRun = 0;
  differing = 0;

  add({ simulated, judgement, why, differs }: Outcome): void {
    const bytes = simulated.packet.originalLength;
    this.packets++;
    this.bytes += bytes;
    if (differs) this.differing++;
    if (why === 'cut-short') this.cutShort++;
    if (why === 'not-run') this.notRun++;
    if (judgement === null) return;
    const { verdict, rule, reason, monitored } = judgement;
    count(this.#sums, { verdict, rule, reason }, bytes);
    if (monitored !== null)
      count(this.#monitored, { verdict: 'monitor', rule: monitored, reason: 'rule' }, bytes);
  }

  json(): Record<string, unknown> {
    const { packets, bytes, cutShort, notRun, differing } = this;
    return {
      packets,
      bytes,
      cutShort,
      notRun,
      differing,
      verdicts: this.#rows(),
      monitored: [...this.#monitored.values()],
    };
  }

  /** For people; `rules` are the ids of all rules there are. */
  show(io: Io, rules: readonly string[]): void {
    const rows = [...this.#rows(), ...this.#monitored.values()];
    const cells = rows.map(({ verdict, rule, reason, packets, bytes }) => [
      verdict,
      rule ?? reason,
      packets.toLocaleString('en'),
      bytes.toLocaleString('en'),
    ]);
    table(io, ['VERDICT', 'RULE', 'PACKETS', 'BYTES'], cells, (column, text) =>
      column !== 0 ? null : text === 'allow' ? 'green' : text === 'monitor' ? 'yellow' : 'red',
    );
    const hit = new Set(rows.map(({ rule }) => rule));
    const unhit = rules.filter((rule) => !hit.has(rule)).length;
    io.out(`${counted(this.packets, 'packet')}, ${this.bytes.toLocaleString('en')} bytes`);
    if (unhit > 0) io.out(`${counted(unhit, 'rule')} of ${rules.length} matched nothing`);
    if (this.cutShort > 0) io.out(`${counted(this.cutShort, 'packet')} cut short by the capture, not judged`);
    if (this.notRun > 0)
      io.out(`${counted(this.notRun, 'packet')} that the kernel runs no program on, not judged`);
  }

  /** The most frequent first. */
  #rows(): readonly Sum[] {
    return [...this.#sums.values()].sort((a, b) => b.packets - a.packets);
  }
}

export const counted = (number: number, what: string) =>
  `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`;

function count(sums: Map<string, Sum>, of: Omit<Sum, 'packets' | 'bytes'>, bytes: number): void {
  const key = `${of.verdict} ${of.rule ?? ''} ${of.reason}`;
  const sum = sums.get(key) ?? { ...of, packets: 0, bytes: 0 };
  sum.packets++;
  sum.bytes += bytes;
  sums.set(key, sum);
}
