// Goal: a bundle that would take more of the kernel's memory than the device gives is refused before anything of it is
// loaded, with the numbers; one below is stated when it is confirmed.
// Method: the real applier and kernel set of apply-bench.ts, with a ceiling between two bundles.

import t from 'tap';
import { checkFit } from '../../agent/policy/check-fit.ts';
import { kernelMemory, usualSizes } from '../../agent/policy/kernel-memory.ts';
import { parseDocuments } from '../../agent/policy/parse.ts';
import { plainSizes } from '../lab/plain-kernel.ts';
import { ApplyBench, benchMissing, policyDropping } from './apply-bench.ts';

const skip = benchMissing();
const options = { skip, timeout: 60_000 };

/** A policy that drops what comes from so many single addresses. */
function policyListing(count: number): unknown[] {
  const [policy, ...others] = policyDropping('192.0.2.1') as { spec: Record<string, unknown> }[];
  const addresses = Array.from({ length: count }, (_, index) => {
    return `10.${(index * 2) >>> 16}.${((index * 2) >>> 8) & 255}.${(index * 2) & 255}`;
  });
  const rules = [{ id: 'bad', from: { set: 'listed' }, action: 'drop' }];
  const ingress = [{ zone: 'wan', default: 'allow', rules }];
  return [{ ...policy, spec: { ...policy?.spec, sets: { listed: addresses }, ingress } }, ...others];
}

const stated = (policy: unknown[]) => {
  const { tableBytes } = checkFit(parseDocuments(policy).documents);
  return kernelMemory(tableBytes ?? Number.NaN, { ...usualSizes, cpus: plainSizes.cpus }).total;
};

t.test('above the ceiling: refused with its numbers, and nothing loaded', options, async (t) => {
  const device = await ApplyBench.open();
  t.teardown(() => device.close());
  const [small, large] = [policyListing(10), policyListing(50_000)];
  t.ok(stated(large) > stated(small) + 100_000, 'they differ');
  device.ceiling = Math.round((stated(small) + stated(large)) / 2);
  await device.live();
  t.equal(await device.apply(device.fleet.publish(1, small)), 'confirmed');
  const before = device.kernel.status();
  device.steps.length = 0;

  t.equal(await device.apply(device.fleet.publish(2, large)), 'refused');
  const { assignment, memory } = device.applier.state();
  t.equal(assignment?.refusal?.code, 'policy.over-limit');
  t.match(
    assignment?.refusal?.detail,
    /^two generations of \d+\.\d MiB, connections .*: \d+\.\d MiB of kernel memory in all; this device gives \d+\.\d MiB$/,
  );
  t.notOk(device.steps.includes('compiled') || device.steps.includes('loaded'), device.steps.join(' '));
  t.same(device.kernel.status(), before, 'the kernel is as it was, standby slot and all');
  t.equal(device.inForce(), 1);
  t.equal(memory?.total, stated(small), 'what is in force is what is stated');
  t.equal(memory?.ceiling, device.ceiling);
});

t.test('below it: stated when it is confirmed, and no less than it takes', options, async (t) => {
  const device = await ApplyBench.open();
  t.teardown(() => device.close());
  await device.live();
  const policy = policyListing(50_000);
  t.equal(await device.apply(device.fleet.publish(1, policy)), 'confirmed');
  const { detail } = device.audits.find(({ what }) => what === 'bundle.confirmed') ?? {};
  t.match(detail?.kernelMemory, /^two generations of .* of kernel memory in all$/);
  const { memory } = device.applier.state();
  const taken = device.kernel.status().kernelBytes;
  t.ok(taken <= 2 * (memory?.tables ?? 0), `${taken} bytes of tables, ${memory?.tables} a generation stated`);
  t.equal(memory?.total, kernelMemory(memory?.tables ?? 0, plainSizes).total);
});
