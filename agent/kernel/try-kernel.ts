// What the kernel we run on does with programs that refuse or end, seen by having one refuse or end a canary.
//
// A kernel loads, and attaches, programs that it never runs: LSM programs where the boot line leaves `bpf` out. So nothing is
// believed that was not seen. Each program is attached by itself, for the moment of its try, acts on the canary alone, which
// has a random name, and is gone before the next. Nothing is pinned, and what a running agent has attached is not touched.

import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Addon, BpfObject, ProgramHandle, WitnessAnswer } from '../../native/index.ts';
import { messageOf } from '../contract/thrown.ts';
import { findMounted } from '../os/file-systems.ts';

/** `works`: seen. `why`: what was seen instead; '' where it works. */
export interface Trial {
  readonly works: boolean;
  readonly why: string;
}

export interface KernelTrials {
  /** An LSM program refuses an execve. */
  readonly lsm: Trial;
  /** A program on a security_ function does. */
  readonly fmodRet: Trial;
  /** A task gets a record when it is made, and is ended by it before the first instruction of what it runs. */
  readonly end: Trial;
  /** A program of a cgroup refuses a connect. */
  readonly connect: Trial;
}

/** Object files probe_refuse and probe_end. */
export interface TrialFiles {
  readonly refuse: Uint8Array;
  readonly end: Uint8Array;
}

export interface TrialTools {
  readonly addon: Addon;
  readonly files: TrialFiles;
  readonly random: (bytes: number) => Uint8Array;
}

const EPERM = 1;
/** EHWPOISON, which probe_refuse.bpf.c refuses with: nothing else on the way gives it. */
const refusal = 133;
const SIGKILL = 9;
/** TASK_COMM_LEN. */
const nameBytes = 16;
/** BPF_CGROUP_INET4_CONNECT. */
const inet4Connect = 10;
const removalsMax = 100;
const removalPauseMs = 10;
/** Into an empty network, which answers with another errno. */
const connectCall = {
  call: 'connect',
  family: 4,
  type: 1,
  protocol: 6,
  address: Uint8Array.of(192, 0, 2, 1),
  port: 443,
} as const;

/** Needs root. Does not throw: what stands in a try's way is why it did not work. */
export async function tryKernel(tools: TrialTools): Promise<KernelTrials> {
  const { addon } = tools;
  const name = Buffer.from(tools.random(nameBytes))
    .toString('hex')
    .slice(0, nameBytes - 1);
  const { files } = tools;
  const refused = (program: string, unheard: string) =>
    tryOne(async () => {
      const answer = await withProgram(addon, files.refuse, name, [program], () => addon.witness('', name));
      if (answer.refused === refusal) return '';
      return answer.ran ? unheard : describeAnswer(answer);
    });
  return {
    lsm: await refused(
      'husk_probe_lsm',
      'such a program is attached and never runs: bpf is not among the LSMs that the kernel was booted with',
    ),
    fmodRet: await refused('husk_probe_fmod_ret', 'such a program is attached and never runs'),
    end: await tryOne(async () => {
      const programs = ['husk_probe_newtask', 'husk_probe_exec'];
      const answer = await withProgram(addon, files.end, name, programs, () => addon.witness('', name));
      if (answer.signal === SIGKILL && !answer.ran) return '';
      return answer.ran ? 'the signal came after the first instruction' : describeAnswer(answer);
    }),
    connect: await tryOne(() => tryConnect(tools, name)),
  };
}

async function tryOne(act: () => Promise<string>): Promise<Trial> {
  try {
    const why = await act();
    return { works: why === '', why };
  } catch (error) {
    return { works: false, why: messageOf(error) };
  }
}

const describeAnswer = ({ refused, signal, ran }: WitnessAnswer) =>
  `the canary's execve came to errno ${refused}, signal ${signal}${ran ? ', and it ran' : ''}`;

/** Attached while `act` runs. Throws KernelError where the kernel does not take them. */
async function withProgram<T>(
  addon: Addon,
  file: Uint8Array,
  name: string,
  programs: readonly string[],
  act: () => Promise<T>,
): Promise<T> {
  const object = openNamed(addon, file, name, programs);
  const handles: { close(): void }[] = [];
  try {
    object.load();
    for (const program of programs) {
      const handle = object.program(program);
      handles.push(handle, addon.attachTracing(handle));
    }
    return await act();
  } finally {
    for (const handle of handles.toReversed()) handle.close();
    object.close();
  }
}

/** Knows the canary's name, and loads only these programs of it. */
function openNamed(addon: Addon, file: Uint8Array, name: string, programs: readonly string[]): BpfObject {
  const object = addon.openObject('probe', file);
  for (const other of object.programNames()) if (!programs.includes(other)) object.setAutoload(other, false);
  const bytes = new Uint8Array(nameBytes);
  bytes.set(Buffer.from(name, 'latin1'));
  object.setRodata(bytes);
  return object;
}

async function tryConnect({ addon, files }: TrialTools, name: string): Promise<string> {
  const root = findMounted('cgroup2');
  if (root === null) return 'no cgroup2 file system is mounted';
  const object = openNamed(addon, files.refuse, name, ['husk_probe_connect']);
  try {
    object.load();
    const program = object.program('husk_probe_connect');
    try {
      return await connectBelow(addon, join(root, `husk-probe-${name}`), program);
    } finally {
      program.close();
    }
  } finally {
    object.close();
  }
}

/** The same call with the program and without it. */
async function connectBelow(addon: Addon, path: string, program: ProgramHandle): Promise<string> {
  mkdirSync(path);
  try {
    const [before] = await addon.canary(path, [connectCall]);
    const link = addon.attachCgroup(program, path, inet4Connect);
    try {
      const [errno] = await addon.canary(path, [connectCall]);
      if (errno === EPERM && before !== EPERM) return '';
      return `a canary's connect came to errno ${errno}, and to ${before} without the program`;
    } finally {
      link.close();
    }
  } finally {
    await removeFolder(path);
  }
}

/** The canary has been waited for, but its network namespace may keep the cgroup busy for a moment. */
async function removeFolder(path: string): Promise<void> {
  for (let left = removalsMax; ; left--) {
    try {
      return rmdirSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || left === 0) throw error;
    }
    await sleep(removalPauseMs);
  }
}
