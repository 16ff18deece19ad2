// Links: which hook runs where. Each is pinned under links/, so that it holds without the agent.
//
// Attaching is a matter of making what is there equal to what is wanted: a link that is missing, or stands on an
// interface that is gone (ifindex 0), is made anew; one that is right is kept, or moved to a newer program without
// a gap. An interface that was renamed keeps its links: they are found by its index.
//
// Where incoming packets are to be judged at another hook, the new one is attached before the old one goes. In
// between a packet meets both; they judge by the same tables and come to the same verdict, so nothing passes that
// should not, but counters and limits see such a packet twice.

import { existsSync, readdirSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Addon, LinkHandle, ProgramHandle } from '../../native/index.ts';
import { messageOf } from '../contract/thrown.ts';
import type { ProgramName, ProgramSet } from './objects.ts';

/** `enum bpf_attach_type` of the cgroup hooks (linux/bpf.h). */
const cgroupAttachTypes = {
  husk_sock_create: 2,
  husk_bind4: 8,
  husk_bind6: 9,
  husk_connect4: 10,
  husk_connect6: 11,
  husk_sendmsg4: 14,
  husk_sendmsg6: 15,
} as const;
type CgroupProgram = keyof typeof cgroupAttachTypes;

/** Handle and priority of our filter where clsact takes the place of TCX; no other program of ours uses them. */
const clsactPlace = { handle: 0x4855, priority: 0x4855 } as const;

/** One way to get at incoming packets, and why it is this one (for people); '' where it is the usual one. */
export interface IngressTry {
  readonly way: 'native' | 'generic' | 'tc';
  readonly why: string;
}

/** An interface whose packets are judged. */
export interface AttachAt {
  readonly name: string;
  readonly index: number;
  /** In this order; the first that the kernel takes. */
  readonly ingress: readonly IngressTry[];
}

export interface AttachWanted {
  readonly interfaces: readonly AttachAt[];
  /** Interfaces that are to have nothing of ours, where they are none of these; null: what else is attached stays as it is. */
  readonly others: readonly { readonly index: number }[] | null;
  /** TCX where the kernel has it (6.6), else clsact. */
  readonly tc: 'tcx' | 'clsact';
  /** Directory of the hardening root; null: no call is judged. */
  readonly cgroup: string | null;
}

export interface AttachedHook {
  /** As in `xdp_ingress wan0 native`, `tc_ingress tun0 tcx: no Ethernet header` or `connect4 /sys/fs/cgroup/x`. */
  readonly description: string;
  /** failed: a driver without XDP, an interface that went at that moment; the other hooks are not kept waiting. */
  readonly action: 'kept' | 'renewed' | 'made' | 'failed';
  /** What the kernel said, where it failed. */
  readonly why?: string;
  /** The interface that it is on. */
  readonly at?: { readonly index: number; readonly direction: Direction };
  /** It holds, but a better one is to be tried again: another hook of ours was in its place until now. */
  readonly isInterim?: true;
}
type Direction = 'ingress' | 'egress';
type Place = Pick<AttachAt, 'name' | 'index'>;

interface WantedLink {
  readonly name: string;
  readonly description: string;
  readonly program: ProgramHandle;
  /** Whether a pinned link found under this name is on the right object. */
  isRight(link: LinkHandle): boolean;
  make(): LinkHandle;
}

/** What one pass of attaching goes by. */
interface Pass {
  readonly addon: Addon;
  readonly set: ProgramSet;
  readonly tc: AttachWanted['tc'];
  readonly directory: string;
  /** Names of links that are wanted, so far. */
  readonly keep: Set<string>;
}

/** Makes links equal to what is wanted and removes those that are not wanted any more. */
export function attachHooks(addon: Addon, set: ProgramSet, wanted: AttachWanted): AttachedHook[] {
  const directory = join(set.directory, 'links');
  const pass: Pass = { addon, set, tc: wanted.tc, directory, keep: new Set() };
  const hooks = [
    ...wanted.interfaces.flatMap((at) => [attachIngress(pass, at), attachTc(pass, at, 'egress', '')]),
    ...cgroupLinks(addon, set, wanted).map((link) => attemptLink(pass, link)),
  ];
  const indexes = new Set(wanted.interfaces.map(({ index }) => index));
  for (const name of readdirSync(directory)) {
    const at = interfaceOf(name);
    const isOthers = at !== null && !indexes.has(at);
    if (pass.keep.has(name) || (isOthers && wanted.others === null)) continue;
    removeLink(addon, join(directory, name));
  }
  const others = wanted.others?.filter(({ index }) => !indexes.has(index)) ?? [];
  if (wanted.tc === 'clsact') detachClsact(addon, others);
  return hooks;
}

/** Off its hook before its pin goes: else the place would stay taken until the kernel has freed the link. */
function removeLink(addon: Addon, path: string): void {
  const link = addon.openPinnedLink(path);
  try {
    addon.detachLink(link);
  } finally {
    link.close();
  }
  unlinkSync(path);
}

/** The first way that the kernel takes; then the others of this interface are not kept. */
function attachIngress(pass: Pass, at: AttachAt): AttachedHook {
  const complaints: string[] = [];
  const found = pinsOf(pass, at);
  for (const { way, why } of at.ingress) {
    const reason = [why, ...complaints].filter((text) => text !== '').join('; ');
    const hook = way === 'tc' ? attachTc(pass, at, 'ingress', reason) : attachXdp(pass, at, way, reason);
    if (hook.action === 'failed') {
      complaints.push(`${way === 'tc' ? pass.tc : `${way} XDP`} failed: ${hook.why}`);
      continue;
    }
    if (way !== 'tc' && pass.tc === 'clsact') removeClsact(pass.addon, at.index, 'ingress');
    // A card has room for one XDP program; ours, of the other mode, may have been the one in the way.
    const wasInTheWay = complaints.length > 0 && found.some((name) => name.startsWith('xdp_ingress-'));
    return wasInTheWay ? { ...hook, isInterim: true } : hook;
  }
  // Whatever is there is better than nothing.
  for (const name of found) pass.keep.add(name);
  return { description: `ingress ${at.name}`, action: 'failed', why: complaints.join('; ') };
}

function attachXdp(pass: Pass, at: AttachAt, mode: 'native' | 'generic', why: string): AttachedHook {
  const { addon } = pass;
  const program = programOf(pass.set, 'husk_xdp_ingress');
  const hook = attemptLink(pass, {
    // The kernel does not tell a link's mode: it stands in the name, so that another mode is another link.
    name: linkName(`xdp_ingress-${mode}`, at),
    description: describe(`xdp_ingress ${at.name} ${mode}`, why),
    program,
    isRight: (link) => addon.linkInfo(link).ifindex === at.index,
    make: () => addon.attachXdp(program, at.index, mode),
  });
  return { ...hook, at: { index: at.index, direction: 'ingress' } };
}

function attachTc(pass: Pass, at: Place, direction: Direction, why: string): AttachedHook {
  const { addon, set, tc } = pass;
  const program = programOf(set, direction === 'ingress' ? 'husk_tc_ingress' : 'husk_tc_egress');
  const description = describe(`tc_${direction} ${at.name} ${tc}`, why);
  const hook =
    tc === 'clsact'
      ? attempt(description, () => ensureClsact(addon, program, at, direction, description))
      : attemptLink(pass, {
          name: linkName(`tc_${direction}`, at),
          description,
          program,
          isRight: (link) => addon.linkInfo(link).ifindex === at.index,
          make: () => addon.attachTcx(program, at.index, direction),
        });
  return { ...hook, at: { index: at.index, direction } };
}

/** Cut to what a report takes. */
const describe = (hook: string, why: string) => (why === '' ? hook : `${hook}: ${why}`.slice(0, 250));

function attempt(description: string, attach: () => AttachedHook): AttachedHook {
  try {
    return attach();
  } catch (error) {
    return { description, action: 'failed', why: messageOf(error) };
  }
}

/** Wanted links are kept, those that failed are not: what is pinned there may be on another interface. */
function attemptLink(pass: Pass, link: WantedLink): AttachedHook {
  const hook = attempt(link.description, () => ensureLink(pass, link));
  if (hook.action !== 'failed') pass.keep.add(link.name);
  return hook;
}

/** Removes what clsact holds; links go with their pins. */
export function detachClsact(addon: Addon, interfaces: readonly { readonly index: number }[]): void {
  for (const { index } of interfaces)
    for (const direction of ['ingress', 'egress'] as const) removeClsact(addon, index, direction);
}

function removeClsact(addon: Addon, index: number, direction: Direction): void {
  try {
    if (addon.queryClsact(index, direction, clsactPlace.handle, clsactPlace.priority) === 0) return;
    addon.detachClsact(index, direction, clsactPlace.handle, clsactPlace.priority);
  } catch (error) {
    // The interface went meanwhile, and the filter with it.
    if (!['ENODEV', 'ENOENT'].includes((error as { code?: string }).code ?? '')) throw error;
  }
}

/** `<hook>-<index>-<name>`: the name is for people. bpffs refuses names with a dot, which VLAN devices have. */
function linkName(hook: string, { index, name }: Place): string {
  return `${hook}-${index}-${name.replaceAll('.', '%2e')}`;
}

const onInterface = /^(xdp_ingress-(native|generic)|tc_ingress|tc_egress)-(?<index>\d+)-/;

/** The index of the interface that a link is on, by its name; null: it is on none. */
function interfaceOf(name: string): number | null {
  const index = onInterface.exec(name)?.groups?.index;
  return index === undefined ? null : Number(index);
}

/** Links for incoming packets that were made for this interface, under whatever name it had. */
function pinsOf({ directory }: Pass, { index }: Place): string[] {
  return readdirSync(directory).filter(
    (name) => interfaceOf(name) === index && !name.startsWith('tc_egress'),
  );
}

function cgroupLinks(addon: Addon, set: ProgramSet, wanted: AttachWanted): WantedLink[] {
  const { cgroup } = wanted;
  if (cgroup === null) return [];
  const id = addon.cgroupId(cgroup);
  return (Object.keys(cgroupAttachTypes) as CgroupProgram[]).map((name) => {
    const handle = programOf(set, name);
    return {
      name: name.replace('husk_', ''),
      description: `${name.replace('husk_', '')} ${cgroup}`,
      program: handle,
      isRight: (link) => addon.linkInfo(link).cgroupId === id,
      make: () => addon.attachCgroup(handle, cgroup, cgroupAttachTypes[name]),
    };
  });
}

function ensureLink({ addon, directory }: Pass, wanted: WantedLink): AttachedHook {
  const path = join(directory, wanted.name);
  const { description } = wanted;
  takeOverName(directory, wanted.name);
  if (existsSync(path)) {
    const found = addon.openPinnedLink(path);
    try {
      if (wanted.isRight(found)) {
        if (addon.linkInfo(found).programId === addon.programInfo(wanted.program).id)
          return { description, action: 'kept' };
        addon.updateLink(found, wanted.program);
        return { description, action: 'renewed' };
      }
    } finally {
      found.close();
    }
    // On an interface or cgroup that is gone; the new one has no link of ours yet.
    unlinkSync(path);
  }
  const made = wanted.make();
  try {
    addon.pin(made, path);
  } finally {
    made.close();
  }
  return { description, action: 'made' };
}

/** The link of an interface that was renamed, under its new name. */
function takeOverName(directory: string, name: string): void {
  const stem = onInterface.exec(name)?.[0];
  if (stem === undefined || existsSync(join(directory, name))) return;
  const before = readdirSync(directory).find((other) => other.startsWith(stem));
  if (before !== undefined) renameSync(join(directory, before), join(directory, name));
}

function ensureClsact(
  addon: Addon,
  program: ProgramHandle,
  { index }: Place,
  direction: Direction,
  description: string,
): AttachedHook {
  const { handle, priority } = clsactPlace;
  const found = addon.queryClsact(index, direction, handle, priority);
  if (found === addon.programInfo(program).id) return { description, action: 'kept' };
  addon.attachClsact(program, index, direction, handle, priority);
  return { description, action: found === 0 ? 'made' : 'renewed' };
}

function programOf(set: ProgramSet, name: ProgramName): ProgramHandle {
  const handle = set.programs.get(name);
  if (handle === undefined) throw new Error(`the set has no program ${name}`);
  return handle;
}
