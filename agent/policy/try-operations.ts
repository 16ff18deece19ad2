// Operations for the canary: one for every rule and default about what tasks do to objects.
//
// Objects are places and traits, not files: the canary does one operation of each kind, and what stands for its object
// is said by the label, so that nothing has to be made for it. A rule of which every sample is decided by
// another is named as untried.

import type { HardeningRule, PolicyDocument } from '../contract/policy.ts';
import { capabilityNames, capabilityNumber } from './capabilities.ts';
import { type AppletPrograms, evaluateOperation, type ObjectAt } from './evaluate.ts';
import { activeMode, defaultId, defaultMode, isCallRule, ruleId } from './ids.ts';
import type { Judgement, OperationTry } from './judgement.ts';
import { type NamedObject, operationReaches, unlistedApplet } from './operation-reach.ts';
import {
  type OperationName,
  operationDefaults,
  operationNames,
  operationNumbers,
  type TraitName,
  traitNumbers,
} from './operation-words.ts';
import { bitsOf, numberSubjects } from './subjects.ts';
import type { Tried } from './try-packets.ts';
import { isOf, someName, taskOf } from './try-tasks.ts';

const traitNames = Object.keys(traitNumbers) as TraitName[];

export function tryOperations(
  documents: readonly PolicyDocument[],
  device: AppletPrograms = { applets: new Map() },
): Tried<OperationTry> {
  const subjects = numberSubjects(documents);
  const tries: OperationTry[] = [];
  const untried: string[] = [];
  for (const subject of subjects) {
    const task = taskOf(subject);
    const bits = subjects.filter((one) => isOf(one, task)).reduce((sum, one) => sum | bitsOf(one), 0n);
    const first = (id: string, made: Iterable<Sample>) => {
      for (const { operation, object } of made) {
        const expect = evaluateOperation(documents, { task, operation, object }, device);
        if (!isDecidedBy(expect, id)) continue;
        tries.push({
          subjects: bits,
          operation: operationNumbers[operation],
          name: operation,
          object,
          expect,
        });
        return;
      }
      untried.push(id);
    };
    for (const document of subject.documents) {
      const { mode, rules, default: defaults } = document.spec;
      for (const rule of rules) {
        if (isCallRule(rule) || activeMode(mode, rule.mode) === null) continue;
        first(ruleId(document, rule), samples(rule, device));
      }
      for (const name of operationDefaults) {
        // To allow by default in monitor mode is to say nothing.
        const isJudged =
          defaultMode(mode) === 'enforce' || (mode === 'monitor' && defaults?.[name] === 'deny');
        if (defaults?.[name] === undefined || !isJudged) continue;
        first(defaultId(document, name), [{ operation: name, object: { path: `/${someName}` } }]);
      }
    }
  }
  return { tries, untried };
}

const isDecidedBy = ({ rule, monitored }: Judgement, id: string) => rule === id || monitored === id;

interface Sample {
  readonly operation: OperationName;
  readonly object: ObjectAt;
}

/** Objects the rule is about, operation by operation, denials of the word itself first. */
function* samples(rule: HardeningRule, device: AppletPrograms): Generator<Sample> {
  for (const { operation: number, objects, except } of operationReaches(rule)) {
    const operation = operationNames.find((name) => operationNumbers[name] === number);
    if (operation === undefined) continue;
    for (const object of objects) {
      for (const one of samplesOf(object, device)) yield { operation, object: one };
    }
    // What is not taken out, whatever that is.
    if (except.length > 0) yield { operation, object: { traits: ['unresolved'] } };
  }
}

function samplesOf(object: NamedObject, { applets }: AppletPrograms): readonly ObjectAt[] {
  const programs = [...applets];
  switch (object.kind) {
    case 'path':
      return [{ path: object.path }];
    case 'under':
      return [
        { path: object.path === '/' ? `/${someName}` : `${object.path}/${someName}` },
        { path: object.path },
      ];
    case 'above':
      return [{ path: object.path.slice(0, object.path.lastIndexOf('/')) || '/' }];
    case 'number':
      return [{ number: object.number - 1 }];
    case 'applet':
      return programs.flatMap(([path, names]) =>
        names.includes(object.name) ? [{ path, startedAs: object.name }] : [],
      );
    case 'trait': {
      if (object === unlistedApplet) return programs.map(([path]) => ({ path, startedAs: someName }));
      const name = traitNames.find((one) => traitNumbers[one] === object.trait);
      return name === undefined ? [] : [{ path: `/${someName}`, traits: [name] }];
    }
    default: {
      const capabilities = capabilityNames.map((name) => ({ number: capabilityNumber(name) ?? 0 }));
      return [{ path: `/${someName}` }, ...capabilities];
    }
  }
}
