// Links: which hook runs where. Each is pinned under links/, so that it holds without the agent.
//
// Attaching is a matter of making what is there equal to what is wanted: a link that is missing, stands on an
// interface that is gone (ifindex 0) or on another interface of the same name is made anew; one that is right
// is kept, or moved to a newer program without a gap.

import { existsSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Addon, LinkHandle, ProgramHandle } from '../../native/index.ts';
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

export interface AttachWanted {
  readonly interfaces: readonly { readonly name: string; readonly index: number }[];
  readonly xdpMode: 'native' | 'generic';
  /** TCX where the kernel has it (6.6), else clsact. */
  readonly egress: 'tcx' | 'clsact';
  /** Directory of the hardening root; null: no call is judged. */
  readonly cgroup: string | null;
}

export interface AttachedHook {
  /** As in `xdp_ingress wan0 native` or `connect4 /sys/fs/cgroup/x`. */
  readonly description: string;
  /** failed: a driver without XDP, an interface that went at that moment; the other hooks are not kept waiting. */
  readonly action: 'kept' | 'renewed' | 'made' | 'failed';
  /** What the kernel said, where it failed. */
  readonly why?: string;
}

interface WantedLink {
  readonly name: string;
  readonly description: string;
  readonly program: ProgramHandle;
  /** Whether a pinned link found under this name is on the right object. */
  isRight(link: LinkHandle): boolean;
  make(): LinkHandle;
}

/** Makes links equal to what is wanted and removes those that are not wanted any more. */
export function attachHooks(addon: Addon, set: ProgramSet, wanted: AttachWanted): AttachedHook[] {
  const links = [
    ...wanted.interfaces.flatMap((at) => interfaceLinks(addon, set, wanted, at)),
    ...cgroupLinks(addon, set, wanted),
  ];
  const directory = join(set.directory, 'links');
  const keep = new Set(links.map((link) => link.name));
  for (const name of readdirSync(directory)) if (!keep.has(name)) unlinkSync(join(directory, name));
  const clsact = wanted.egress === 'clsact' ? wanted.interfaces : [];
  return [
    ...links.map((link) => attempt(link.description, () => ensureLink(addon, directory, link))),
    ...clsact.map((at) => attempt(`tc_egress ${at.name} clsact`, () => ensureClsact(addon, set, at))),
  ];
}

function attempt(description: string, attach: () => AttachedHook): AttachedHook {
  try {
    return attach();
  } catch (error) {
    return { description, action: 'failed', why: error instanceof Error ? error.message : String(error) };
  }
}

/** Removes what clsact holds; links go with their pins. */
export function detachClsact(addon: Addon, interfaces: readonly { readonly index: number }[]): void {
  for (const { index } of interfaces) {
    if (addon.queryClsact(index, 'egress', clsactPlace.handle, clsactPlace.priority) !== 0) {
      addon.detachClsact(index, 'egress', clsactPlace.handle, clsactPlace.priority);
    }
  }
}

function interfaceLinks(
  addon: Addon,
  set: ProgramSet,
  wanted: AttachWanted,
  at: { readonly name: string; readonly index: number },
): WantedLink[] {
  const isRight = (link: LinkHandle): boolean => addon.linkInfo(link).ifindex === at.index;
  const xdp = program(set, 'husk_xdp_ingress');
  const tc = program(set, 'husk_tc_egress');
  const links: WantedLink[] = [
    {
      // The kernel does not tell a link's mode: it stands in the name, so that another mode is another link.
      name: `xdp_ingress-${wanted.xdpMode}-${pinName(at.name)}`,
      description: `xdp_ingress ${at.name} ${wanted.xdpMode}`,
      program: xdp,
      isRight,
      make: () => addon.attachXdp(xdp, at.index, wanted.xdpMode),
    },
  ];
  if (wanted.egress === 'tcx') {
    links.push({
      name: `tc_egress-${pinName(at.name)}`,
      description: `tc_egress ${at.name} tcx`,
      program: tc,
      isRight,
      make: () => addon.attachTcx(tc, at.index, 'egress'),
    });
  }
  return links;
}

function cgroupLinks(addon: Addon, set: ProgramSet, wanted: AttachWanted): WantedLink[] {
  const { cgroup } = wanted;
  if (cgroup === null) return [];
  const id = addon.cgroupId(cgroup);
  return (Object.keys(cgroupAttachTypes) as CgroupProgram[]).map((name) => {
    const handle = program(set, name);
    return {
      name: name.replace('husk_', ''),
      description: `${name.replace('husk_', '')} ${cgroup}`,
      program: handle,
      isRight: (link) => addon.linkInfo(link).cgroupId === id,
      make: () => addon.attachCgroup(handle, cgroup, cgroupAttachTypes[name]),
    };
  });
}

function ensureLink(addon: Addon, directory: string, wanted: WantedLink): AttachedHook {
  const path = join(directory, wanted.name);
  const { description } = wanted;
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

function ensureClsact(
  addon: Addon,
  set: ProgramSet,
  at: { readonly name: string; readonly index: number },
): AttachedHook {
  const tc = program(set, 'husk_tc_egress');
  const description = `tc_egress ${at.name} clsact`;
  const found = addon.queryClsact(at.index, 'egress', clsactPlace.handle, clsactPlace.priority);
  if (found === addon.programInfo(tc).id) return { description, action: 'kept' };
  addon.attachClsact(tc, at.index, 'egress', clsactPlace.handle, clsactPlace.priority);
  return { description, action: found === 0 ? 'made' : 'renewed' };
}

function program(set: ProgramSet, name: ProgramName): ProgramHandle {
  const handle = set.programs.get(name);
  if (handle === undefined) throw new Error(`the set has no program ${name}`);
  return handle;
}

/** bpffs refuses names with a dot, which VLAN devices have. */
function pinName(name: string): string {
  return name.replaceAll('.', '%2e');
}
