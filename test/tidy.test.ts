// Goal: the shape of the project stays as tidy/imports.ts and tidy/hygiene.ts draw it: imports point one way,
// generated files are fresh, and no file carries what it must not.
// Method: read what git tracks or would track and run small checks over it. Each check is first shown a
// file that breaks its rule and must find it, so that none of them can pass by seeing nothing.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { checkDocuments } from '../agent/policy/check.ts';
import { checkProofs } from '../agent/policy/classes/check-proofs.ts';
import { readDocuments } from '../agent/policy/read.ts';
import { checks } from './tidy/hygiene.ts';
import { importCircles, importFaults, importsOf } from './tidy/imports.ts';
import { type ProjectFile, projectFiles, root } from './tidy/tree.ts';

const files = projectFiles();
const dependencies = packageNames();

t.test('the files were read at all', async (t) => {
  t.ok(files.length > 20, `${files.length} files`);
  t.ok(
    files.some((file) => file.path === 'agent/contract/topics.ts'),
    'a file that is surely there is among them',
  );
});

t.test('imports', async (t) => {
  t.strictSame(importFaults(files, dependencies), [], 'every import goes where it may');
  t.strictSame(importCircles(files), [], 'no circle');

  t.test('the reader of imports sees every form', async (t) => {
    const source = [
      "import fs from 'node:fs';",
      "import type { A } from './a.ts';",
      'import {',
      '  b,',
      "} from './b.ts';",
      "export { c } from './c.ts';",
      "import './d.ts';",
      `const e = await ${'import'}('./e.ts');`,
      "// import f from './f.ts';",
      "/* import g from './g.ts'; */",
      "const text = 'from here';",
    ].join('\n');
    t.strictSame(
      importsOf(source).map((one) => `${one.line} ${one.from}${one.typeOnly ? ' type' : ''}`),
      ['1 node:fs', '2 ./a.ts type', '3 ./b.ts', '6 ./c.ts', '7 ./d.ts', '8 ./e.ts'],
    );
  });

  const wrong: readonly (readonly [path: string, from: string])[] = [
    ['agent/contract/x.ts', 'node:fs'],
    ['agent/contract/x.ts', '../../bpf/abi/layout.gen.ts'],
    ['agent/contract/x.ts', 'zod'],
    ['agent/policy/x.ts', 'node:crypto'],
    ['agent/policy/x.ts', '../kernel/y.ts'],
    ['agent/events/x.ts', '../trust/y.ts'],
    ['agent/events/x.ts', '../policy/y.ts'],
    ['agent/events/x.ts', '../../native/index.ts'],
    ['agent/events/x.ts', '../main.ts'],
    ['agent/apply.ts', '../native/index.ts'],
    ['agent/link/x.ts', '../../fleet/y.ts'],
    ['agent/main.ts', '../test/lab/y.ts'],
    ['fleet/x.ts', '../agent/trust/y.ts'],
    ['fleet/x.ts', '../native/index.ts'],
    ['fleet/x.ts', '../bpf/abi/layout.gen.ts'],
    ['fleet/signer/x.ts', '../store/y.ts'],
    ['bpf/abi/x.ts', 'node:fs'],
    ['native/x.ts', '../agent/contract/topics.ts'],
    ['firmware-integration/x.ts', '../agent/main.ts'],
    ['fleet/x.ts', 'left-pad'],
    ['fleet/x.ts', './not-there.ts'],
    ['fleet/x.ts', '../agent/contract/topics'],
    ['stray/x.ts', 'node:fs'],
  ];
  for (const [path, from] of wrong) {
    t.ok(importFaults(withImport(path, from), dependencies).length > 0, `refuses ${path} importing ${from}`);
  }
  const right: readonly (readonly [path: string, from: string])[] = [
    ['agent/events/x.ts', '../os/y.ts'],
    ['agent/kernel/x.ts', '../../native/index.ts'],
    ['agent/apply.ts', './kernel/y.ts'],
    ['fleet/x.ts', '../agent/policy/y.ts'],
    ['agent/policy/x.ts', '../../bpf/abi/layout.gen.ts'],
  ];
  for (const [path, from] of right) {
    t.strictSame(importFaults(withImport(path, from), dependencies), [], `accepts ${path} importing ${from}`);
  }
  t.strictSame(
    importCircles([
      file('fleet/a.ts', "import { b } from './b.ts';\n"),
      file('fleet/b.ts', "import { c } from './c.ts';\n"),
      file('fleet/c.ts', "import { b } from './b.ts';\n"),
    ]),
    ['fleet/b.ts → fleet/c.ts → fleet/b.ts'],
    'finds a circle',
  );
});

/** For each check of tidy/hygiene.ts, files that break it. */
const bad: Readonly<Record<string, readonly ProjectFile[]>> = {
  'no file is over 1 MiB': [{ path: 'test/fixtures/big.bin', bytes: (1 << 20) + 1, text: null }],
  'nothing that a build makes is kept': [
    file('fleet/node_modules/x/index.js', '\n'),
    file('build/x.txt', '\n'),
    file('native/x.o', ''),
    file('test/device.key', ''),
  ],
  'the top level holds only what is agreed': [file('notes.md', 'x\n'), file('tools/x.ts', '// x\n')],
  'licence and pages are there': [file('agent/main.ts', '// x\n')],
  'text ends with one newline, without trailing space or carriage return': [
    file('agent/a.ts', '// x'),
    file('agent/b.ts', '// x\n\n'),
    file('agent/c.ts', '// x \n// y\n'),
    file('agent/d.ts', '// x\r\n'),
  ],
  'no tabs in sources': [file('agent/a.ts', '// x\n\tfoo();\n')],
  'BPF sources and headers say their two licences first': [file('bpf/x.bpf.c', '/* hello */\n')],
  'every source opens with what it is for': [
    file('agent/a.ts', "import t from 'tap';\n"),
    file('bpf/x.h', '/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */\ntypedef int x;\n'),
    file('x.sh', '#!/bin/sh\nset -e\n'),
  ],
  'every test opens with its goal and its method, in two lines or more': [
    file('test/agent/a.test.ts', "// One line.\nimport t from 'tap';\n"),
  ],
  'a test lies where what it tests lies': [file('test/agent/nowhere/a.test.ts', '//\n//\n')],
  'names are kebab-case, and snake_case in C': [
    file('agent/someFile.ts', '// x\n'),
    file('bpf/some-file.bpf.c', '/* x */\n'),
  ],
  'the lock file names no address to fetch from': [
    file('package-lock.json', '{\n"resolved": "https://example.org/x.tgz"\n}\n'),
  ],
  'what was thrown is asked for its message by messageOf': [
    file('agent/a.ts', '// x\nsay((error as Error).message);\n'),
    file('fleet/a.ts', '// x\nsay(error instanceof Error ? error.message : String(error));\n'),
  ],
  'what is exported is used elsewhere': [
    file('agent/a.ts', '// x\nexport function unused() {}\nunused();\n'),
  ],
  'no package registry is named': [
    file('agent/a.ts', `// see https://${'registry'}.example.org/x\n`),
    file('.npmrc', `${'registry'}=https://example.org/\n`),
  ],
  'nothing names the machine it was made on': [
    file('agent/a.ts', `// ${'/home'}/somebody/husk\n`),
    ...(homedir().length > 6 ? [file('agent/b.ts', `// see ${homedir()}/x\n`)] : []),
  ],
  'every fixture says where it is from': [file('test/fixtures/x.pcap', '')],
};

for (const [name, check] of Object.entries(checks)) {
  t.test(name, async (t) => {
    t.strictSame(check(files), []);
    const examples = bad[name] ?? [];
    t.ok(examples.length > 0, 'there is a bad example');
    for (const example of examples) t.ok(check([example]).length > 0, `finds ${example.path}`);
  });
}

t.test('generated files are fresh', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'husk-tidy-'));
  t.teardown(() => rmSync(dir, { recursive: true }));

  const clang = ['clang-19', 'clang'].find(runs);
  const skip = clang === undefined || !runs('bpftool') ? 'needs clang and bpftool' : false;
  t.test('bpf/abi/layout.gen.ts', { skip }, async (t) => {
    const object = join(dir, 'layout.bpf.o');
    const out = join(dir, 'layout.gen.ts');
    execFileSync(clang ?? '', ['-target', 'bpf', '-g', '-O2', '-c', 'bpf/abi/layout.bpf.c', '-o', object], {
      cwd: root,
    });
    execFileSync(process.execPath, ['bpf/abi/gen-layout.ts', object, out], { cwd: root });
    same(t, out, 'bpf/abi/layout.gen.ts');
  });

  t.test('agent/policy/policy.schema.gen.json', async (t) => {
    const out = join(dir, 'policy.schema.gen.json');
    execFileSync(process.execPath, ['agent/policy/gen-schema.ts', out], { cwd: root });
    same(t, out, 'agent/policy/policy.schema.gen.json');
  });

  const generated = files.filter((one) => /\.gen\./.test(one.path));
  for (const one of generated) {
    t.match(
      (one.text ?? '').split('\n').slice(0, 4).join('\n'),
      /[Gg]enerated/,
      `${one.path} says so at its head`,
    );
  }
  t.ok(existsSync(join(root, 'bpf/abi/layout.gen.ts')));
});

t.test('policies that pages show have no faults', async (t) => {
  for (const [path, documentsMin] of [
    ['README.md', 3],
    ['agent/policy/PACKETS.md', 1],
  ] as const) {
    const page = files.find((one) => one.path === path)?.text ?? '';
    const shown = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => match[1] ?? '');
    t.ok(shown.length > 0, `${path}: there is one`);
    for (const text of shown) {
      const { documents, faults } = readDocuments(text, path);
      t.ok(documents.length >= documentsMin, path);
      t.strictSame([...faults, ...checkDocuments(documents)], []);
      t.strictSame(checkProofs(documents).faults, [], 'what must hold does');
    }
    t.not(readDocuments(shown.join('').replace('default: allow', 'default: perhaps'), 'x').faults.length, 0);
  }
});

function runs(program: string): boolean {
  return spawnSync(program, ['--version']).status === 0;
}

function same(t: Test, made: string, kept: string): void {
  const equal = readFileSync(made, 'utf8') === readFileSync(join(root, kept), 'utf8');
  t.ok(equal, `${kept} is what its generator makes now; if not, run ./build.sh build and commit it`);
}

/** Every file that the examples import, and one more that imports `from`. */
function withImport(path: string, from: string): ProjectFile[] {
  const there = [
    ...[
      'agent/contract/topics.ts',
      'agent/kernel/y.ts',
      'agent/main.ts',
      'agent/os/y.ts',
      'agent/policy/y.ts',
    ],
    ...['agent/trust/y.ts', 'bpf/abi/layout.gen.ts', 'fleet/store/y.ts', 'fleet/y.ts', 'native/index.ts'],
    'test/lab/y.ts',
  ];
  return [...there.map((one) => file(one, '// x\n')), file(path, `import { x } from '${from}';\n`)];
}

function file(path: string, text: string): ProjectFile {
  return { path, bytes: text.length, text };
}

function packageNames(): string[] {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return Object.keys({ ...dependencies, ...devDependencies });
}
