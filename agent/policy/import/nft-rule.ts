// One rule of nft: expressions from left to right, as steps.
//
// Each expression lets a packet go on to the next or ends the rule. A log in the middle is therefore a step of its
// own, under the conditions that stand before it, and a map of verdicts is a step for each verdict.

import type { RejectWith } from '../../contract/policy.ts';
import type { Box } from './box.ts';
import { portProtocols } from './box-match.ts';
import { allOf, onlyLoopback, rateOf } from './conditions.ts';
import { type Field, fieldOf, shownJson, type Value } from './nft-fields.ts';
import type { Origin, Report } from './report.ts';
import type { Does, LimitTerm, Step } from './ruleset.ts';

/** Values of a set or map of the table the rule stands in, by name without `@`. */
export interface NamedValues {
  /** null: values that change while it is used, or that cannot be read; `reason` says it. */
  readonly values: readonly Value[] | null;
  readonly reason: string;
  /** What a document with its contents is called. */
  readonly document: string;
}

export interface RuleAround {
  readonly origin: Origin;
  readonly report: Report;
  readonly named: (name: string) => NamedValues | undefined;
  readonly keyOf: (chain: string) => string;
}

const boxesMax = 4096;
const expressionsMax = 256;

type Json = Readonly<Record<string, unknown>>;

export function readNftRule(expressions: readonly unknown[], around: RuleAround): readonly Step[] {
  return new RuleReader(around).read(expressions);
}

class RuleReader {
  readonly #around: RuleAround;
  readonly #steps: Step[] = [];
  readonly #conditions: (readonly Box[])[] = [];
  readonly #unknown: string[] = [];
  #limit: LimitTerm | null = null;
  #hasLog = false;
  #undecided: string | null = null;
  /** A condition asks for the loopback interface alone. */
  #isLoopback = false;

  constructor(around: RuleAround) {
    this.#around = around;
  }

  read(expressions: readonly unknown[]): readonly Step[] {
    if (expressions.length > expressionsMax) this.#unknown.push(`more than ${expressionsMax} expressions`);
    for (const expression of expressions.slice(0, expressionsMax)) {
      if (!isObject(expression)) {
        this.#unknown.push(`${shownJson(expression)} is no expression`);
        continue;
      }
      const [key = '', ...more] = Object.keys(expression);
      if (more.length > 0) this.#unknown.push(`${shownJson(expression)} is no expression`);
      else if (this.#expression(key, expression[key])) return this.#steps;
    }
    if (this.#undecided !== null) this.#step({ kind: 'undecided', reason: this.#undecided });
    else this.#flushLog();
    return this.#steps;
  }

  /** Whether the rule ends here. */
  #expression(key: string, value: unknown): boolean {
    switch (key) {
      case 'match':
        this.#flushLog();
        this.#match(value);
        return false;
      case 'limit':
        this.#flushLog();
        this.#setLimit(value);
        return false;
      case 'counter':
      case 'comment':
        return false;
      case 'log':
        this.#hasLog = true;
        return false;
      case 'accept':
      case 'drop':
      case 'return':
        this.#verdict({ kind: key });
        return true;
      case 'continue':
        this.#flushLog();
        return true;
      case 'jump':
      case 'goto':
        this.#verdict(this.#jump(key, value));
        return true;
      case 'reject':
        this.#askFamily(value);
        this.#verdict({ kind: 'reject', with: this.#answer(value) });
        return true;
      case 'vmap':
        this.#flushLog();
        this.#vmap(value);
        return true;
      default:
        this.#other(key, value);
        return false;
    }
  }

  #other(key: string, value: unknown): void {
    const { report, origin } = this.#around;
    const text = shownJson({ [key]: value });
    const isPlainSet = key === 'set' && isObject(value) && value.stmt === undefined;
    if (goingOn.has(key) || isPlainSet) {
      report.add(origin, `${text} changes something and is not done here`, 'none');
    } else if (deciding.has(key)) {
      this.#undecided = `${text}: something else decides`;
    } else {
      if (key === 'xt') this.#undecided = `${text} was written by iptables: import iptables-save instead`;
      this.#unknown.push(`${text} cannot be carried over`);
    }
  }

  #match(match: unknown): void {
    const read = isObject(match)
      ? this.#condition(String(match.op), match.left, match.right)
      : 'a match of no form';
    if (typeof read === 'string') this.#unknown.push(read);
    else this.#conditions.push(read);
  }

  #condition(op: string, left: unknown, right: unknown): readonly Box[] | string {
    const under = isObject(left) && Array.isArray(left['&']) ? left['&'] : null;
    if (under !== null) {
      const field = fieldOf(under[0]);
      if (typeof field === 'string') return field;
      if (field.masked === undefined || (op !== '==' && op !== '!='))
        return `${shownJson(left)} cannot be carried over`;
      return field.masked(under[1], right, op === '!=');
    }
    const fields = fieldsOf(left);
    if (typeof fields === 'string') return fields;
    const [field, ...more] = fields;
    if (field === undefined) return 'an empty concatenation';
    if (op === 'in' && field.anyBit !== undefined && more.length === 0 && !isSet(right))
      return field.anyBit(right);
    if (op === '==' || op === '!=' || op === 'in') {
      const values = this.#values(right);
      if (typeof values === 'string') return values;
      if (asksInterface(left) && op !== '!=' && onlyLoopback(values.list)) this.#isLoopback = true;
      if (more.length === 0) return field.among(values.list, op === '!=', values.document);
      if (op === '!=') return 'a concatenation that is negated';
      return tuples(fields, values.list);
    }
    if (field.compare === undefined || more.length > 0) return `operator ${op} of ${shownJson(left)}`;
    return field.compare(op, right);
  }

  /** Values on the right of a match: one, some in a set, or a set by name. */
  #values(right: unknown): { readonly list: readonly Value[]; readonly document: string | null } | string {
    if (typeof right === 'string' && right.startsWith('@')) {
      const named = this.#around.named(right.slice(1));
      if (named === undefined) return `set ${right} is not in the listing`;
      return named.values === null ? named.reason : { list: named.values, document: named.document };
    }
    if (isObject(right) && Array.isArray(right.set)) {
      const list = elementsOf(right.set);
      return typeof list === 'string' ? list : { list, document: null };
    }
    if (Array.isArray(right)) return `${shownJson(right)} as one value`;
    return { list: [right], document: null };
  }

  #vmap(value: unknown): void {
    const fields = isObject(value) ? fieldsOf(value.key) : 'a map of no form';
    const pairs = typeof fields === 'string' ? fields : this.#pairs(isObject(value) ? value.data : null);
    if (typeof fields === 'string' || typeof pairs === 'string') {
      this.#unknown.push(typeof fields === 'string' ? fields : String(pairs));
      this.#step({ kind: 'undecided', reason: `a map of verdicts: ${this.#unknown.join('; ')}` });
      return;
    }
    const byVerdict = new Map<string, { readonly verdict: unknown; readonly keys: Value[] }>();
    for (const [key, verdict] of pairs) {
      const text = JSON.stringify(verdict) ?? '';
      const known = byVerdict.get(text) ?? { verdict, keys: [] };
      known.keys.push(key);
      byVerdict.set(text, known);
    }
    for (const { verdict, keys } of byVerdict.values()) {
      const boxes = fields.length === 1 ? (fields[0]?.among(keys, false, null) ?? []) : tuples(fields, keys);
      const does = this.#verdictOf(verdict);
      if (typeof boxes === 'string') this.#step(does, [], [boxes]);
      else this.#step(does, [boxes]);
    }
  }

  #pairs(data: unknown): readonly (readonly [Value, unknown])[] | string {
    let list: readonly unknown[] | null = null;
    if (typeof data === 'string' && data.startsWith('@')) {
      const named = this.#around.named(data.slice(1));
      if (named === undefined) return `map ${data} is not in the listing`;
      if (named.values === null) return named.reason;
      list = named.values;
    } else if (isObject(data) && Array.isArray(data.set)) {
      list = data.set;
    }
    if (list === null) return 'a map of no form';
    const pairs: (readonly [Value, unknown])[] = [];
    for (const pair of list) {
      if (!Array.isArray(pair) || pair.length !== 2)
        return `${shownJson(pair)} is no pair of key and verdict`;
      const key = elementsOf([pair[0]]);
      if (typeof key === 'string') return key;
      pairs.push([key[0], pair[1]]);
    }
    return pairs;
  }

  #verdictOf(verdict: unknown): Does {
    const key = isObject(verdict) ? (Object.keys(verdict)[0] ?? '') : '';
    if (key === 'accept' || key === 'drop' || key === 'return') return { kind: key };
    if (key === 'continue') return { kind: 'none' };
    if ((key === 'jump' || key === 'goto') && isObject(verdict)) return this.#jump(key, verdict[key]);
    return { kind: 'undecided', reason: `verdict ${shownJson(verdict)}` };
  }

  #jump(kind: 'jump' | 'goto', value: unknown): Does {
    const target = isObject(value) && typeof value.target === 'string' ? value.target : null;
    if (target === null) return { kind: 'undecided', reason: `${kind} to ${shownJson(value)}` };
    return { kind, chain: this.#around.keyOf(target) };
  }

  #answer(value: unknown): RejectWith | null {
    if (!isObject(value)) return 'port-unreachable';
    if (value.type === 'tcp reset') return 'tcp-reset';
    const word = String(value.expr ?? 'port-unreachable');
    const answer = Object.hasOwn(answers, word) ? answers[word] : undefined;
    if (answer === undefined)
      this.#around.report.add(this.#around.origin, `the answer ${word} becomes admin-prohibited`, 'none');
    return answer ?? 'admin-prohibited';
  }

  /** An answer by ICMP of one family is for packets of that family, which the listing leaves out. */
  #askFamily(answer: unknown): void {
    const type = isObject(answer) ? answer.type : undefined;
    if (type === 'icmp' || type === 'icmpv6') this.#conditions.push([{ family: type === 'icmp' ? 4 : 6 }]);
  }

  #setLimit(value: unknown): void {
    const limit = isObject(value) ? value : {};
    const rate = limit.rate_unit === undefined ? rateOf(String(limit.rate), String(limit.per)) : null;
    const burst = limit.burst === undefined || limit.burst === 0 ? 5 : limit.burst;
    if (rate === null || typeof burst !== 'number' || !(burst >= 1 && burst <= 1_000_000)) {
      this.#unknown.push(`limit ${shownJson(value)} cannot be carried over`);
    } else if (this.#limit !== null) {
      this.#unknown.push('two limits in one rule');
    } else {
      this.#limit = { rate, burst, per: 'rule', isAbove: limit.inv === true };
    }
  }

  #verdict(does: Does): void {
    if (this.#isLoopback) this.#tellOfLoopback(does);
    const isLogged = this.#hasLog && does.kind === 'accept' && this.#limit === null;
    if (isLogged || does.kind === 'drop' || does.kind === 'reject') this.#hasLog = false;
    this.#flushLog();
    this.#step(does, [], [], isLogged);
  }

  #tellOfLoopback({ kind }: Does): void {
    const { report, origin } = this.#around;
    const reason = 'the loopback interface is never judged: its packets always pass';
    if (kind === 'accept' || kind === 'return') report.add(origin, reason, 'none');
    else
      report.add(origin, reason, 'wider', [
        'packets on the loopback interface that this rule, or its chain, dropped',
      ]);
  }

  #flushLog(): void {
    if (this.#hasLog) this.#step({ kind: 'log' });
    this.#hasLog = false;
  }

  #step(
    does: Does,
    more: readonly (readonly Box[])[] = [],
    unknown: readonly string[] = [],
    log = false,
  ): void {
    const joined = allOf([...this.#conditions, ...more], boxesMax);
    const reasons = [...this.#unknown, ...unknown];
    let boxes: readonly Box[] = [{}];
    if (typeof joined === 'string') reasons.push(joined);
    else boxes = joined.map((box) => this.#withKnownPorts(box, reasons));
    const { origin } = this.#around;
    this.#steps.push({
      origin,
      boxes,
      limit: this.#limit,
      unknown: [...new Set(reasons)],
      does,
      ...(log ? { log } : {}),
    });
  }

  /** `th dport` reads two bytes of whatever header comes; a policy knows ports of some protocols only. */
  #withKnownPorts(box: Box, reasons: string[]): Box {
    if (box.fromPorts === undefined && box.toPorts === undefined) return box;
    if (box.protocols !== undefined && (box.protocols & ~portProtocols) === 0n) return box;
    reasons.push('ports without a protocol that has them');
    const { fromPorts: _from, toPorts: _to, ...rest } = box;
    return rest;
  }
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const asksInterface = (left: unknown) =>
  isObject(left) && isObject(left.meta) && /^[io]if(name)?$/.test(String(left.meta.key));
const isSet = (value: unknown) =>
  (isObject(value) && value.set !== undefined) || (typeof value === 'string' && value.startsWith('@'));

/** The parts of a concatenation, or the one expression there is. */
function fieldsOf(left: unknown): readonly Field[] | string {
  const parts = isObject(left) && Array.isArray(left.concat) ? left.concat : [left];
  const fields: Field[] = [];
  for (const part of parts) {
    const field = fieldOf(part);
    if (typeof field === 'string') return field;
    fields.push(field);
  }
  return fields;
}

/** Elements of a set without what is written about them; a text where they come and go by themselves. */
export function elementsOf(elements: readonly unknown[]): readonly Value[] | string {
  const values: Value[] = [];
  for (const element of elements) {
    const inner = isObject(element) && isObject(element.elem) ? element.elem : null;
    if (
      inner !== null &&
      (inner.timeout !== undefined || inner.expires !== undefined || inner.val === undefined)
    )
      return 'a set whose elements end by themselves';
    const value = inner === null ? element : inner.val;
    if (value === '*') return 'an element for everything else';
    values.push(value);
  }
  return values;
}

/** Elements of concatenations: those that differ in the first part alone are one box. */
function tuples(fields: readonly Field[], elements: readonly Value[]): readonly Box[] | string {
  const groups = new Map<string, { readonly first: Value[]; readonly rest: readonly Value[] }>();
  for (const element of elements) {
    const parts = isObject(element) && Array.isArray(element.concat) ? element.concat : null;
    if (parts === null || parts.length !== fields.length) return `element ${shownJson(element)}`;
    const rest: readonly Value[] = parts.slice(1);
    const key = JSON.stringify(rest);
    const group = groups.get(key) ?? { first: [], rest };
    group.first.push(parts[0]);
    groups.set(key, group);
  }
  const boxes: Box[] = [];
  for (const { first, rest } of groups.values()) {
    const conditions: (readonly Box[])[] = [];
    for (const [index, field] of fields.entries()) {
      const read = field.among(index === 0 ? first : [rest[index - 1]], false, null);
      if (typeof read === 'string') return read;
      conditions.push(read);
    }
    const joined = allOf(conditions, boxesMax);
    if (typeof joined === 'string') return joined;
    boxes.push(...joined);
    if (boxes.length > boxesMax) return `more than ${boxesMax} combinations`;
  }
  return boxes;
}

const answers: Readonly<Record<string, RejectWith>> = {
  'port-unreachable': 'port-unreachable',
  'host-unreachable': 'host-unreachable',
  'addr-unreachable': 'host-unreachable',
  'net-unreachable': 'net-unreachable',
  'no-route': 'net-unreachable',
  'admin-prohibited': 'admin-prohibited',
};

/** Statements that change or mark a packet and let it go on. */
const goingOn = new Set([
  'mangle',
  'notrack',
  'flow',
  'dup',
  'ct helper',
  'ct timeout',
  'ct expectation',
  'last',
]);
/** Statements that end the walk in a way that a policy has no words for. */
const deciding = new Set(['queue', 'synproxy', 'tproxy', 'fwd', 'snat', 'dnat', 'masquerade', 'redirect']);
