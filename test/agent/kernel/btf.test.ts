// Goal: an object built from other headers is refused, and no section of bytes does more harm than BtfError.
// Method: small objects compiled here, from the headers as they are and changed; sections cut, damaged and
// forged. The layout they are compared with was generated through bpftool, so it checks this reader.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t from 'tap';
import { BtfError, compareLayout, readBtf } from '../../../agent/kernel/btf.ts';
import { checkObjectLayout } from '../../../agent/kernel/object-layout.ts';
import { layout } from '../../../bpf/abi/layout.gen.ts';

const root = resolve(import.meta.dirname, '../../..');

function toolsMissing(): string | false {
  for (const tool of ['clang-19', 'llvm-objcopy-19']) {
    if (spawnSync(tool, ['--version']).error !== undefined) return `needs ${tool}`;
  }
  return false;
}
const skip = toolsMissing();

/** The .BTF of an object that carries the whole ABI, its headers changed first. */
function buildBtf(change: (folder: string) => void = () => {}): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'husk-btf-'));
  try {
    cpSync(join(root, 'bpf/abi'), folder, { recursive: true });
    change(folder);
    const object = join(folder, 'object.o');
    run('clang-19', ['-g', '-O2', '-target', 'bpf', '-c', join(folder, 'layout.bpf.c'), '-o', object]);
    run('llvm-objcopy-19', ['--dump-section', `.BTF=${join(folder, 'btf')}`, object]);
    return readFileSync(join(folder, 'btf'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(program: string, args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
}

function replaceIn(file: string, from: string, to: string) {
  return (folder: string) => {
    const path = join(folder, file);
    const text = readFileSync(path, 'utf8');
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
    writeFileSync(path, text.replace(from, to));
  };
}

t.test('an object of the same headers is accepted', { skip }, (t) => {
  const btf = buildBtf();
  t.strictSame(readBtf(btf), layout, 'read as bpftool reads it');
  t.strictSame(compareLayout(readBtf(btf), layout), []);
  t.doesNotThrow(() => checkObjectLayout('same', btf));
  t.end();
});

t.test(
  'the objects that were built are accepted',
  { skip: skip || !existsSync(join(root, 'build/native/husk.node')) },
  async (t) => {
    const { addon } = await import('../../../native/index.ts');
    for (const name of ['xdp_ingress', 'tc_egress', 'cgroup_connect', 'cgroup_bind', 'cgroup_socket']) {
      const object = addon.openObject(name, readFileSync(join(root, `build/bpf/${name}.bpf.o`)));
      t.doesNotThrow(() => checkObjectLayout(name, object.btf()), name);
      object.close();
    }
  },
);

t.test('an object of changed headers is refused, and told apart', { skip }, (t) => {
  const changes: readonly [name: string, change: (folder: string) => void, told: RegExp][] = [
    [
      'a field wider',
      replaceIn('abi.h', 'husk_u32 slot;\n    husk_u32 ifindex;', 'husk_u64 slot;'),
      /struct husk_try has .*slot at 16 as u64/,
    ],
    [
      'two fields changed about',
      replaceIn(
        'tables.h',
        'husk_u32 interface_care;\n    husk_u32 interface_value;',
        'husk_u32 interface_value;\n    husk_u32 interface_care;',
      ),
      /husk_extra has .*interface_value at 100/,
    ],
    [
      'an array longer',
      replaceIn('limits.h', 'HUSK_CALL_RULES_MAX 128', 'HUSK_CALL_RULES_MAX 256'),
      /husk_call_list has .*18440 bytes/,
    ],
    [
      'a field of another name',
      replaceIn('event.h', 'husk_u8 fragment;', 'husk_u8 fragments;'),
      /husk_packet_event has fragments/,
    ],
    ['a signed field', replaceIn('event.h', 'husk_u32 uid;', 'int uid;'), /uid at 64 as s32/],
    [
      'a number of an enum changed',
      replaceIn('abi.h', 'HUSK_VERDICT_DROP = 2', 'HUSK_VERDICT_DROP = 5'),
      /husk_verdict has HUSK_VERDICT_DROP = 5, expected HUSK_VERDICT_DROP = 2/,
    ],
    [
      'an enumerator more',
      replaceIn('abi.h', 'HUSK_MODE_ENFORCE = 2,', 'HUSK_MODE_ENFORCE = 2,\n HUSK_MODE_LEARN = 3,'),
      /husk_mode has HUSK_MODE_LEARN = 3, expected less/,
    ],
    [
      'a struct left out',
      replaceIn('layout.h', 'LAYOUT_STRUCT(husk_counter);', ''),
      /struct husk_counter is missing/,
    ],
    [
      'a struct more',
      replaceIn(
        'layout.h',
        'LAYOUT_STRUCT(husk_counter);',
        'LAYOUT_STRUCT(husk_counter);\nstruct husk_new { husk_u32 a; };\nLAYOUT_STRUCT(husk_new);',
      ),
      /struct husk_new is unknown/,
    ],
    [
      'a bit field',
      replaceIn('event.h', 'husk_u8 fragment;', 'husk_u8 fragment : 4;\n husk_u8 rest : 4;'),
      /fragment at \d+ as bit field/,
    ],
    ['a pointer', replaceIn('event.h', 'husk_u64 cgroup;', 'void *cgroup;'), /cgroup at 32 as kind 2/],
  ];
  for (const [name, change, told] of changes) {
    const btf = buildBtf(change);
    t.throws(() => checkObjectLayout('changed', btf), { message: told }, name);
  }
  t.end();
});

t.test('bytes that are no BTF are refused', (t) => {
  for (const bytes of [
    [],
    [0x9f],
    Array(24).fill(0),
    Array(1000).fill(0xff),
    [0x7f, 0x45, 0x4c, 0x46, ...Array(60).fill(0)],
  ]) {
    t.throws(() => readBtf(Uint8Array.from(bytes)), { name: 'BtfError' });
  }
  t.throws(() => readBtf(new Uint8Array((1 << 20) + 1)), { message: /at most/ });
  t.end();
});

t.test('a section cut anywhere, or damaged, is read or refused, and never more', { skip }, (t) => {
  const whole = buildBtf();
  const harmless = (bytes: Uint8Array): 'read' | 'refused' => {
    try {
      readBtf(bytes);
      return 'read';
    } catch (error) {
      if (!(error instanceof BtfError)) throw error;
      return 'refused';
    }
  };
  for (let length = 0; length < whole.length; length += 3) {
    if (harmless(whole.subarray(0, length)) !== 'refused')
      t.fail(`${length} of ${whole.length} bytes were read`);
  }
  const seed = Number(process.env.HUSK_SEED ?? Date.now() % 2 ** 31) || 1;
  t.comment(`HUSK_SEED=${seed}`);
  let state = seed;
  const random = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const ends = { read: 0, refused: 0 };
  for (let round = 0; round < 3000; round++) {
    const bytes = Uint8Array.from(whole);
    for (let flips = 1 + random(4); flips > 0; flips--) bytes[random(bytes.length)] = random(256);
    ends[harmless(bytes)]++;
  }
  t.ok(ends.read > 0 && ends.refused > 0, JSON.stringify(ends));
  t.end();
});

t.test('types that lead in a circle, out of the section or through a million fields are refused', (t) => {
  const fails = (types: number[][], message: RegExp) =>
    t.throws(() => readBtf(forge(types)), { name: 'BtfError', message });
  const struct = (count: number) => [1, (4 << 24) | count, 8];
  const field = (type: number) => [1, type, 0];
  fails([struct(1), field(2), [1, 8 << 24, 2]], /more than 16 steps/); // typedef 2 = itself
  fails([struct(1), field(9)], /no type 9/);
  fails([struct(0xffff)], /cut off/);
  fails([[999, 4 << 24, 8]], /no string at 999/);
  fails([[1, 31 << 24, 8]], /unknown kind 31/);
  t.strictSame(readBtf(forge([struct(1), field(0)])).structs[0]?.fields[0]?.type, 'void');
  t.end();
});

/** A section with these words for types, and the string `husk_x` at 1. */
function forge(types: readonly (readonly number[])[]): Uint8Array {
  const words = Uint32Array.from(types.flat());
  const strings = Buffer.from('\0husk_x\0');
  const head = Buffer.alloc(24);
  head.writeUInt16LE(0xeb9f, 0);
  head.writeUInt8(1, 2);
  const rest = Uint32Array.of(24, 0, words.byteLength, words.byteLength, strings.length);
  head.set(new Uint8Array(rest.buffer), 4);
  return Buffer.concat([head, Buffer.from(words.buffer), strings]);
}
