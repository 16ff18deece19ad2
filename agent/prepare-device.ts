// What a device needs around the agent before anything is loaded: a bpf file system, a hardening root, a clock
// that is not in 1970, the object files. What is missing is made where that is harmless, and said where not.

import { existsSync, mkdirSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Addon, InterfaceWatch } from '../native/index.ts';
import type { Config } from './config.ts';
import type { Join } from './contract/enrollment.ts';
import { messageOf } from './contract/thrown.ts';
import { type GuardFiles, type GuardTier, guardFile, guardObjects } from './kernel/guards.ts';
import { type ObjectFiles, objects } from './kernel/objects.ts';
import { readBpfObject } from './os/assets.ts';
import type { Clock } from './os/clock.ts';
import type { Files } from './os/files.ts';
import type { Log } from './os/log.ts';
import { stepSystemClock } from './os/set-clock.ts';
import { parseJoin } from './trust/join.ts';

/** BPF_FS_MAGIC of <linux/magic.h>. */
const bpffsMagic = 0xcafe4a11;
const joinFileBytesMax = 8 * 1024;

/** The join line of the configuration; null: there is none, or not yet. Throws where it is damaged. */
export function readJoin(config: Config, files: Files): Join | null {
  if (config.join === null) return null;
  if (!config.join.startsWith('/')) return parseJoin(config.join);
  const bytes = files.readBounded(config.join, joinFileBytesMax);
  return bytes === null ? null : parseJoin(new TextDecoder().decode(bytes));
}

/** Before TLS: a certificate that is not valid yet and one that is not trusted look alike. */
export function stepClockIfAsked(config: Config, clock: Clock, log: Log): void {
  const { ms, quality } = clock.wall();
  if (ms === null || quality === 'ntp') return;
  if (!config.clock.step) {
    log.warn(
      { systemClock: new Date().toISOString(), certainlyPast: new Date(ms).toISOString() },
      'the system clock is behind: TLS may refuse certificates as not yet valid; set clock.step',
    );
    return;
  }
  try {
    stepSystemClock(ms);
    log.warn({ to: new Date(ms).toISOString() }, 'the system clock was behind and is set forward');
  } catch (error) {
    log.error({ error: messageOf(error) }, 'the system clock could not be set');
  }
}

export function readObjects(): ObjectFiles {
  const names = Object.keys(objects) as (keyof typeof objects)[];
  return Object.fromEntries(names.map((name) => [name, readBpfObject(name)])) as ObjectFiles;
}

/** The programs that deny operations, for the way this kernel takes them; null: it takes none. */
export function readGuards(
  tier: GuardTier | null,
  log: Log,
): { readonly files: GuardFiles; readonly tier: GuardTier } | null {
  if (tier === null) return null;
  try {
    const files = guardObjects[tier].map((name) => [name, readBpfObject(guardFile(name, tier))] as const);
    return { tier, files: new Map(files) };
  } catch (error) {
    log.error({ tier, error: messageOf(error) }, 'guards: not readable');
    return null;
  }
}

/** The program of Husk's own protection, for the way this kernel takes it; null: it takes none. */
export function readSelfGuard(tier: GuardTier | null, log: Log): Uint8Array | null {
  if (tier === null || tier === 'C') return null;
  try {
    return readBpfObject(tier === 'B' ? 'guard_self_b' : 'guard_self');
  } catch (error) {
    log.error({ tier, error: messageOf(error) }, 'self-protection: not readable');
    return null;
  }
}

/** An object that not every kernel takes; null: it was not built. */
export function readOptionalObject(name: 'floor'): Uint8Array | null {
  try {
    return readBpfObject(name);
  } catch {
    // Without it, what it does is done another way, or said not to be done.
    return null;
  }
}

/** `mqtts://host:port` that a join line names; none where it is not readable, which joining will say. */
export function joinEndpoints(config: Config, files: Files, log: Log): readonly string[] {
  try {
    const join = readJoin(config, files);
    return join === null ? [] : [join.enroll, join.broker];
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'join: not readable');
    return [];
  }
}

/** Of the network namespace we are in; '' without PPPoE. */
export function readPppoeSessions(): string {
  return readText('/proc/self/net/pppoe');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Not asked where the kernel's module for it is not there: asking would bring it in. `sockets`: those of netlink. */
export function readIpsecByPolicy(
  addon: Pick<Addon, 'ipsecByPolicy'>,
  sockets = readText('/proc/self/net/netlink'),
): boolean {
  // A line a socket, its protocol in the second column; the kernel's own is of process 0 (net/netlink/af_netlink.c).
  const isThere = /^\S+\s+6\s+0\s/m.test(sockets);
  try {
    return isThere && addon.ipsecByPolicy();
  } catch {
    // An answer that did not come, or was cut: what is not known is not called enforced. The next look is a second away.
    return true;
  }
}

/** null: nothing tells of changes, and the device is looked at once a second. */
export function watchInterfaces(addon: Addon, log: Log, onChange: () => void): InterfaceWatch | null {
  try {
    return addon.watchInterfaces(onChange);
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'device: changes of interfaces are not told');
    return null;
  }
}

/** Mounts one where there is none. */
export function prepareBpffs(path: string, addon: Addon, log: Log): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (statfsSync(path).type === bpffsMagic) return;
  addon.mountBpffs(path);
  log.info({ path }, 'bpf file system mounted');
}

/** The hardening root, made where it is missing; null where calls cannot be judged. */
export function hardeningRoot(config: Config, addon: Addon, log: Log): string | null {
  if (config.hardening === null) return null;
  const path = config.hardening.cgroup;
  try {
    if (!existsSync(path)) mkdirSync(path, { recursive: true });
    addon.cgroupId(path);
    return path;
  } catch (error) {
    log.error({ path, error: messageOf(error) }, 'no hardening: the cgroup cannot be used');
    return null;
  }
}

/** null: there is no such cgroup, yet. */
export function findCgroup(addon: Addon, root: string | null, path: string): bigint | null {
  if (root === null) return null;
  try {
    return addon.cgroupId(join(root, path));
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return null;
    throw error;
  }
}
