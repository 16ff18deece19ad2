// What tasks do to objects, by name: the words of events, cases and reports for enum husk_operation.

import { HuskOperation, HuskTrait } from '../../bpf/abi/layout.gen.ts';

/** `load` has no word in a policy: rules about exec hold for it as well (HARDENING.md §2). */
export const operationNumbers = {
  exec: HuskOperation.EXEC,
  load: HuskOperation.LOAD,
  read: HuskOperation.READ,
  write: HuskOperation.WRITE,
  create: HuskOperation.CREATE,
  delete: HuskOperation.DELETE,
  rename: HuskOperation.RENAME,
  link: HuskOperation.LINK,
  chmod: HuskOperation.CHMOD,
  mount: HuskOperation.MOUNT,
  setuid: HuskOperation.SETUID,
  capability: HuskOperation.CAPABILITY,
  ptrace: HuskOperation.PTRACE,
  userns: HuskOperation.USERNS,
  module: HuskOperation.MODULE,
  bpf: HuskOperation.BPF,
  kexec: HuskOperation.KEXEC,
  perf: HuskOperation.PERF,
  lockdown: HuskOperation.LOCKDOWN,
  writeExecute: HuskOperation.WRITE_EXECUTE,
} as const satisfies Readonly<Record<string, HuskOperation>>;
export type OperationName = keyof typeof operationNumbers;
export const operationNames = Object.keys(operationNumbers) as OperationName[];

/** For events: calls that guards judge are operations, too. */
export const taskWords = {
  ...operationNumbers,
  socket: HuskOperation.SOCKET,
  bind: HuskOperation.BIND,
  listen: HuskOperation.LISTEN,
  connect: HuskOperation.CONNECT,
} as const;

/** Of these the object is a path. */
export const pathOperations: readonly OperationName[] = [
  'exec',
  'load',
  'read',
  'write',
  'create',
  'delete',
  'rename',
  'link',
  'chmod',
  'mount',
];

export const traitNumbers = {
  memfd: HuskTrait.MEMFD,
  deleted: HuskTrait.DELETED,
  setuid: HuskTrait.SETUID,
  unresolved: HuskTrait.UNRESOLVED,
} as const satisfies Readonly<Record<string, HuskTrait>>;
export type TraitName = keyof typeof traitNumbers;
/** For events, where a trait may be one that no rule names. */
export const traitWords = { ...traitNumbers, 'unlisted-applet': HuskTrait.UNLISTED_APPLET } as const;

/** Operations that may have a default: as calls have, and these. */
export const operationDefaults = ['exec', 'write', 'create', 'mount'] as const;
export type OperationDefault = (typeof operationDefaults)[number];
