// Proof of what hooks of tiers A and B say: the canary does one operation of each kind, and its label says about which
// object and for which subjects it is judged.
//
// Hooks let nothing through that the canary does: what the policy allows ends with ECANCELED, so that no file
// is opened or removed and no module loaded for the sake of a proof. In tier C, where nothing is refused, its execs are ended.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  encodeHuskCanaryObject,
  HUSK_RULE_NONE,
  HuskCanaryObject,
  HuskOperation,
  type HuskPathKey,
  HuskTrait,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon } from '../../native/index.ts';
import type { Judgement, OperationTry } from '../policy/judgement.ts';
import { traitNumbers } from '../policy/operation-words.ts';
import { appletNumber, placeSteps } from '../policy/path-number.ts';
import type { DevicePaths } from '../policy/table-image.ts';
import { type LabelTools, noCanary, readTried, unproven, withCanary, writeLabel } from './canary.ts';
import type { Guards, GuardTier } from './guards.ts';
import type { Slot } from './live-word.ts';
import { operationHooks } from './operation-hooks.ts';
import type { ProofTools } from './prove.ts';

export interface OperationTools {
  readonly guards: Pick<Guards, 'tier' | 'missing' | 'pathKey' | 'canaryObject'>;
  readonly paths: Pick<DevicePaths, 'placeOf' | 'applets'>;
  /** A folder for the canary's files, on a file system that can be written to. */
  readonly scratch: string;
}

/** Ways of a try to be stopped, besides with an errno. */
const SIGKILL = 9;
const EPERM = 1;
const ENOTSUP = 95;
const ECANCELED = 125;

/** Operations that change a file, which the canary is given one for. */
const onFiles: readonly number[] = [
  HuskOperation.WRITE,
  HuskOperation.DELETE,
  HuskOperation.RENAME,
  HuskOperation.LINK,
  HuskOperation.CHMOD,
];
/** capable() tells no errno of a hook. */
const withoutErrno: readonly number[] = [HuskOperation.CAPABILITY];

/** Returns the rules whose operation the canary can't do. Throws RefusalError kernel.unproven with the first difference. */
export async function proveOperations(
  tools: ProofTools,
  slot: Slot,
  operations: readonly OperationTry[],
): Promise<string[]> {
  if (operations.length === 0) return [];
  const { cgroup, addon } = tools;
  if (tools.operations === null || cgroup === null)
    throw unproven('operations', 'nothing on this device judges them');
  const { guards, paths, scratch } = tools.operations;
  const untried: string[] = [];
  const folder = mkdtempSync(join(scratch, 'canary-'));
  const file = join(folder, 'file');
  writeFileSync(file, '');
  try {
    await withCanary(cgroup, async (path) => {
      const canaryCgroup = addon.cgroupId(path);
      for (const one of operations) {
        addon.update(guards.canaryObject, new Uint8Array(4), objectOf(one, paths, guards.pathKey));
        writeLabel(tools, {
          ...noCanary,
          slot,
          canaryCgroup,
          canarySubjects: one.subjects,
          canaryOperation: one.operation,
        });
        if (!(await proveOne(tools, path, one, { folder, file }))) untried.push(nameOf(one));
      }
    });
    return untried;
  } finally {
    writeLabel(tools, noCanary);
    rmSync(folder, { recursive: true, force: true });
  }
}

const nameOf = ({ name, expect }: OperationTry) => expect.rule ?? expect.monitored ?? name;

/** False: the canary has no such operation, or the kernel not all of its hooks. */
async function proveOne(
  tools: ProofTools,
  cgroup: string,
  wanted: OperationTry,
  { folder, file }: { readonly folder: string; readonly file: string },
): Promise<boolean> {
  const before = readTried(tools).runs;
  const isEnded = tools.operations?.guards.tier === 'C';
  if (isEnded && wanted.operation !== HuskOperation.EXEC) return false;
  // What one hook would stop, another that the kernel lacks lets through: nothing is proven by the first.
  const missing = tools.operations?.guards.missing ?? [];
  if (!isEnded && operationHooks[wanted.name].some((hook) => missing.includes(hook))) return false;
  const path = pathFor(wanted.operation, folder, file);
  const [errno] = isEnded
    ? [await execEnded(tools.addon, cgroup)]
    : await tools.addon.canary(cgroup, [{ call: 'operation', operation: wanted.operation, path, number: 1 }]);
  if (errno === ENOTSUP) return false;
  const after = readTried(tools);
  const name = `${wanted.name} for ${nameOf(wanted)}`;
  if (after.runs === before) throw unproven(name, `no hook saw the canary, which got errno ${errno}`);
  const idOf = (index: number) =>
    index === HUSK_RULE_NONE ? null : (tools.ruleId(index) ?? `index ${index}`);
  const found = {
    verdict: after.verdict === HuskVerdict.DENY ? 'deny' : 'allow',
    rule: idOf(after.rule),
    monitored: idOf(after.monitored),
  };
  const differs = (['verdict', 'rule', 'monitored'] as const).some(
    (key) => found[key] !== wanted.expect[key],
  );
  if (differs) throw unproven(name, `expected ${say(wanted.expect)}, the kernel says ${say(found)}`);
  const errnoWanted = wanted.expect.verdict === 'deny' && !isEnded ? EPERM : ECANCELED;
  if (errno !== errnoWanted && !withoutErrno.includes(wanted.operation))
    throw unproven(name, `the canary got errno ${errno}`);
  return true;
}

const say = ({ verdict, rule, monitored }: { verdict: string } & Pick<Judgement, 'rule' | 'monitored'>) =>
  `${verdict} by ${rule}${monitored === null ? '' : `, monitored ${monitored}`}`;

function pathFor(operation: number, folder: string, file: string): string {
  if (operation === HuskOperation.CREATE) return join(folder, 'new');
  if (operation === HuskOperation.MOUNT) return folder;
  return onFiles.includes(operation) ? file : '/proc/self/exe';
}

/** What the label says of the object. */
function objectOf(
  { object }: OperationTry,
  { placeOf, applets }: OperationTools['paths'],
  key: HuskPathKey,
): Uint8Array {
  const place = object.path === undefined ? null : placeOf(object.path);
  const steps = place === null ? null : placeSteps(place, key);
  let traits = (object.traits ?? []).reduce((bits, name) => bits | (1 << traitNumbers[name]), 0);
  if (object.path !== undefined && steps === null) traits |= 1 << HuskTrait.UNRESOLVED;
  const names = applets().find(({ executable }) => executable === object.path)?.names;
  const isListed = object.startedAs !== undefined && names?.includes(object.startedAs) === true;
  if (names !== undefined && !isListed) traits |= 1 << HuskTrait.UNLISTED_APPLET;
  const value = new Uint8Array(HuskCanaryObject.size);
  encodeHuskCanaryObject(new DataView(value.buffer), 0, {
    ...(steps ?? { whole: 0n, rest: Array.from({ length: 32 }, () => 0n), depth: 0, device: 0 }),
    number: object.number === undefined ? 0n : BigInt(object.number) + 1n,
    applet: isListed ? appletNumber(object.startedAs ?? '', key) : 0n,
    hasPath: steps === null ? 0 : 1,
    traits,
  });
  return value;
}

/** An exec of tier C's canary. ECANCELED: ended before its first instruction; 0: it ran; any other errno: neither. */
async function execEnded(addon: Addon, cgroup: string): Promise<number> {
  const { refused, signal, ran } = await addon.witness(cgroup, '');
  if (ran) return 0;
  return signal === SIGKILL ? ECANCELED : refused;
}

/** A canary's exec must be stopped by the hook, whatever the policy is. '' where it was: the programs run. */
export async function whyGuardsSleep(
  tools: LabelTools & { readonly cgroup: string },
  tier: GuardTier,
): Promise<string> {
  const { addon, cgroup } = tools;
  try {
    const [errno] = await withCanary(cgroup, async (path) => {
      const canaryCgroup = addon.cgroupId(path);
      writeLabel(tools, { ...noCanary, canaryCgroup, canaryOperation: HuskOperation.EXEC });
      if (tier === 'C') return [await execEnded(addon, path)];
      return await addon.canary(path, [
        { call: 'operation', operation: HuskOperation.EXEC, path: '/proc/self/exe', number: 0 },
      ]);
    });
    return errno === ECANCELED
      ? ''
      : `the programs are attached and do not run (a canary's exec: errno ${errno})`;
  } finally {
    writeLabel(tools, noCanary);
  }
}
