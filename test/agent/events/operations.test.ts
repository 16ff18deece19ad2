// Goal: a record of what a task did comes out in words: who, from where, what, by which rule and how grave; whatever its
// bytes are. What the kernel counts is told when its period is over, once, and none of it is lost on the way.
// Method: records and map entries as the kernel writes them, numbers by the agent's own hash under a key of the test's.

import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { parse as parseYaml } from 'yaml';
import type { OperationEvent } from '../../../agent/contract/event.ts';
import { ocsfKindOf } from '../../../agent/contract/ocsf.ts';
import { OperationAggregator } from '../../../agent/events/aggregate-operations.ts';
import { containerOf } from '../../../agent/events/containers.ts';
import { walkCalls } from '../../../agent/events/decode.ts';
import {
  describeAlike,
  describeOperation,
  type OperationNames,
} from '../../../agent/events/describe-operation.ts';
import { Processes } from '../../../agent/events/processes.ts';
import { ProgramNames } from '../../../agent/events/program-names.ts';
import { payloadBytesMax } from '../../../agent/events/record.ts';
import { alikeKey, periodNow, type Repeated, takeRepeats } from '../../../agent/events/repeats.ts';
import { bootMsFromProc } from '../../../agent/os/clock.ts';
import { placeOf, readMounts, shownPath } from '../../../agent/os/mounts.ts';
import { eventDetails, eventWords } from '../../../agent/policy/event-words.ts';
import { taskWords, traitWords } from '../../../agent/policy/operation-words.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { appletNumber, placeNumber } from '../../../agent/policy/path-number.ts';
import { remediationOf } from '../../../agent/policy/remediation.ts';
import {
  decodeHuskAlike,
  decodeHuskOperationEvent,
  encodeHuskRepeats,
  HuskAlike,
  HuskOperation,
  HuskOperationEvent,
  HuskRepeats,
  HuskTrait,
} from '../../../bpf/abi/layout.gen.ts';
import { parseDeviceMessage } from '../../../fleet/inbox/message.ts';
import {
  alikeBytes,
  batchOf,
  inEnvelope,
  mapped,
  type OperationFields,
  operationRecord,
  temporaryFolder,
} from './lab.ts';

const key = { mix: [3n, 5n, 7n, 11n] };
const numbers = {
  placeNumber: (place: { device: number; path: string }) => placeNumber(place, key),
  nameNumber: (name: string) => appletNumber(name, key),
};
const device = (8 << 20) | 1;
const program = (path: string, name = '') => ({
  path: placeNumber({ device, path }, key),
  applet: name === '' ? 0n : appletNumber(name, key),
});
const busybox = program('/bin/busybox', 'sh');
const uhttpd = program('/usr/sbin/uhttpd', 'uhttpd');

function namesWith(programs: ProgramNames | null): OperationNames {
  return {
    words: { operations: taskWords, traits: traitWords },
    programs,
    tier: 'A',
    ruleName: (index) => (index === 9 ? 'cve-2023-1389/no-tmp' : index === 8 ? 'web/default-write' : null),
    shieldOf: (document) =>
      document === 'cve-2023-1389' ? { name: document, cve: ['CVE-2023-1389'], severity: 'critical' } : null,
    remediation: remediationOf,
    interfaceName: () => null,
  };
}

function learnt(): ProgramNames {
  const programs = new ProgramNames({ numbers, bootMs: bootMsFromProc });
  programs.learnPlace({ device, path: '/bin/busybox' });
  programs.learnPlace({ device, path: '/usr/sbin/uhttpd' });
  for (const name of ['sh', 'wget']) programs.learnName(name);
  return programs;
}

const processes = () => new Processes({ bootMs: bootMsFromProc });

function described(fields: OperationFields = {}, programs: ProgramNames | null = learnt()) {
  const raw = decodeHuskOperationEvent(new DataView(operationRecord(fields).buffer), 0);
  return describeOperation(raw, namesWith(programs), processes());
}

t.test('a denied exec, with whom it comes from', async (t) => {
  const event = described({ lineage: [busybox, program('/sbin/init'), uhttpd] });
  t.strictSame(event, {
    kind: 'operation',
    class_uid: 1007,
    activity_id: 1,
    severity_id: 5,
    disposition_id: 2,
    rule: 'cve-2023-1389/no-tmp',
    policy: { name: 'cve-2023-1389' },
    shield: { name: 'cve-2023-1389', cve: ['CVE-2023-1389'], severity: 'critical' },
    verdict: 'deny',
    mode: 'enforce',
    serial: 7,
    tier: 'A',
    process: {
      pid: 4_000_000,
      tid: 4_000_001,
      name: 'sh',
      startMono: 3000,
      file: { path: '/bin/busybox', name: 'sh' },
      user: { uid: 33 },
      group: { uid: 34 },
      cgroup: 'cgroup 4711',
      parent_process: { pid: 3_999_999, name: 'uhttpd' },
      // The nearest first; a number that nobody knows is told as one.
      ancestry: [
        { path: '/usr/sbin/uhttpd' },
        {
          path: null,
          number: placeNumber({ device, path: '/sbin/init' }, key).toString(16).padStart(16, '0'),
        },
      ],
      ancestryIsWhole: true,
    },
    count: 1,
    operation: 'exec',
    file: { path: '/tmp/evil', device: '8:1' },
    remediation: {
      desc: 'to allow this, add an Exception { of: { shield: cve-2023-1389, rule: no-tmp }, exec: { paths: ["/tmp/evil"] } }',
    },
  });
  t.equal(eventWords(event), 'denied exec /tmp/evil by sh (cve-2023-1389/no-tmp, CVE-2023-1389 critical)');
  t.match(eventDetails(event), [
    /^process 4000000, uid 33: \/bin\/busybox as sh ← \/usr\/sbin\/uhttpd ← unknown [0-9a-f]{16}, in cgroup 4711, tier A$/,
    /^to allow this/,
  ]);
});

t.test('verdicts, in a word and in OCSF', async (t) => {
  const of = (fields: OperationFields) => {
    const event = described(fields);
    const { severity_id, disposition_id } = event;
    return [eventWords(event).split(' ')[0], severity_id, disposition_id];
  };
  const plain = { rule: 7 };
  t.strictSame(of({ alike: plain }), ['denied', 3, 2]);
  t.strictSame(of({ alike: { ...plain, flags: 1 } }), ['killed', 4, 2]);
  t.strictSame(of({ alike: { ...plain, mode: 1 } }), ['would-deny', 2, 15]);
  t.strictSame(of({ alike: { ...plain, verdict: 1, rule: 0xffffffff } }), ['observed', 1, 1]);
  t.equal(described({ alike: { verdict: 1 } }).remediation, undefined, 'what is allowed needs no remedy');
  for (const word of Object.keys(taskWords)) t.ok(ocsfKindOf(word).class_uid > 1000, word);
});

t.test('objects', async (t) => {
  const words = (fields: OperationFields) => eventWords(described(fields)).replace(/ by .*/, '');
  const wget = appletNumber('wget', key);
  const run = described({ names: ['busybox', 'bin'], alike: { value: wget } });
  t.match(run, { file: { path: '/bin/busybox', name: 'wget' } });
  t.equal(run.remediation?.desc.endsWith('exec: { applets: ["wget"] } }'), true);
  t.equal(
    words({ alike: { traits: 1 << HuskTrait.MEMFD }, names: ['memfd:x'] }),
    'denied exec /memfd:x (memfd)',
  );
  t.equal(words({ names: ['deep', 'e', 'd'], flags: 1 }), 'denied exec …/d/e/deep');
  t.equal(words({ names: [], alike: { operation: HuskOperation.MODULE } }), 'denied module');
  const capability = described({ names: [], alike: { operation: HuskOperation.CAPABILITY, value: 14n } });
  t.equal(eventWords(capability).startsWith('denied capability net_raw'), true);
  t.match(capability.remediation?.desc, /privilege: \{ capabilities: \[net_raw\] \}/);
  const written = described({ alike: { operation: HuskOperation.WRITE, rule: 8 } });
  t.match(written.remediation?.desc, /^to allow this, add to web: \{ file: \{ write: \{ paths: /);
});

t.test('a call that a guard judged is a call, with its process', async (t) => {
  const address = new DataView(mapped(203, 0, 113, 9).buffer);
  const target = [
    address.getBigUint64(0, true),
    address.getBigUint64(8, true),
    4444n | (1n << 16n) | (6n << 32n),
  ];
  const alike = { operation: HuskOperation.CONNECT, target, socketFamily: 2, flags: 2 };
  const event = described({ names: [], alike, head: { hook: 3 }, lineage: [busybox, uhttpd] });
  t.match(event, {
    kind: 'call',
    class_uid: 4001,
    call: 'connect',
    address: '203.0.113.9',
    port: 4444,
    protocol: 6,
    family: 'inet',
    type: 'stream',
    dst_endpoint: { ip: '203.0.113.9', port: 4444 },
    pid: 4_000_000,
    executable: '/bin/busybox',
    process: { ancestry: [{ path: '/usr/sbin/uhttpd' }] },
  });
  t.match(
    event.remediation?.desc,
    /connect: \{ to: \["203\.0\.113\.9"\], protocol: tcp, ports: \{ to: 4444 \} \}/,
  );
});

t.test('what would allow a denial is an exception that is one', async (t) => {
  const policy = {
    apiVersion: 'husk/v1',
    kind: 'HardeningPolicy',
    metadata: { name: 'web' },
    spec: {
      mode: 'enforce',
      subject: { executable: '/usr/sbin/uhttpd' },
      rules: [
        { id: 'run', exec: {}, action: 'deny' },
        { id: 'put', file: { write: {} }, action: 'deny' },
        { id: 'cap', privilege: { capabilities: ['all'] }, action: 'deny' },
        { id: 'seal', kernel: { module: true }, action: 'deny' },
        { id: 'map', memory: { writeExecute: true }, action: 'deny' },
      ],
    },
  };
  const denied: Readonly<Record<string, OperationFields>> = {
    run: {},
    put: { alike: { operation: HuskOperation.WRITE } },
    cap: { names: [], alike: { operation: HuskOperation.CAPABILITY, value: 14n } },
    seal: { names: [], alike: { operation: HuskOperation.MODULE } },
    map: { names: [], alike: { operation: HuskOperation.WRITE_EXECUTE } },
  };
  for (const [rule, fields] of Object.entries(denied)) {
    const { remediation: _, ...event } = described(fields);
    const { shield: __, ...plain } = event as OperationEvent;
    const said = remediationOf({ ...plain, rule: `web/${rule}` }) ?? '';
    const words = parseYaml(said.slice(said.indexOf('{')));
    const exception = {
      apiVersion: 'husk/v1',
      kind: 'Exception',
      metadata: { name: 'x' },
      spec: { owner: 'o', reason: 'r', expires: '2999-01-01', ...words },
    };
    t.strictSame(parseDocuments([policy, exception]).faults, [], said);
  }
});

t.test('paths are learnt where they are met', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'program');
  writeFileSync(file, '');
  symlinkSync(file, join(folder, 'link'));
  const programs = new ProgramNames({ numbers, bootMs: bootMsFromProc });
  programs.learnPath(join(folder, 'link'));
  const place = placeOf(file, readMounts());
  t.ok(place !== null && programs.pathOf(numbers.placeNumber(place)) === file, 'links are followed');
  t.equal(programs.nameOf(numbers.nameNumber('link')), 'link');
  await programs.learnMachine(AbortSignal.timeout(20_000));
  const own = placeOf(process.execPath, readMounts());
  t.equal(own === null ? null : programs.pathOf(numbers.placeNumber(own)), process.execPath, 'what runs');
});

t.test('a place is shown as the mounts lead to it', async (t) => {
  const mounts = [
    { device: 1, root: '/', at: '/' },
    { device: 2, root: '/', at: '/tmp' },
    { device: 1, root: '/srv', at: '/mnt/srv' },
    { device: 3, root: '/sub', at: '/var' },
  ];
  t.equal(shownPath({ device: 2, path: '/evil' }, mounts), '/tmp/evil');
  t.equal(shownPath({ device: 1, path: '/srv/a' }, mounts), '/srv/a', 'the shortest way');
  t.equal(shownPath({ device: 3, path: '/sub/log' }, mounts), '/var/log');
  t.equal(shownPath({ device: 3, path: '/subway' }, mounts), null);
  t.equal(shownPath({ device: 9, path: '/x' }, mounts), null);
});

t.test('containers', async (t) => {
  const id = 'a'.repeat(64);
  t.strictSame(containerOf(`/docker/${id}`), { uid: id, runtime: 'docker' });
  t.strictSame(containerOf(`/system.slice/docker-${id}.scope`), { uid: id, runtime: 'docker' });
  t.strictSame(containerOf(`/machine.slice/libpod-${id}.scope/container`), { uid: id, runtime: 'podman' });
  t.strictSame(containerOf('/lxc.payload.web/init'), { uid: 'web', runtime: 'lxc' });
  t.equal(containerOf('/husk/stubd'), null);
});

t.test('any record is told, fits, and is taken by the controller', async (t) => {
  const programs = learnt();
  let told = 0;
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: HuskOperationEvent.size, maxLength: HuskOperationEvent.size }),
      fc.constantFrom(...Object.values(taskWords)),
      (bytes, operation) => {
        const good = operationRecord({
          alike: { operation },
          programs: bytes[0] === undefined ? 0 : bytes[0] % 17,
        });
        const record = Uint8Array.from(bytes);
        const { head, alike, programs: count, namesLength } = HuskOperationEvent.offset;
        // What the decoder holds to; all else is as it comes.
        record.set(good.subarray(head, head + 32), head);
        for (const name of ['operation', 'verdict', 'mode'] as const) {
          const at = alike + HuskAlike.offset[name];
          record.set(good.subarray(at, at + (name === 'operation' ? 2 : 1)), at);
        }
        record.set(good.subarray(count, count + 4), count);
        record.set([64, 1, 0, 0], namesLength);
        walkCalls(
          batchOf(record),
          () => {},
          (raw) => {
            const event = describeOperation(raw, namesWith(programs), processes());
            if (Buffer.byteLength(JSON.stringify(event)) > payloadBytesMax - 512) throw new Error('too long');
            const events = [{ seq: 1, mono: 1, ts: null, tq: 'none' as const, event }];
            parseDeviceMessage('ev', Buffer.from(JSON.stringify(inEnvelope({ stream: 'alert', events }))));
            eventWords(event);
            eventDetails(event);
            told += 1;
          },
        );
      },
    ),
    { numRuns: 60 },
  );
  t.equal(told, 60);
  const long = Array.from({ length: 16 }, (_, at) => {
    const path = `/${'\u0001'.repeat(200)}${at}/${'€'.repeat(200)}`;
    programs.learnPlace({ device, path });
    return program(path);
  });
  const event = described({ lineage: long, names: ['\u0001'.repeat(60), '\u0001'.repeat(60)] }, programs);
  t.ok(Buffer.byteLength(JSON.stringify(event)) < payloadBytesMax - 512, 'who comes from long paths, too');
  t.equal((event as OperationEvent).process?.ancestry.length, 15);
});

t.test('the first is told, the rest is counted by period', async (t) => {
  const operations = new OperationAggregator({ entriesMax: 3 });
  const event = described() as OperationEvent;
  const first = (key: string, period: number, bootNs: bigint) =>
    operations.add({ key, period, bootNs }, () => event);
  t.equal(first('a', 1, 5_000_000n), event);
  t.equal(first('a', 1, 6_000_000n), 'repeat', 'what the kernel had no room to count');
  first('b', 1, 5_000_000n);
  first('c', 2, 9_000_000n);
  t.equal(first('d', 2, 9_000_000n), 'overflow');
  const alike = decodeHuskAlike(new DataView(alikeBytes({ period: 1 }).buffer), 0);
  operations.count({ alike, key: 'a', count: 40, firstNs: 5_000_000n, lastNs: 25_000_000n });
  operations.count({ alike, key: 'lost', count: 2, firstNs: 1n, lastNs: 2n });
  const given: unknown[] = [];
  operations.drain(2, (one) => given.push(one));
  t.strictSame(given, [
    { key: 'a', event, count: 41, duration: 20, lastNs: 25_000_000n },
    { key: 'lost', event: null, count: 2, duration: 0, lastNs: 2n },
  ]);
  t.equal(operations.size, 1, 'what is not over stays');
  t.match(describeAlike(alike, namesWith(null)), { process: null, file: null, operation: 'exec', serial: 0 });
});

t.test('what is over is taken out of the map, what is not stays there', async (t) => {
  const entry = (period: number, count: number) => ({ key: alikeBytes({ period }), count });
  const entries = [
    entry(4, 7),
    entry(5, 1),
    entry(4, 7),
    { key: alikeBytes({ period: 3, operation: 99 }), count: 1 },
  ];
  entries.push({ key: alikeBytes({ period: 2, rule: 1 }), count: 0 });
  const removed: string[] = [];
  const map = {
    readAll: async () => ({
      keys: new Uint8Array(Buffer.concat(entries.map(({ key }) => key))),
      values: new Uint8Array(
        Buffer.concat(
          entries.map(({ count }) => {
            const bytes = new Uint8Array(HuskRepeats.size);
            const value = { firstNs: 1n, lastNs: 2n, count: BigInt(count) };
            encodeHuskRepeats(new DataView(bytes.buffer), 0, value);
            return bytes;
          }),
        ),
      ),
      count: entries.length,
    }),
    remove: (key: Uint8Array) => void removed.push(alikeKey(key)),
  };
  const taken: Repeated[] = [];
  const { undecodable, left } = await takeRepeats(map, 5, (one) => taken.push(one));
  t.strictSame(
    taken.map(({ alike, count }) => [alike.period, count]),
    [[4, 7]],
    'each once, though it was shown twice',
  );
  t.strictSame([undecodable, left, removed.length], [1, 1, 3]);
  t.equal(periodNow(5n << 33n), 4, 'a moment of grace');
  t.equal(periodNow((5n << 33n) + 1_000_000_000n), 5);
});
