// Rules about what tasks do to objects, gathered from policies in the order they are written.

import type { Exception, HardeningPolicy, HardeningRule } from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import { ExceptLayers } from './except-layers.ts';
import { exceptedId } from './exceptions.ts';
import { activeMode, defaultId, defaultMode, ruleId } from './ids.ts';
import { type Learner, type Learning, learningOf } from './learning.ts';
import { asksToObserve } from './observe.ts';
import { exceptionReaches, type NamedObject, operationReaches } from './operation-reach.ts';
import {
  type OperationRules,
  operationsTable,
  pathTables,
  type Saying,
  usersTable,
} from './operation-tables.ts';
import { operationDefaults, operationNumbers } from './operation-words.ts';
import { defaultNeed, tierNeed } from './rule-tier.ts';
import { conditionsOf, exceptedBit, isCgroupAlone, type NumberedSubject } from './subjects.ts';
import type { AddRule, DeviceFacts, Table } from './table-image.ts';

const sayings = {
  allow: { enforce: 'allow', monitor: 'wouldAllow' },
  deny: { enforce: 'deny', monitor: 'wouldDeny' },
} as const;

const everyOther: NamedObject = { kind: 'default' };

export class OperationCompiler {
  readonly #addRule: AddRule;
  readonly #subjects: readonly NumberedSubject[];
  readonly #layers = new Map<NumberedSubject, ExceptLayers>();
  readonly #sayings: Saying[] = [];
  /** Counters of the rules and defaults so far, by their full names. */
  readonly #indexes = new Map<string, number>();
  readonly #learning: Learning[] = [];
  readonly #learners: Learner[] = [];

  constructor(addRule: AddRule, subjects: readonly NumberedSubject[]) {
    this.#addRule = addRule;
    this.#subjects = subjects;
  }

  addRule(document: HardeningPolicy, subject: NumberedSubject, rule: HardeningRule): void {
    const mode = activeMode(document.spec.mode, rule.mode);
    if (mode === null) return;
    const id = ruleId(document, rule);
    const of = { at: 'operation', zone: null, call: null } as const;
    const index = this.#addRule({ ...of, id, mode, verdict: rule.action, needs: tierNeed(document, rule) });
    const apart = exceptedBit(subject, id);
    this.#indexes.set(id, index);
    const layers = this.#layers.get(subject) ?? new ExceptLayers();
    this.#layers.set(subject, layers);
    const kills = rule.kill === true && mode === 'enforce';
    for (const reach of operationReaches(rule)) {
      const layer = apart === null ? layers.layerOf(rule, mode, reach) : apart - subject.first;
      if (layer === null) continue;
      const common = { id, rule: index, bit: subject.first + layer, operation: reach.operation, kills };
      for (const object of reach.objects) {
        this.#sayings.push({ ...common, object, says: sayings[rule.action][mode] });
      }
      for (const object of reach.except) this.#sayings.push({ ...common, object, says: 'lift' });
    }
  }

  /** What of the document is learnt, under an index of its own. */
  addLearning(document: HardeningPolicy, subject: NumberedSubject): void {
    const learning = learningOf(document);
    if (learning === null) return;
    const { id, operations } = learning;
    const of = { at: 'operation', mode: 'monitor', verdict: 'allow', zone: null, call: null } as const;
    const { metadata, spec } = document;
    this.#learners.push({ policy: metadata.name, subject: spec.subject, operations });
    this.#learning.push({ operations, bit: subject.first, rule: this.#addRule({ ...of, id }) });
  }

  addDefaults(document: HardeningPolicy, subject: NumberedSubject): void {
    const mode = defaultMode(document.spec.mode);
    if (mode === null) return;
    for (const name of operationDefaults) {
      const verdict = document.spec.default?.[name];
      if (verdict === undefined) continue;
      const id = defaultId(document, name);
      const needs = defaultNeed(document, name);
      const rule = this.#addRule({ id, at: 'operation', mode, verdict, zone: null, call: null, needs });
      this.#indexes.set(id, rule);
      // Where nothing else holds, to allow is what happens anyway.
      if (mode === 'monitor' && verdict === 'allow') continue;
      this.#sayings.push({
        id,
        rule,
        bit: exceptedBit(subject, id) ?? subject.first,
        operation: operationNumbers[name],
        object: everyOther,
        says: sayings[verdict][mode],
        kills: false,
      });
    }
  }

  /** After all rules: those of documents that are not here, or off, have nothing to be lifted. */
  addException(exception: Exception): void {
    const id = exceptedId(exception);
    const rule = this.#indexes.get(id);
    const { subject } = exception.spec;
    const conditions = subject === undefined ? null : JSON.stringify(conditionsOf(subject));
    const of = this.#subjects.find(({ documents, excepted, conditions: own }) =>
      conditions === null
        ? excepted.includes(id) && documents.some(({ metadata }) => id.startsWith(`${metadata.name}/`))
        : JSON.stringify(own) === conditions,
    );
    const bit = of === undefined ? null : exceptedBit(of, id);
    if (rule === undefined || bit === null) return;
    for (const { operation, objects } of exceptionReaches(exception)) {
      for (const object of objects)
        this.#sayings.push({ id, rule, bit, operation, object, says: 'lift', kills: false });
    }
  }

  get learners(): readonly Learner[] {
    return this.#learners;
  }

  /** null: nothing needs hooks that know tasks. */
  get rules(): OperationRules | null {
    const needsTasks = this.#subjects.some(({ conditions }) => !isCgroupAlone(conditions));
    if (this.#sayings.length === 0 && !needsTasks) return null;
    return { subjects: this.#subjects, sayings: this.#sayings };
  }

  tables({ paths }: Pick<DeviceFacts, 'paths'>): readonly Table[] {
    const { rules } = this;
    const learning = this.#learning;
    if (rules === null) return this.#watchAlone(paths);
    const known = knownPaths(rules, paths);
    return [operationsTable(rules, learning), usersTable(rules), ...pathTables(rules, known)];
  }

  /**
   * Policies of cgroups alone, about calls alone, that want to see more, or to learn: no reason to refuse them where
   * nothing knows the task. What they connect to is learnt without that.
   */
  #watchAlone(paths: DeviceFacts['paths']): readonly Table[] {
    const isAsked = this.#subjects.some(({ documents }) => documents.some(asksToObserve));
    if (this.#learning.length === 0 && !(isAsked && paths !== undefined)) return [];
    return [operationsTable({ subjects: this.#subjects, sayings: [] }, this.#learning)];
  }
}

/** Throws RefusalError where the device has none, since nothing could be enforced. */
export function knownPaths(
  { subjects }: OperationRules,
  paths: DeviceFacts['paths'],
): NonNullable<DeviceFacts['paths']> {
  if (paths !== undefined) return paths;
  const names = subjects.flatMap(({ documents }) => documents.map(({ metadata }) => metadata.name));
  throw new RefusalError(
    'policy.unsupported',
    `${names.join(', ')}: this device has no hooks that know which programs a task comes from`,
  );
}
