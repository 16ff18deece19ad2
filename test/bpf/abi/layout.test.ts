// Goal: layout.gen.ts is what the headers say, nothing in the headers is forgotten, and the codecs write and
// read what C would.
// Method: layout.bpf.c is compiled anew and generated from; the headers are searched for names; values go
// through the codecs and bytes are looked at.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t from 'tap';
import { readAbi, render } from '../../../bpf/abi/gen-layout.ts';
import {
  decodeHuskGeneration,
  decodeHuskRuleList,
  decodeHuskRuleName,
  decodeHuskTried,
  encodeHuskGeneration,
  encodeHuskPrefix4,
  encodeHuskRule,
  encodeHuskRuleList,
  encodeHuskRuleName,
  encodeHuskTried,
  HUSK_RULE_NONE,
  HUSK_RULES_MAX,
  HuskGeneration,
  HuskRule,
  HuskRuleList,
  HuskRuleName,
  HuskTried,
  layout,
} from '../../../bpf/abi/layout.gen.ts';

const abi = resolve(import.meta.dirname, '../../../bpf/abi');
const headers = readdirSync(abi).filter((name) => name.endsWith('.h'));
const text = headers.map((name) => readFileSync(join(abi, name), 'utf8')).join('\n');
const generated = readFileSync(join(abi, 'layout.gen.ts'), 'utf8');

function toolsMissing(): string | false {
  for (const tool of ['clang-19', 'bpftool']) {
    if (spawnSync(tool, ['--version']).error !== undefined) return `needs ${tool}`;
  }
  return false;
}

t.test('the file checked in is what the headers generate', { skip: toolsMissing() }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-layout-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const object = join(folder, 'layout.bpf.o');
  const args = ['-g', '-O2', '-target', 'bpf', '-c', join(abi, 'layout.bpf.c'), '-o', object];
  const clang = spawnSync('clang-19', args, { encoding: 'utf8' });
  t.equal(clang.status, 0, clang.stderr);
  t.equal(render(readAbi(object)), generated);
  t.match(generated.split('\n')[0], /generated/i, 'and says so in its first line');
  t.end();
});

t.test('every struct, enum and number of the headers is in it', (t) => {
  const names = (pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1] ?? '');
  const structs = names(/^struct (husk_\w+) \{/gm);
  const enums = names(/^enum (husk_\w+) \{/gm);
  const numbers = names(/^#define (HUSK_\w+) /gm);
  t.ok(structs.length > 10 && enums.length > 5 && numbers.length > 25, 'the search finds them');
  t.strictSame(layout.structs.map((one) => one.name).sort(), structs.sort());
  t.strictSame(layout.enums.map((one) => one.name).sort(), enums.sort());
  t.strictSame(
    [...generated.matchAll(/^export const (HUSK_\w+) =/gm)].map((match) => match[1]).sort(),
    numbers.sort(),
  );
  t.end();
});

t.test('no struct has a hole: fields follow one another, pads are named', (t) => {
  for (const struct of layout.structs) {
    let end = 0;
    for (const field of struct.fields) {
      t.equal(field.offset, end, `${struct.name}.${field.name}`);
      end = field.offset + sizeOf(field.type);
    }
    t.equal(end, struct.size, struct.name);
  }
  t.end();
});

const rule: HuskRule = {
  fromSets: 0x8000_0000_0000_0001n,
  toSets: 2n,
  saddr: Uint8Array.from({ length: 16 }, (_, at) => at),
  smask: new Uint8Array(16).fill(255),
  daddr: new Uint8Array(16),
  dmask: new Uint8Array(16),
  zones: 3,
  rule: HUSK_RULE_NONE,
  sportFirst: 1,
  sportLast: 0xfffe,
  dportFirst: 22,
  dportLast: 22,
  families: 7,
  ipProto: 6,
  tcpFlagsMask: 0x12,
  tcpFlagsValue: 2,
  flags: 31,
  verdict: 2,
  mode: 1,
};

t.test('codecs write fields where C reads them, and read back what they wrote', (t) => {
  const bytes = new Uint8Array(HuskRule.size + 8).fill(0xee);
  encodeHuskRule(new DataView(bytes.buffer), 8, rule);
  t.strictSame([...bytes.subarray(0, 8)], Array(8).fill(0xee), 'nothing before');
  t.strictSame([...bytes.subarray(8, 16)], [1, 0, 0, 0, 0, 0, 0, 0x80], 'little endian');
  t.strictSame(
    [...bytes.subarray(8 + HuskRule.offset.sportLast, 8 + HuskRule.offset.sportLast + 2)],
    [0xfe, 0xff],
  );
  t.equal(bytes.at(-1), 0, 'pads are zero');

  const list = new DataView(new ArrayBuffer(HuskRuleList.size));
  encodeHuskRuleList(list, 0, { count: 1, rules: [rule] });
  const back = decodeHuskRuleList(list, 0);
  t.equal(back.rules.length, HUSK_RULES_MAX);
  t.strictSame(back.rules[0], rule);
  t.equal(back.rules[1]?.verdict, 0, 'what was not given is zero');

  const tried: HuskTried = { verdict: 1, reason: 2, rule: HUSK_RULE_NONE, monitored: 4, runs: 5 };
  const view = new DataView(new ArrayBuffer(HuskTried.size));
  encodeHuskTried(view, 0, tried);
  t.strictSame(decodeHuskTried(view, 0), tried);

  const digests = Array.from({ length: 10 }, (_, at) => new Uint8Array(32).fill(at));
  const generation = {
    serial: 2n ** 60n,
    digest: new Uint8Array(32).fill(9),
    tableDigest: digests,
    bundleDigest: new Uint8Array(32),
    unparseableVerdict: 2,
  };
  const room = new DataView(new ArrayBuffer(HuskGeneration.size));
  encodeHuskGeneration(room, 0, generation);
  t.strictSame(decodeHuskGeneration(room, 0), generation);
  t.end();
});

t.test('text ends at the first NUL, and always has one', (t) => {
  const view = new DataView(new ArrayBuffer(HuskRuleName.size));
  encodeHuskRuleName(view, 0, { id: 'branch-wan/é' });
  t.strictSame(decodeHuskRuleName(view, 0), { id: 'branch-wan/é' });
  encodeHuskRuleName(view, 0, { id: 'x' });
  t.strictSame(decodeHuskRuleName(view, 0), { id: 'x' }, 'a shorter text leaves nothing of the longer');
  encodeHuskRuleName(view, 0, { id: 'a'.repeat(HuskRuleName.size - 1) });
  t.throws(() => encodeHuskRuleName(view, 0, { id: 'a'.repeat(HuskRuleName.size) }), RangeError);
  t.throws(() => encodeHuskRuleName(view, 0, { id: 'a\0b' }), RangeError);
  t.end();
});

t.test('what does not fit is refused', (t) => {
  const view = new DataView(new ArrayBuffer(HuskRuleList.size));
  t.throws(() => encodeHuskRule(view, 0, { ...rule, saddr: new Uint8Array(4) }), RangeError);
  t.throws(() => encodeHuskRule(view, view.byteLength - 8, rule), RangeError);
  t.throws(() => decodeHuskTried(view, view.byteLength - HuskTried.size + 1), RangeError);
  t.throws(() => encodeHuskPrefix4(view, 0, { prefixlen: 0, addr: new Uint8Array(16) }), RangeError);
  const rules = Array<HuskRule>(HUSK_RULES_MAX + 1).fill(rule);
  t.throws(() => encodeHuskRuleList(view, 0, { count: rules.length, rules }), RangeError);
  t.end();
});

/** Of `u8[10][32]` or `husk_rule[128]`, from the layout itself. */
function sizeOf(type: string): number {
  const [base = '', ...dimensions] = type.split('[').map((part) => part.replace(']', ''));
  const scalar = { char: 1, u8: 1, u16: 2, u32: 4, u64: 8 }[base];
  const one = scalar ?? layout.structs.find((struct) => struct.name === base)?.size ?? Number.NaN;
  return dimensions.reduce((size, count) => size * Number(count), one);
}
