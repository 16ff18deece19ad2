// The options that the running kernel was built with, from itself or from beside its image.

import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';

/** CONFIG_ names and their values; an option that is not set is missing. */
export interface KernelOptions {
  readonly from: string;
  readonly values: ReadonlyMap<string, string>;
}

/** null: they are nowhere to be read. */
export function readKernelOptions(): KernelOptions | null {
  for (const from of ['/proc/config.gz', `/boot/config-${release()}`, `/lib/modules/${release()}/config`]) {
    if (!existsSync(from)) continue;
    try {
      const bytes = readFileSync(from);
      return {
        from,
        values: parseOptions((from.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1')),
      };
    } catch {
      // Unreadable or damaged: the next source may be better, and none is only less to say.
    }
  }
  return null;
}

function parseOptions(text: string): ReadonlyMap<string, string> {
  const lines = text.split('\n').filter((line) => line.startsWith('CONFIG_'));
  return new Map(
    lines.map((line): [string, string] => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}
