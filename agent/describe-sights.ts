// What programs saw of tasks, as rows of the views `profile` and `shadow`: numbers of rules, operations, file systems as names.

import { HuskOperation, HuskSightKind } from '../bpf/abi/layout.gen.ts';
import type { Sight, SightPath } from './kernel/sights.ts';
import { type Mount, shownPath } from './os/mounts.ts';
import { formatBytes } from './policy/addresses.ts';
import { capabilityNames } from './policy/capabilities.ts';
import { protocolNumbers, socketFamilyNumbers, socketTypeNumbers } from './policy/numbers.ts';
import { taskWords, traitWords } from './policy/operation-words.ts';
import { type Row, shownCount } from './query/views.ts';

export interface SightNames {
  /** By counter index; null: nobody has it. */
  readonly ruleName: (index: number) => string | null;
  readonly mounts: readonly Mount[];
  /** Programs of many applets, and the names they have. */
  readonly applets: readonly { readonly executable: string; readonly names: readonly string[] }[];
  readonly bootMs: number;
}

/** What a learning subject did: the name of its policy, and one thing with how often. */
export function profileRow(sight: Sight, names: SightNames): Row {
  const learner = sight.rule === null ? null : names.ruleName(sight.rule);
  return { policy: learner?.split('/')[0] ?? null, ...thing(sight, names), ...times(sight, names) };
}

/** Where a policy in shadow decides otherwise: both verdicts, both rules, and about what. */
export function differenceRow(sight: Sight, names: SightNames): Row {
  const nameOf = (index: number | null) => (index === null ? null : names.ruleName(index));
  return {
    live: sight.liveDenies ? 'deny' : 'allow',
    shadow: sight.liveDenies ? 'allow' : 'deny',
    liveRule: nameOf(sight.rule),
    shadowRule: nameOf(sight.shadowRule),
    ...thing(sight, names),
    ...times(sight, names),
    command: printable(sight.command),
    pid: sight.tgid,
    uid: sight.uid,
  };
}

const words = (numbers: Readonly<Record<string, number>>): ReadonlyMap<number, string> =>
  new Map(Object.entries(numbers).map(([word, number]) => [number, word]));
const operationWords = words(taskWords);
/** As in `exec`; undefined: of no word. */
export const operationWord = (operation: number) => operationWords.get(operation);
const familyWords = words(socketFamilyNumbers);
const typeWords = words(socketTypeNumbers);
const protocolWords = words(protocolNumbers);

/** The operation and its object. */
function thing(sight: Sight, { mounts, applets }: SightNames): Row {
  const operation = operationWord(sight.operation) ?? `operation ${sight.operation}`;
  const traits = Object.entries(traitWords).flatMap(([word, bit]) =>
    ((sight.traits >> bit) & 1) === 1 ? [word] : [],
  );
  const base: Row = { operation, ...(traits.length === 0 ? {} : { traits }) };
  switch (sight.kind) {
    case HuskSightKind.PATH:
    case HuskSightKind.FOLDER: {
      const path = sight.path === null ? null : seenPath(sight.path, mounts);
      const isFolder = sight.kind === HuskSightKind.FOLDER;
      const name = sight.operation === HuskOperation.EXEC ? sight.startedAs : null;
      const isApplet = applets.some(
        ({ executable, names }) => executable === path?.path && name !== null && names.includes(name),
      );
      return {
        ...base,
        ...(path === null ? { path: null } : path),
        ...(isFolder ? { folder: true } : {}),
        ...(name === null ? {} : { startedAs: printable(name) }),
        ...(isApplet ? { applet: true } : {}),
      };
    }
    case HuskSightKind.UNRESOLVED:
      return { ...base, path: null };
    case HuskSightKind.NUMBER:
      return { ...base, ...numbered(sight) };
    case HuskSightKind.CALL:
      return { ...base, ...called(sight) };
    default:
      return base;
  }
}

/** As this agent's mount namespace shows it; a path that none of its mounts shows is told by its file system. */
function seenPath(
  { device, names, isCut }: SightPath,
  mounts: readonly Mount[],
): Row & { path: string | null } {
  const within = `/${names.map(printable).join('/')}`;
  if (isCut) return { path: null, end: within };
  const path = shownPath({ device, path: within }, mounts);
  return path === null ? { path: null, within, device: deviceText(device) } : { path };
}

const minorBits = 20;
const deviceText = (device: number) => `${device >>> minorBits}:${device & ((1 << minorBits) - 1)}`;

/** Numbers travel with one added, so that 0 is none. */
function numbered({ operation, number }: Sight): Row {
  const meant = number - 1;
  if (operation !== HuskOperation.CAPABILITY) return { number: meant };
  return { capability: capabilityNames[meant] ?? meant };
}

function called({ operation, address, port, ipProto, socketFamily, socketType }: Sight): Row {
  const family = familyWords.get(socketFamily) ?? socketFamily;
  const type = typeWords.get(socketType) ?? socketType;
  if (operation === HuskOperation.SOCKET) return { family, type };
  if (socketFamily !== socketFamilyNumbers.inet && socketFamily !== socketFamilyNumbers.inet6)
    return { family };
  return { address: formatBytes(address), port, protocol: protocolWords.get(ipProto) ?? ipProto };
}

function times({ count, firstNs, lastNs }: Sight, { bootMs }: SightNames): Row {
  const ago = (ns: bigint) => Math.max(0, Math.round((bootMs - Number(ns / 1_000_000n)) / 1000));
  return { count: shownCount(count), firstSeconds: ago(firstNs), lastSeconds: ago(lastNs) };
}

/** Names of files are whatever a task made of them. */
const printable = (text: string) => text.toWellFormed().replace(/\p{Cc}/gu, '\ufffd');
