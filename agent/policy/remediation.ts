// What would have to be written so that a denial is one no more: an Exception for just this object of just this
// rule. A line for people, who decide whether it should be.

import type { CallEvent, OperationEvent } from '../contract/event.ts';
import { fileWords } from '../contract/policy.ts';
import { capabilityNames } from './capabilities.ts';

/** null: nothing was denied, or by no rule that is known. */
export function remediationOf(event: CallEvent | OperationEvent): string | null {
  const [policy, rule] = event.rule?.split('/') ?? [];
  if (event.verdict !== 'deny' || policy === undefined || rule === undefined) return null;
  const allow = event.kind === 'call' ? callObject(event) : operationObject(event);
  // Sockets by kind have no exceptions: the rule itself would have to say less.
  if (allow === null) return `to allow this, change ${policy}/${rule}`;
  if (rule.startsWith('default-')) return `to allow this, add to ${policy}: { ${allow}, action: allow }`;
  const of = event.shield === undefined ? 'policy' : 'shield';
  return `to allow this, add an Exception { of: { ${of}: ${policy}, rule: ${rule} }, ${allow} }`;
}

function callObject({ call, address, port, protocol }: CallEvent): string | null {
  if (call === 'socket') return null;
  const words = [
    ...(address === '' ? [] : [`to: [${JSON.stringify(address)}]`]),
    ...(protocol === 6 ? ['protocol: tcp'] : protocol === 17 ? ['protocol: udp'] : []),
    ...(port === 0 ? [] : [`ports: { to: ${port} }`]),
  ];
  return `${call}: { ${words.join(', ')} }`;
}

function operationObject({ operation, file, number, traits }: OperationEvent): string {
  const path = JSON.stringify(file?.path ?? '');
  if (operation === 'exec' || operation === 'load') {
    if (traits?.includes('memfd') === true) return 'exec: { memfd: true }';
    if (traits?.includes('deleted') === true) return 'exec: { deleted: true }';
    if (file?.name !== undefined) return `exec: { applets: [${JSON.stringify(file.name)}] }`;
    return `exec: { paths: [${path}] }`;
  }
  if (fileWords.some((word) => word === operation)) return `file: { ${operation}: { paths: [${path}] } }`;
  if (operation === 'capability') {
    return `privilege: { capabilities: [${capabilityNames[number ?? -1] ?? number}] }`;
  }
  if (['setuid', 'ptrace', 'userns'].includes(operation)) return `privilege: { ${operation}: true }`;
  return operation === 'writeExecute' ? 'memory: { writeExecute: true }' : `kernel: { ${operation}: true }`;
}
