// Lines about operations: `exec /tmp/x as ls by /usr/sbin/uhttpd > /bin/sh user 33 cgroup web => deny by s/no-tmp`.

import { capabilityNumber } from '../capabilities.ts';
import type { ObjectAt, OperationAt, ProgramRun } from '../evaluate.ts';
import {
  type OperationName,
  operationNames,
  pathOperations,
  type TraitName,
  traitNumbers,
} from '../operation-words.ts';

const traitNames = Object.keys(traitNumbers) as TraitName[];

/** What stands before `=>`. Throws Error with a sentence about what cannot be understood. */
export function readOperation(text: string): OperationAt {
  const words = text.trim().split(/\s+/);
  const by = words.indexOf('by');
  if (by < 0) throw new Error('has to be OPERATION OBJECT by PROGRAM > PROGRAM … => VERDICT');
  const [name = '', ...object] = words.slice(0, by);
  const operation = operationNames.find((one) => one === name);
  if (operation === undefined) {
    throw new Error(`"${name}" is no operation; there are ${operationNames.join(', ')}`);
  }
  return { operation, object: readObject(operation, object), task: readTask(words.slice(by + 1)) };
}

/** `unknown > /usr/sbin/uhttpd > /bin/busybox as sh user 33 cgroup web/a` */
export function readTask(words: readonly string[]): OperationAt['task'] {
  const left = [...words];
  const programs: ProgramRun[] = [];
  let lineageKnown = true;
  let isMore = true;
  while (isMore) {
    const path = left.shift() ?? '';
    if (path === 'unknown') lineageKnown = false;
    else if (!path.startsWith('/')) throw new Error(`"${path}" is no path of a program`);
    else {
      const applet = left[0] === 'as' ? (left.splice(0, 2)[1] ?? '') : basename(path);
      programs.unshift({ path, applet: applet === '?' ? null : applet });
    }
    isMore = left[0] === '>';
    if (isMore) left.shift();
  }
  const { user = '0', cgroup = null, ...others } = pairs(left);
  const [odd] = Object.keys(others);
  if (odd !== undefined) throw new Error(`"${odd}" is neither user nor cgroup`);
  if (!/^\d+$/.test(user)) throw new Error(`"${user}" is no user id`);
  return { lineage: programs, lineageKnown, user: Number(user), cgroup };
}

function pairs(words: readonly string[]): { user?: string; cgroup?: string } & Record<string, string> {
  const found: Record<string, string> = {};
  for (let at = 0; at < words.length; at += 2) found[words[at] ?? ''] = words[at + 1] ?? '';
  return found;
}

function readObject(operation: OperationName, words: readonly string[]): ObjectAt {
  const left = [...words];
  const traits = left.filter((word): word is TraitName => traitNames.some((one) => one === word));
  const named = left.filter((word) => !traitNames.some((one) => one === word));
  const as = named.indexOf('as');
  const startedAs = as < 0 ? null : (named.splice(as, 2)[1] ?? '');
  const [first, ...more] = named;
  if (more.length > 0) throw new Error(`"${more.join(' ')}" is too much of an object`);
  if (startedAs !== null && operation !== 'exec') throw new Error('only exec has a name it is started "as"');
  return {
    ...whichObject(operation, first),
    ...(traits.length === 0 ? {} : { traits }),
    ...(startedAs === null ? {} : { startedAs }),
  };
}

function whichObject(operation: OperationName, word: string | undefined): ObjectAt {
  if (pathOperations.includes(operation)) {
    if (word === undefined) return {};
    if (!word.startsWith('/')) throw new Error(`"${word}" is no path`);
    return { path: word };
  }
  if (operation === 'capability') {
    const number = capabilityNumber(word ?? '');
    if (number === null) throw new Error(`"${word ?? ''}" is no capability, as in net_raw`);
    return { number };
  }
  if (word !== undefined) throw new Error(`${operation} has no object, and "${word}" stands there`);
  return {};
}

/** `/bin/busybox: sh ls wget` */
export function readApplets(text: string): readonly [string, readonly string[]] {
  const [, executable = '', names = ''] = /^(\/\S*):\s+(.*)$/.exec(text) ?? [];
  if (executable === '') throw new Error('has to be EXECUTABLE: NAME NAME …');
  return [executable, names.trim().split(/\s+/)];
}

const basename = (path: string) => path.slice(path.lastIndexOf('/') + 1);
