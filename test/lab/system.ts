// The machine as a lab uses it: programs run to their end, the table of mounts, folders that may hold mounts.

import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Runs a program to its end and returns what it wrote; throws with its complaint if it failed. */
export function run(
  program: string,
  args: readonly string[],
  { env, timeoutMs = 60_000 }: RunOptions = {},
): string {
  try {
    return execFileSync(program, [...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      timeout: timeoutMs,
      maxBuffer: 64 << 20,
    });
  } catch (error) {
    const said = String((error as { stderr?: unknown }).stderr ?? '').trim();
    throw new Error(`${program} ${args.join(' ')}: ${said || String(error)}`, { cause: error });
  }
}

export interface Answer {
  readonly code: number;
  readonly out: string;
  /** What it wrote to stderr. */
  readonly complaint: string;
}

/** Runs a program without holding up this one; a failure is an answer too. */
export function ask(
  program: string,
  args: readonly string[],
  { env, timeoutMs = 60_000 }: RunOptions = {},
): Promise<Answer> {
  const options = { env: { ...process.env, ...env }, timeout: timeoutMs, maxBuffer: 64 << 20 };
  return new Promise((resolve, reject) => {
    execFile(program, [...args], options, (error, out, complaint) => {
      if (error !== null && typeof error.code !== 'number') {
        const why = error.killed === true ? `not done in ${timeoutMs} ms` : error.message;
        reject(new Error(`${program} ${args.join(' ')}: ${why} ${complaint}`, { cause: error }));
        return;
      }
      resolve({ code: Number(error?.code ?? 0), out, complaint });
    });
  });
}

/** Every mount point at or below a folder, deepest first. */
function mountsBelow(folder: string): string[] {
  return mountTable()
    .map((row) => row.point)
    .filter((point) => point === folder || point.startsWith(`${folder}/`))
    .reverse();
}

interface MountRow {
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** proc_pid_mountinfo(5): fields before a lone `-`, then type. Spaces are written `\040`. */
export function mountTable(): MountRow[] {
  const rows = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
  return rows.map((row) => {
    const fields = row.split(' ');
    const dash = fields.indexOf('-');
    const plain = (text = ''): string =>
      text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    return { point: plain(fields[4]), type: fields[dash + 1] ?? '', options: (fields[5] ?? '').split(',') };
  });
}

/** Harmless where nothing is mounted any more. */
export function unmount(path: string): void {
  if (!mountTable().some((row) => row.point === path)) return;
  // Lazily: a program that is just ending may still hold a file.
  run('umount', ['--lazy', path]);
}

export function removeFolder(dir: string): void {
  for (const point of mountsBelow(dir)) unmount(point);
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}

export function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
}
