// HardeningPolicy documents to tables: each rule to the compiler of its word, in the order they are written.

import type { HardeningPolicy, PolicyDocument } from '../contract/policy.ts';
import { CallCompiler } from './compile-calls.ts';
import { OperationCompiler } from './compile-operations.ts';
import { exceptionsOf } from './exceptions.ts';
import { type Following, followCgroups } from './following.ts';
import { isCallRule } from './ids.ts';
import type { Learner } from './learning.ts';
import type { SetResolver } from './sets.ts';
import { conditionCgroups, holdSubjects, type NumberedSubject, numberSubjects } from './subjects.ts';
import type { AddRule, CompiledSet, DeviceFacts, Table } from './table-image.ts';

export class HardeningCompiler {
  readonly #documents: readonly PolicyDocument[];
  readonly #subjects: readonly NumberedSubject[];
  readonly #calls: CallCompiler;
  readonly #operations: OperationCompiler;

  constructor(resolver: SetResolver, addRule: AddRule, documents: readonly PolicyDocument[]) {
    this.#documents = documents;
    this.#subjects = numberSubjects(documents);
    holdSubjects(this.#subjects);
    this.#calls = new CallCompiler(resolver, addRule);
    this.#operations = new OperationCompiler(addRule, this.#subjects);
  }

  add(document: HardeningPolicy): void {
    const subject = this.#subjects.find(({ documents }) => documents.includes(document));
    if (subject === undefined) throw new RangeError(`${document.metadata.name} is none of the documents`);
    for (const rule of document.spec.rules) {
      if (isCallRule(rule)) this.#calls.addRule(document, subject, rule);
      else this.#operations.addRule(document, subject, rule);
    }
    this.#operations.addLearning(document, subject);
    this.#calls.addDefaults(document, subject);
    this.#operations.addDefaults(document, subject);
  }

  /** After the last document: what they lift has to be known. */
  addExceptions(): void {
    for (const exception of exceptionsOf(this.#documents)) this.#operations.addException(exception);
  }

  tables(facts: DeviceFacts): readonly Table[] {
    return [
      followCgroups(this.following(), facts),
      ...this.#calls.tables(),
      ...this.#operations.tables(facts),
    ];
  }

  sets(): readonly CompiledSet[] {
    return this.#calls.sets();
  }

  learners(): readonly Learner[] {
    return this.#operations.learners;
  }

  following(): Pick<Following, 'cgroups' | 'operations'> {
    return { cgroups: conditionCgroups(this.#subjects), operations: this.#operations.rules };
  }
}
