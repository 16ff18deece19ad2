// Goal: whatever becomes of the process that prepares a policy, the agent hears of it once, and no process is left.
// Method: the real function with node on this checkout's agent, and with scripts that end, fail and hang.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { usualNeverDrop } from '../../agent/policy/device-view.ts';
import { prepareElsewhere } from '../../agent/prepare-elsewhere.ts';
import { type PolicyRequest, preparePolicy } from '../../agent/prepare-policy.ts';
import { plainInterface } from '../lab/plain-kernel.ts';
import { waitFor } from '../lab/wait-for.ts';
import { policyDropping } from './apply-bench.ts';

const heapBytes = 256 * 2 ** 20;
const agent = resolve(import.meta.dirname, '../../agent/main.ts');

function request(documents: readonly unknown[] = policyDropping('192.0.2.1')): PolicyRequest {
  const bundle = JSON.stringify({ v: 1, tenant: 'acme', title: 'x', documents });
  return {
    bundle: Buffer.from(bundle),
    tenant: 'acme',
    device: { interfaces: [plainInterface({ name: 'wan0', index: 1 })], neverDrop: usualNeverDrop },
    tier: null,
    pathKey: null,
    certainMs: null,
    ended: [],
    firmware: { vendor: null, model: null, version: null, untrusted: 'nobody said' },
    time: { bootMs: 1000, wallMs: Date.UTC(2026, 10, 1) },
    counters: { max: 64, given: [['a/b', 7]], inUse: [7] },
    isToBeProven: true,
    sets: [],
  };
}

/** A script in place of the agent; it writes its process id beside itself. */
function script(t: Test, text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'husk-prepare-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [file, pidFile] = [join(folder, 'x.cjs'), join(folder, 'pid')];
  writeFileSync(
    file,
    `require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, '' + process.pid);\n${text}`,
  );
  const isThere = () => existsSync(pidFile) && existsSync(`/proc/${readFileSync(pidFile, 'utf8')}`);
  return { prepare: prepareElsewhere(heapBytes, file), isThere };
}

t.test('it gives what this process would', async (t) => {
  let order = '';
  const prepared = await prepareElsewhere(heapBytes, agent)(request(), {
    meanwhile: () => {
      order += 'meanwhile ';
    },
  });
  order += 'prepared';
  t.equal(order, 'meanwhile prepared');
  t.same(prepared, preparePolicy(request()));
});

t.test('what is in force already comes without tries', async (t) => {
  const { image, tries } = await prepareElsewhere(heapBytes, agent)(
    { ...request(), isToBeProven: false },
    {},
  );
  t.equal(tries, null);
  t.same(image, preparePolicy(request()).image);
});

t.test('a refusal is one', async (t) => {
  const other = { ...request(), tenant: 'other' };
  await t.rejects(prepareElsewhere(heapBytes, agent)(other, {}), { code: 'bundle.not-for-us' });
});

t.test('a heap that is full is a refusal', async (t) => {
  const { prepare, isThere } = script(t, 'const all = []; for (;;) all.push({ at: all.length });');
  const memory = prepareElsewhere(32 * 2 ** 20, agent);
  const addresses = Array.from(
    { length: 600_000 },
    (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`,
  );
  const list = { apiVersion: 'husk/v1', kind: 'AddressSet', metadata: { name: 'x' }, spec: { addresses } };
  await t.rejects(memory(request([list]), {}), { code: 'policy.over-limit', detail: /32\.0 MiB/ });
  await t.rejects(prepare(request(), {}), { code: 'policy.over-limit' });
  t.notOk(isThere());
});

t.test('a fault is told with what it said, and a long complaint keeps nobody waiting', async (t) => {
  const { prepare } = script(t, "process.stderr.write('why\\n'.repeat(1e6)); process.exitCode = 3;");
  await t.rejects(prepare(request(), {}), /ended with 3: why/);
});

t.test('what cannot be started is told', async (t) => {
  await t.rejects(prepareElsewhere(heapBytes, '/nowhere/x.cjs')(request(), {}), /ended with 1: .*\/nowhere/s);
});

t.test('half an answer is none', async (t) => {
  const { prepare } = script(
    t,
    "process.stdin.resume().on('end', () => process.stdout.write(Buffer.of(255, 15, 111)));",
  );
  await t.rejects(prepare(request(), {}));
});

t.test('a signal ends it at once, and its reason is what is heard', async (t) => {
  const { prepare, isThere } = script(t, 'process.stdin.resume(); setInterval(() => {}, 1000);');
  const abort = new AbortController();
  const heard = t.rejects(prepare(request(), { signal: abort.signal }), { message: 'superseded' });
  await waitFor(isThere, { what: 'the process', withinMs: 10_000, everyMs: 10 });
  abort.abort(new Error('superseded'));
  await heard;
  await waitFor(() => !isThere(), { what: 'its end', withinMs: 10_000, everyMs: 10 });
  await t.rejects(prepare(request(), { signal: abort.signal }), { message: 'superseded' });
});

t.test('what fails meanwhile ends it', async (t) => {
  const { prepare, isThere } = script(t, 'process.stdin.resume(); setInterval(() => {}, 1000);');
  const meanwhile = () => {
    throw new Error('the disk is full');
  };
  await t.rejects(prepare(request(), { meanwhile }), { message: 'the disk is full' });
  await waitFor(() => !isThere(), { what: 'its end', withinMs: 10_000, everyMs: 10 });
});
