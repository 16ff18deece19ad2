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
  decodeHuskCallList,
  decodeHuskExtra,
  decodeHuskGeneration,
  decodeHuskRuleName,
  decodeHuskTried,
  encodeHuskCallList,
  encodeHuskExtra,
  encodeHuskGeneration,
  encodeHuskPrefix4,
  encodeHuskRule,
  encodeHuskRuleName,
  encodeHuskTried,
  HUSK_CALL_RULES_MAX,
  HUSK_RULE_NONE,
  HUSK_SERVICES_MAX,
  HUSK_SET_USES_MAX,
  HUSK_ZONES_MAX,
  HuskCallList,
  type HuskCallRule,
  HuskExtra,
  HuskGeneration,
  HuskRule,
  HuskRuleName,
  HuskTable,
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
  rule: HUSK_RULE_NONE,
  extra: 0x8000_0001,
  verdict: 2,
  mode: 1,
  rejectWith: 3,
  flags: 1,
  logSample: 7,
};
const extra: HuskExtra = {
  smac: [0x0200_0000_0001n, 0xffff_ffff_ffffn, 0n, 1n],
  dmac: [0n, 0n, 0n, 0n],
  limit: { costNs: 1n, depthNs: 2n ** 63n, digest: 3n, per: 1, over: 2, prefix4: 24, prefix6: 64 },
  origins: 0xffff_ffff,
  interfaceCare: 1,
  interfaceValue: 1,
  outerVlanFirst: 0x1001,
  outerVlanLast: 0x1fff,
  innerVlanFirst: 0,
  innerVlanLast: 0,
  etherTypeFirst: 0x0800,
  etherTypeLast: 0x86dd,
  lengthFirst: 40,
  lengthLast: 1500,
  dscpFirst: 46,
  dscpLast: 46,
  tcpFlagsMask: 0x12,
  tcpFlagsValue: 2,
  flags: 127,
};

t.test('codecs write fields where C reads them, and read back what they wrote', (t) => {
  const bytes = new Uint8Array(HuskRule.size + 8).fill(0xee);
  encodeHuskRule(new DataView(bytes.buffer), 8, rule);
  t.strictSame([...bytes.subarray(0, 8)], Array(8).fill(0xee), 'nothing before');
  t.strictSame([...bytes.subarray(12, 16)], [1, 0, 0, 0x80], 'little endian');

  const asked = new Uint8Array(HuskExtra.size).fill(0xee);
  encodeHuskExtra(new DataView(asked.buffer), 0, extra);
  t.strictSame([...asked.subarray(0, 8)], [1, 0, 0, 0, 0, 2, 0, 0]);
  const { lengthLast } = HuskExtra.offset;
  t.strictSame([...asked.subarray(lengthLast, lengthLast + 2)], [0xdc, 0x05]);
  t.strictSame([...asked.subarray(-7)], Array(7).fill(0), 'pads are zero');
  t.strictSame(decodeHuskExtra(new DataView(asked.buffer), 0), extra);

  const call = {
    ...decodeHuskCallList(new DataView(new ArrayBuffer(HuskCallList.size)), 0).rules[0],
    portLast: 9,
  };
  const list = new DataView(new ArrayBuffer(HuskCallList.size));
  encodeHuskCallList(list, 0, { count: 1, rules: [call as HuskCallRule] });
  const back = decodeHuskCallList(list, 0);
  t.equal(back.rules.length, HUSK_CALL_RULES_MAX);
  t.strictSame(back.rules[0], call);
  t.equal(back.rules[1]?.portLast, 0, 'what was not given is zero');

  const tried: HuskTried = {
    ...{ verdict: 1, reason: 2, rule: HUSK_RULE_NONE, monitored: 4, runs: 5, state: 3 },
    ...{ noted: 6, lastNoted: 7 },
  };
  const view = new DataView(new ArrayBuffer(HuskTried.size));
  encodeHuskTried(view, 0, tried);
  t.strictSame(decodeHuskTried(view, 0), tried);

  const digests = Array.from({ length: HuskTable.COUNT }, (_, at) => new Uint8Array(32).fill(at));
  const uses = Array.from({ length: HUSK_SET_USES_MAX }, (_, set) => ({ set, side: 1, hasAdditions: 0 }));
  const limitOf = (costNs: bigint) => {
    return { costNs, depthNs: 2n * costNs, digest: 7n, per: 2, over: 1, prefix4: 32, prefix6: 64 };
  };
  const generation = {
    serial: 2n ** 60n,
    digest: new Uint8Array(32).fill(9),
    tableDigest: digests,
    bundleDigest: new Uint8Array(32),
    connections: { timeouts: [1, 2, 3, 4, 5, 6, 7, 8], isFollowed: 1, isLoose: 0 },
    services: Array.from({ length: HUSK_SERVICES_MAX }, (_, at) => ({
      addr: new Uint8Array(16).fill(at),
      port: 53,
      ipProto: 17,
    })),
    ingressSets: uses,
    egressSets: uses,
    synLimits: Array.from({ length: HUSK_ZONES_MAX }, (_, at) => ({
      above: limitOf(BigInt(at)),
      perSource: limitOf(2n ** 40n),
    })),
    id: 3,
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
  const view = new DataView(new ArrayBuffer(HuskCallList.size));
  t.throws(() => encodeHuskRule(view, view.byteLength - 8, rule), RangeError);
  t.throws(() => decodeHuskTried(view, view.byteLength - HuskTried.size + 1), RangeError);
  t.throws(() => encodeHuskPrefix4(view, 0, { prefixlen: 0, addr: new Uint8Array(16) }), RangeError);
  t.throws(() => encodeHuskExtra(view, 0, { ...extra, smac: [1n, 2n, 3n, 4n, 5n] }), RangeError);
  const [call] = decodeHuskCallList(view, 0).rules;
  const rules = Array<HuskCallRule>(HUSK_CALL_RULES_MAX + 1).fill(call as HuskCallRule);
  t.throws(() => encodeHuskCallList(view, 0, { count: rules.length, rules }), RangeError);
  t.end();
});

/** Of `u8[10][32]` or `husk_rule[128]`, from the layout itself. */
function sizeOf(type: string): number {
  const [base = '', ...dimensions] = type.split('[').map((part) => part.replace(']', ''));
  const scalar = { char: 1, u8: 1, u16: 2, u32: 4, u64: 8 }[base];
  const one = scalar ?? layout.structs.find((struct) => struct.name === base)?.size ?? Number.NaN;
  return dimensions.reduce((size, count) => size * Number(count), one);
}
