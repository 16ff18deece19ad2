// What holds for files as files: size, endings, first lines, names, and what must never be in one.
//
// Each check takes all files and gives back faults as `path:line: sentence`, so that a test can hand it a
// bad file and see that it is found.

import { homedir, hostname } from 'node:os';
import { dirname, posix } from 'node:path';
import { type ProjectFile, root } from './tree.ts';

export type Check = (files: readonly ProjectFile[]) => string[];

const bytesMax = 1 << 20;
const topLevel = new Set([
  ...['.ci', 'agent', 'bpf', 'firmware-integration', 'fleet', 'native', 'test'],
  ...['.clang-format', '.editorconfig', '.gitignore', '.npmrc', '.taprc'],
  ...['LICENSE', 'README.md', 'SECURITY.md', 'biome.json', 'build.sh'],
  ...['package-lock.json', 'package.json', 'tsconfig.json'],
]);
const foldersWithReadme = ['agent', 'bpf', 'firmware-integration', 'fleet', 'native', 'test'];
/** Made by a build or an install, wherever they lie. */
const output =
  /(^|\/)(node_modules|dist|build|\.cache|\.tap|coverage)\/|\.(o|a|so|node|log|tsbuildinfo|pem|key)$/;
/** Text that others made and we keep as it was. */
const verbatim = /^(test\/fixtures\/|LICENSE$)/;

export const checks: Readonly<Record<string, Check>> = {
  'no file is over 1 MiB': (files) =>
    files.filter((file) => file.bytes > bytesMax).map((file) => `${file.path}:1: is ${file.bytes} bytes`),

  'nothing that a build makes is kept': (files) =>
    files
      .filter((file) => output.test(file.path))
      .map((file) => `${file.path}:1: is build output or a secret`),

  'the top level holds only what is agreed': (files) => {
    const extra = files.map((file) => file.path.split('/')[0] ?? '').filter((name) => !topLevel.has(name));
    return [...new Set(extra)].map((name) => `${name}:1: is not one of the agreed top-level names`);
  },

  'licence and pages are there': (files) => {
    const known = new Set(files.map((file) => file.path));
    const wanted = ['LICENSE', 'README.md', ...foldersWithReadme.map((folder) => `${folder}/README.md`)];
    return wanted.filter((path) => !known.has(path)).map((path) => `${path}:1: is missing`);
  },

  'text ends with one newline, without trailing space or carriage return': (files) =>
    eachText(files, (text) => {
      if (text === '') return [];
      const faults: Fault[] = [];
      if (!text.endsWith('\n')) faults.push([text, 'does not end with a newline']);
      if (text.endsWith('\n\n')) faults.push([text, 'ends with an empty line']);
      return [...faults, ...matches(text, /[ \t\r]+$/gm, 'has trailing space')];
    }),

  'no tabs in sources': (files) =>
    eachText(files, (text, path) =>
      /\.(ts|tsx|js|mjs|cjs|c|h|json|ya?ml)$/.test(path) ? matches(text, /\t/g, 'has a tab') : [],
    ),

  'BPF sources and headers say their two licences first': (files) =>
    eachText(files, (text, path) => {
      if (!/^bpf\/.*\.[ch]$/.test(path) || /^bpf\/include\/vmlinux/.test(path)) return [];
      const first = text.slice(0, text.indexOf('\n'));
      return first.includes('SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause')
        ? []
        : [[text.slice(0, 0), 'does not open with its SPDX line']];
    }),

  'every source opens with what it is for': (files) =>
    eachText(files, (text, path) => {
      if (!/\.(ts|tsx|c|h|sh)$/.test(path) || /^bpf\/include\/vmlinux/.test(path)) return [];
      const lines = text.split('\n').filter((line) => !/^#!|SPDX-License-Identifier/.test(line));
      return /^\s*(\/\/|\/\*|#)/.test(lines[0] ?? '') ? [] : [[text.slice(0, 0), 'opens without a comment']];
    }),

  'every test opens with its goal and its method, in two lines or more': (files) =>
    eachText(files, (text, path) => {
      if (!/^test\/.*\.test\.ts$/.test(path)) return [];
      const lines = text.split('\n').filter((line) => !line.startsWith('#!'));
      const code = lines.findIndex((line) => !line.startsWith('//'));
      return code >= 2 ? [] : [[text.slice(0, 0), 'opens without goal and method']];
    }),

  'a test lies where what it tests lies': (files) => {
    const folders = new Set(files.map((file) => posix.dirname(file.path)));
    return files
      .filter((file) => /^test\/(agent|bpf|fleet|native)\/.*\.test\.ts$/.test(file.path))
      .filter((file) => !folders.has(posix.dirname(file.path).slice('test/'.length)))
      .map((file) => `${file.path}:1: mirrors no folder of the project`);
  },

  'names are kebab-case, and snake_case in C': (files) =>
    files
      .filter((file) => !verbatim.test(file.path))
      .filter((file) => !goodName(posix.basename(file.path)))
      .map((file) => `${file.path}:1: is not named as its kind is`),

  'the lock file names no address to fetch from': (files) =>
    eachText(files, (text, path) =>
      path === 'package-lock.json' ? matches(text, /"resolved"/g, 'names where a package is fetched') : [],
    ),

  'what was thrown is asked for its message by messageOf': (files) =>
    eachText(files, (text, path) =>
      /^(agent|fleet)\/.*\.ts$/.test(path) && path !== 'agent/contract/thrown.ts'
        ? matches(
            text,
            /\b\w+ as Error\)\.message\b|instanceof Error \? \w+\.message\b/g,
            'takes what was thrown for an Error; messageOf of agent/contract/thrown.ts is for all of it',
          )
        : [],
    ),

  'what is exported is used elsewhere': (files) => {
    // Types may be there for a signature alone; what a build makes has what the next user will need.
    const sources = files.filter(({ path }) => /(?<!\.gen)\.ts$/.test(path));
    const users = new Map<string, number>();
    for (const { text } of sources) {
      for (const word of new Set((text ?? '').replace(/\/\/.*/g, '').match(/[A-Za-z_$][\w$]*/g) ?? []))
        users.set(word, (users.get(word) ?? 0) + 1);
    }
    return eachText(sources, (text) =>
      [...text.matchAll(/^export (?:async )?(?:const|function|class) ([A-Za-z_$][\w$]*)/gm)]
        .filter(([, name = '']) => (users.get(name) ?? 0) < 2)
        .map((match) => [text.slice(0, match.index), `exports ${match[1]}, which no other file uses`]),
    );
  },

  'no package registry is named': (files) =>
    eachText(files, (text) => [
      ...matches(text, /\bregistry\.[a-z0-9-]+\.[a-z]{2,}\b/gi, 'names a package registry'),
      ...matches(text, /^\s*(?:@[\w-]+:)?registry\s*=/gim, 'sets a package registry'),
    ]),

  'nothing names the machine it was made on': (files) => {
    const here = machineWords();
    return eachText(files, (text, path) => [
      // The shield library is about other devices, some of which keep their programs there.
      ...matches(
        isShield(path) ? '' : text,
        /(?<![\w.$}>)])\/(?:home|Users)\/(?!\*)[\w.-]+/g,
        'names a home folder',
      ),
      ...here.flatMap((word) => matches(text, word, 'names this machine')),
    ]);
  },

  'every fixture says where it is from': (files) => {
    const page = files.find((file) => file.path === 'test/fixtures/README.md')?.text ?? '';
    return files
      .filter((file) => file.path.startsWith('test/fixtures/') && !file.path.endsWith('/README.md'))
      .filter((file) => !page.includes(`\`${file.path.slice('test/fixtures/'.length)}\``))
      .map((file) => `${file.path}:1: is not in test/fixtures/README.md`);
  },
};

/** The text up to and with the place, and what is wrong there. */
type Fault = readonly [upTo: string, sentence: string];

function eachText(
  files: readonly ProjectFile[],
  look: (text: string, path: string) => readonly Fault[],
): string[] {
  return files.flatMap(({ path, text }) =>
    text === null || verbatim.test(path)
      ? []
      : look(text, path).map(([upTo, what]) => `${path}:${upTo.split('\n').length}: ${what}`),
  );
}

function matches(text: string, pattern: RegExp, sentence: string): Fault[] {
  return [...text.matchAll(pattern)].map((match) => [
    text.slice(0, match.index),
    `${sentence}: ${show(match[0])}`,
  ]);
}

function show(text: string): string {
  return JSON.stringify(text.slice(0, 60));
}

const isShield = (path: string) => path.startsWith('firmware-integration/shields/');

function goodName(name: string): boolean {
  if (/^(README|LICENSE|SECURITY|CHANGELOG)(\.md)?$/.test(name)) return true;
  if (/\.(c|h)$/.test(name)) return /^[a-z0-9_]+(\.bpf)?\.[ch]$/.test(name);
  if (/\.tsx?$/.test(name)) return /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|gen|d))?\.tsx?$/.test(name);
  return true;
}

/** Paths and names of this very machine, where they are telling (a checkout in /tmp or /root is not). */
function machineWords(): RegExp[] {
  const common = new Set([
    '/',
    '/tmp',
    '/root',
    '/home',
    '/var',
    '/srv',
    '/opt',
    '/mnt',
    '/usr',
    '/builds',
    '/src',
  ]);
  const paths = [root, dirname(root), homedir()].filter((path) => !common.has(path) && path.length > 3);
  const words = paths.map((path) => new RegExp(`(?<![\\w.-])${literally(path)}(?![\\w-])`, 'g'));
  const host = hostname();
  if (host.length >= 6 && !/^(localhost|debian|ubuntu|builder|router|device)$/.test(host)) {
    words.push(new RegExp(`\\b${literally(host)}\\b`, 'g'));
  }
  return words;
}

function literally(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
