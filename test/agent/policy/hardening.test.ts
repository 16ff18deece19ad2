// Goal: what is particular to one device and one table: links, mounts, applets, room, memory, tiers, canaries.
// Method: small policies, compiled; the tables are read by the ABI's own decoders, keys made by path-number.ts.

import t from 'tap';
import type { HardeningPolicy, HardeningRule } from '../../../agent/contract/policy.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { evaluateCall } from '../../../agent/policy/evaluate.ts';
import { appletNumber, placeNumber } from '../../../agent/policy/path-number.ts';
import { plainPaths } from '../../../agent/policy/plain-paths.ts';
import { defaultNeed, stateInTier, tierNeed, tierRefusal } from '../../../agent/policy/rule-tier.ts';
import { numberSubjects } from '../../../agent/policy/subjects.ts';
import type { DevicePaths, TableImage } from '../../../agent/policy/table-image.ts';
import { kernelBytesOf } from '../../../agent/policy/tables.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import {
  decodeHuskCallList,
  decodeHuskObject,
  decodeHuskOperations,
  decodeHuskProgram,
  HUSK_CALL_CONNECT,
  HUSK_CALL_TASK_CONNECT,
  HuskObjectKind,
  HuskOperation,
  HuskTable,
} from '../../../bpf/abi/layout.gen.ts';
import { labFacts } from './kernel-lab.ts';

const applets = new Map([['/bin/busybox', ['wget', 'httpd']]]);
const plain = plainPaths(applets);
const policy = (
  rules: readonly HardeningRule[],
  spec: Partial<HardeningPolicy['spec']> = {},
  name = 'h',
): HardeningPolicy => ({
  apiVersion: 'husk/v1',
  kind: 'HardeningPolicy',
  metadata: { name },
  spec: { mode: 'enforce', subject: { executable: '/usr/sbin/d' }, rules, ...spec },
});
const made = (documents: readonly HardeningPolicy[], paths: DevicePaths = plain) =>
  compile(documents, { ...labFacts([]), paths });
const table = ({ tables }: TableImage, kind: number) => {
  const found = tables.find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`no table of kind ${kind}`);
  return found;
};
function objects(image: TableImage) {
  const { keys, count, keySize } = table(image, HuskTable.DECISIONS);
  const view = new DataView(keys.buffer);
  return Array.from({ length: count }, (_, at) => decodeHuskObject(view, at * keySize));
}
const has = (image: TableImage, operation: number, kind: number, value: bigint) =>
  objects(image).some((one) => one.operation === operation && one.kind === kind && one.value === value);

t.test('a folder is also what is mounted below it', async (t) => {
  const paths: DevicePaths = { ...plain, placesMountedBelow: () => [{ device: 9, path: '/vol' }] };
  const image = made([policy([{ id: 'a', file: { create: { under: ['/var'] } }, action: 'deny' }])], paths);
  const under = HuskObjectKind.UNDER;
  t.ok(has(image, HuskOperation.CREATE, under, placeNumber({ device: 9, path: '/vol' }, plain.pathKey)));
  const place = plain.placeOf('/var');
  t.ok(place !== null && has(image, HuskOperation.CREATE, under, placeNumber(place, plain.pathKey)));
  t.equal(objects(image).length, 3, 'and what cannot be resolved');
});

t.test('a link to a program of many is that name of it, for rules and for subjects', async (t) => {
  const paths: DevicePaths = {
    ...plain,
    placeOf: (path) =>
      plain.placeOf(['/usr/bin/wget', '/usr/sbin/httpd'].includes(path) ? '/bin/busybox' : path),
  };
  const rule: HardeningRule = { id: 'a', exec: { paths: ['/usr/bin/wget'] }, action: 'deny' };
  const image = made([policy([rule], { subject: { executable: '/usr/sbin/httpd' } })], paths);
  const busybox = placeNumber({ device: (8 << 20) | 1, path: '/bin/busybox' }, plain.pathKey);
  t.notOk(has(image, HuskOperation.EXEC, HuskObjectKind.PATH, busybox), 'all of busybox is not meant');
  t.notOk(has(image, HuskOperation.LOAD, HuskObjectKind.PATH, busybox));
  t.ok(has(image, HuskOperation.EXEC, HuskObjectKind.APPLET, appletNumber('wget', plain.pathKey)));
  const programs = table(image, HuskTable.PROGRAMS);
  t.strictSame(decodeHuskProgram(new DataView(programs.keys.buffer), 0), {
    path: busybox,
    applet: appletNumber('httpd', plain.pathKey),
  });
  t.equal(table(image, HuskTable.APPLETS).count, 3, 'itself and two names');
});

t.test('a path that nothing shows, and a device that knows no paths', async (t) => {
  const one = policy([{ id: 'a', exec: { paths: ['/x'] }, action: 'deny' }]);
  t.throws(() => made([one], { ...plain, placeOf: (path) => (path === '/x' ? null : plain.placeOf(path)) }), {
    code: 'policy.unsupported',
    message: /h\/a names \/x/,
  });
  t.throws(() => compile([one], labFacts([])), { code: 'policy.unsupported' });
  const calls = policy([{ id: 'c', connect: {}, action: 'deny' }], { subject: { cgroup: 'd' } });
  t.equal(
    compile([calls], labFacts([])).tables.find(({ kind }) => kind === HuskTable.OPERATIONS),
    undefined,
    'calls of cgroups need none',
  );
});

t.test('calls of a subject that is more than a cgroup are not for cgroup hooks', async (t) => {
  const rules: readonly HardeningRule[] = [{ id: 'c', connect: { ports: 25 }, action: 'deny' }];
  const documents = [
    policy(rules, { subject: { cgroup: 'd', user: 33 } }, 'task'),
    policy(rules, { subject: { cgroup: 'd' } }, 'group'),
  ];
  const calls = table(made(documents), HuskTable.CALLS);
  const list = decodeHuskCallList(new DataView(calls.values.buffer), 0);
  t.strictSame(
    list.rules.slice(0, list.count).map((one) => [one.calls, one.subjects]),
    [
      [HUSK_CALL_TASK_CONNECT, 1n],
      [HUSK_CALL_CONNECT, 2n],
    ],
  );
  const call = {
    call: 'connect',
    family: 4,
    type: 1,
    protocol: 6,
    address: Uint8Array.of(192, 0, 2, 1),
    port: 25,
  } as const;
  const task = { lineage: [], lineageKnown: true, user: 33 };
  const ruleOf = (which: readonly HardeningPolicy[], more: object) =>
    evaluateCall(which, { cgroup: 'd', call, ...more }).rule;
  t.equal(ruleOf(documents.slice(0, 1), { task }), 'task/c');
  t.equal(ruleOf(documents.slice(0, 1), {}), null);
  t.equal(ruleOf(documents, { task }), 'group/c');
  t.notOk(
    makeTries(documents, labFacts([])).untried.includes('task/c'),
    'it is tried by a canary of its own',
  );
});

t.test('subjects that say the same share a bit, and exceptions take more', async (t) => {
  const except = (id: string, path: string): HardeningRule => ({
    id,
    exec: { except: { paths: [path] } },
    action: 'deny',
  });
  const bits = (...documents: readonly HardeningPolicy[]) =>
    numberSubjects(documents).map(({ first, layers }) => [first, layers]);
  const a = policy([except('a', '/a'), except('b', '/b')], { subject: { executable: ['/x', '/y'] } });
  const b = policy([except('c', '/c')], { subject: { executable: ['/y', '/x'], descendants: true } }, 'i');
  const c = policy([], { subject: { user: 3 } }, 'j');
  t.strictSame(bits(a, b, c), [
    [0, 3],
    [3, 1],
  ]);
  const all = decodeHuskOperations(
    new DataView(table(made([a, b, c]), HuskTable.OPERATIONS).values.buffer),
    0,
  );
  t.equal(all.subjects[HuskOperation.EXEC], 7n);
  t.equal(all.withPaths[HuskOperation.EXEC], 7n);
  t.strictSame([all.anyProgram, all.anyUser, all.anyCgroup, all.unknown], [8n, 7n, 15n, 0n]);
});

t.test('decisions have room for those there are, and are stated as they are taken', async (t) => {
  const paths = (count: number) => Array.from({ length: count }, (_, at) => `/p${at}`);
  const rules = Array.from({ length: 40 }, (_, at): HardeningRule => {
    const list = paths(250).map((path) => `${path}/${at}`);
    return { id: `r${at}`, file: { chmod: { paths: list } }, action: 'deny' };
  });
  const few = table(made([policy(rules.slice(0, 1))]), HuskTable.DECISIONS);
  const many = table(made([policy(rules)]), HuskTable.DECISIONS);
  t.strictSame([few.count, few.maxEntries], [251, 256]);
  t.strictSame([many.count, many.maxEntries], [10_001, 16_384]);
  t.equal(few.mapFlags, 1, 'entries are made as they come');
  t.ok(kernelBytesOf(few) < 64 * 1024, `${kernelBytesOf(few)}`);
  t.ok(kernelBytesOf(many) > 10_001 * 100 && kernelBytesOf(many) < 2 ** 21, `${kernelBytesOf(many)}`);
  t.throws(
    () => made(Array.from({ length: 7 }, (_, at) => policy(rules, { subject: { user: at } }, `h${at}`))),
    {
      code: 'policy.over-limit',
      message: /65537 decisions about objects, at most 65536; the first without room is h6\/r/,
    },
  );
});

t.test('tiers: what each rule needs, and what is said below', async (t) => {
  const exec: HardeningRule = { id: 'e', exec: { under: ['/tmp'] }, action: 'deny' };
  const call: HardeningRule = { id: 'c', connect: {}, action: 'deny' };
  const write: HardeningRule = { id: 'w', file: { write: {} }, action: 'deny' };
  const ofTask = policy([exec, call, write], { default: { exec: 'deny' }, minimumTier: 'B' });
  const ofCgroup = policy([call], { subject: { cgroup: 'd' } });
  const states = (one: Parameters<typeof stateInTier>[0]) =>
    (['A', 'B', 'C', 'D'] as const).map((tier) => stateInTier(one, tier).state).join(' ');
  t.equal(states(tierNeed(ofTask, exec)), 'enforced enforced degraded unsupported');
  t.equal(states(defaultNeed(ofTask, 'exec')), 'enforced enforced degraded unsupported');
  t.equal(states(tierNeed(ofTask, write)), 'enforced enforced unsupported unsupported');
  t.equal(states(tierNeed(ofTask, call)), 'enforced enforced unsupported unsupported');
  t.equal(states(tierNeed(ofCgroup, call)), 'enforced enforced enforced unsupported');
  t.match(stateInTier(tierNeed(ofTask, call), 'C'), { why: /needs tier B: .* more than a cgroup/ });
  t.equal(tierRefusal(ofTask, 'B'), null);
  t.equal(tierRefusal(ofTask, 'C'), 'h asks for tier B at least, and this device is of tier C');
  t.equal(tierRefusal(ofCgroup, 'D'), null);
});

t.test('one operation for each rule, and rules that others decide for are named', async (t) => {
  const { operations, untried } = makeTries(
    [
      policy(
        [
          { id: 'tmp', exec: { under: ['/tmp'], memfd: true }, action: 'deny', kill: true },
          { id: 'wget', exec: { applets: ['wget'] }, action: 'deny' },
          { id: 'caps', privilege: { capabilities: ['net_raw'] }, action: 'deny' },
          { id: 'own', file: { write: { except: { under: ['/var'] } } }, action: 'deny' },
          { id: 'tool', exec: { paths: ['/bin/x'] }, action: 'allow' },
          { id: 'tool-again', exec: { paths: ['/bin/x'] }, action: 'allow' },
          { id: 'seen', mode: 'monitor', kernel: { bpf: true }, action: 'deny' },
        ],
        { default: { exec: 'deny' } },
      ),
    ],
    { ...labFacts([]), paths: plain },
  );
  t.strictSame(
    operations.map(({ name, object, expect, subjects }) => [
      name,
      object.startedAs ?? object.path ?? object.number,
      expect.verdict,
      expect.rule ?? expect.monitored,
      subjects,
    ]),
    [
      ['exec', '/tmp/husk-canary', 'deny', 'h/tmp', 1n],
      ['exec', 'wget', 'deny', 'h/wget', 1n],
      ['capability', 13, 'deny', 'h/caps', 1n],
      ['write', '/husk-canary', 'deny', 'h/own', 1n],
      ['exec', '/bin/x', 'allow', 'h/tool', 1n],
      ['bpf', '/husk-canary', 'allow', 'h/seen', 1n],
      ['exec', '/husk-canary', 'deny', 'h/default-exec', 1n],
    ],
  );
  t.strictSame(untried, ['h/tool-again']);
});
