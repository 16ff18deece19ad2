// Who may know whom, as a table, and a reader of imports that holds files to it.
//
// The agent and the fleet know of each other only the words they share (agent/contract). In the agent the flows
// know the parts, and no part knows a flow. Policy is pure: it reads no disk, no clock and no kernel. What
// tests need lies under test/, which nothing that is shipped knows.
//
// A file belongs to the area with the longest matching prefix. Its imports of our own files must lie in
// areas that its row names; packages and node's own modules only where the row allows them.

import { posix } from 'node:path';
import type { ProjectFile } from './tree.ts';

interface Area {
  /** Folder prefix with `/` at its end, or a whole path. */
  readonly at: string;
  /** Prefixes of what it may import besides itself. */
  readonly knows: readonly string[];
  /** Like `knows`, for `import type` alone. */
  readonly knowsTypes?: readonly string[];
  readonly node: boolean;
  /** Packages by name; '*' for every dependency of the project. */
  readonly packages: readonly string[];
}

const shared = ['agent/contract/', 'bpf/abi/'];
const stage = [...shared, 'agent/os/'];
/** Stages that flow files join and that do not know each other. */
const stages = ['trust', 'kernel', 'events', 'link', 'query', 'health'].map((name) => `agent/${name}/`);
/** Tools of the build: they read and write files, and are never part of a program. */
const tool = { knows: [], node: true, packages: ['zod'] } as const;

const areas: readonly Area[] = [
  { at: 'bpf/', knows: [], node: false, packages: [] },
  { at: 'bpf/abi/gen-layout.ts', ...tool },
  { at: 'native/', knows: [], node: true, packages: [] },
  { at: 'native/package-executables.ts', ...tool, packages: ['@yao-pkg/pkg'] },
  { at: 'agent/contract/', knows: [], node: false, packages: [] },
  { at: 'agent/policy/', knows: shared, node: false, packages: ['yaml', 'zod'] },
  { at: 'agent/policy/gen-schema.ts', ...tool, knows: [...shared, 'agent/policy/'] },
  { at: 'agent/os/', knows: ['agent/contract/'], node: true, packages: ['pino'] },
  ...stages
    .filter((at) => at !== 'agent/kernel/')
    .map((at) => ({ at, knows: stage, node: true, packages: ['mqtt', 'node-forge', 'zod'] })),
  // The kernel stage loads what the compiler made, and alone talks to the addon.
  { at: 'agent/kernel/', knows: [...stage, 'agent/policy/', 'native/'], node: true, packages: [] },
  // Flow files, configuration and the commands: they join stages.
  {
    at: 'agent/',
    knows: [...stage, ...stages, 'agent/policy/', 'agent/cli/', 'agent/*'],
    // A flow names the ring it is handed, main.ts hands it over.
    knowsTypes: ['native/index.ts'],
    node: true,
    packages: ['*'],
  },
  {
    at: 'agent/main.ts',
    knows: [...stage, ...stages, 'agent/policy/', 'agent/cli/', 'agent/*', 'native/'],
    node: true,
    packages: ['*'],
  },
  { at: 'fleet/', knows: ['agent/contract/', 'agent/policy/', 'fleet/signer/'], node: true, packages: ['*'] },
  { at: 'fleet/signer/', knows: ['agent/contract/'], node: true, packages: [] },
  { at: 'firmware-integration/', knows: [], node: false, packages: [] },
  { at: 'firmware-integration/image/', ...tool },
  {
    at: 'test/',
    knows: ['agent/', 'bpf/', 'firmware-integration/', 'fleet/', 'native/', 'test/'],
    node: true,
    packages: ['*'],
  },
];

export interface Import {
  /** As written. */
  readonly from: string;
  readonly line: number;
  readonly typeOnly: boolean;
}

const statement = /^[ \t]*(?:import|export)\b(?<clause>[^;'"`=()]*?)\bfrom\s*(['"])(?<from>[^'"\n]+)\2/gm;
const bare = /^[ \t]*import\s*(['"])(?<from>[^'"\n]+)\1/gm;
const call = /\b(?:import|require)\(\s*(['"])(?<from>[^'"\n]+)\1\s*\)/g;

export function importsOf(source: string): Import[] {
  const text = withoutComments(source);
  const found: Import[] = [];
  for (const pattern of [statement, bare, call]) {
    for (const match of text.matchAll(pattern)) {
      const { from, clause } = match.groups ?? {};
      if (from === undefined) continue;
      const start = match.index + match[0].length - match[0].trimStart().length;
      found.push({
        from,
        line: text.slice(0, start).split('\n').length,
        typeOnly: clause !== undefined && /^\s*type\b(?!\s*(?:,|from))/.test(clause),
      });
    }
  }
  return found;
}

/** Blanks comments, keeping lines. Good enough for our formatter's output: it knows strings, not regular expressions. */
function withoutComments(source: string): string {
  const token =
    /\/\*[\s\S]*?\*\/|(?<![:\\/])\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return source.replace(token, (part) => (part.startsWith('/') ? part.replace(/[^\n]/g, ' ') : part));
}

/** Every import that goes where its file's row does not allow, as `path:line: sentence`. */
export function importFaults(files: readonly ProjectFile[], dependencies: readonly string[]): string[] {
  const known = new Set(files.map((file) => file.path));
  const faults: string[] = [];
  for (const file of files) {
    if (file.text === null || !/\.[cm]?[tj]sx?$/.test(file.path)) continue;
    const area = areaOf(file.path);
    if (area === null) {
      faults.push(`${file.path}:1: lies in no area of test/tidy/imports.ts`);
      continue;
    }
    for (const one of importsOf(file.text)) {
      const fault = faultOf({ path: file.path, area, one, known, dependencies });
      if (fault !== null) faults.push(`${file.path}:${one.line}: ${fault}`);
    }
  }
  return faults;
}

function areaOf(path: string): Area | null {
  let best: Area | null = null;
  for (const area of areas) {
    const inside = area.at.endsWith('/') ? path.startsWith(area.at) : path === area.at;
    if (inside && (best === null || area.at.length > best.at.length)) best = area;
  }
  return best;
}

interface Asked {
  readonly path: string;
  readonly area: Area;
  readonly one: Import;
  readonly known: ReadonlySet<string>;
  readonly dependencies: readonly string[];
}

function faultOf({ path, area, one, known, dependencies }: Asked): string | null {
  const { from, typeOnly } = one;
  if (from.startsWith('node:')) {
    return area.node ? null : `imports ${from}; this area is pure`;
  }
  if (!from.startsWith('.')) {
    const name = from
      .split('/')
      .slice(0, from.startsWith('@') ? 2 : 1)
      .join('/');
    if (!dependencies.includes(name)) return `imports ${from}, which package.json does not name`;
    if (area.packages.includes('*') || area.packages.includes(name)) return null;
    return `imports the package ${from}, which this area does not use`;
  }
  const target = posix.join(posix.dirname(path), from);
  if (!known.has(target)) return `imports ${from}, which is not a file of the project`;
  const own = area.at.endsWith('/') ? area.at : posix.dirname(area.at);
  if (target.startsWith(own) && areaOf(target)?.at === area.at) return null;
  const allowed = [...area.knows, ...(typeOnly ? (area.knowsTypes ?? []) : [])];
  if (allowed.some((prefix) => covers(prefix, target))) return null;
  return `imports ${target}, which this area does not know`;
}

/** `agent/*` covers files right below, `agent/` all below, anything else that file alone. */
function covers(prefix: string, target: string): boolean {
  if (prefix.endsWith('/*')) return `${posix.dirname(target)}/*` === prefix;
  return prefix.endsWith('/') ? target.startsWith(prefix) : target === prefix;
}

/** Files that import each other in a circle (types aside: those are gone when the program runs). */
export function importCircles(files: readonly ProjectFile[]): string[] {
  const edges = new Map<string, string[]>();
  for (const file of files) {
    if (file.text === null || !file.path.endsWith('.ts')) continue;
    const targets = importsOf(file.text).filter((one) => one.from.startsWith('.') && !one.typeOnly);
    edges.set(
      file.path,
      targets.map((one) => posix.join(posix.dirname(file.path), one.from)),
    );
  }
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      circles.push([...trail.slice(at), path].join(' → '));
      return;
    }
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return circles;
}
