// The part of kernel.test.ts that needs interfaces: run by it under `unshare --net`, with a bpffs for each test.

import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Kernel } from '../../../agent/kernel/kernel.ts';
import { type ObjectFiles, setDirectory } from '../../../agent/kernel/objects.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { usualNeverDrop } from '../../../agent/policy/device-view.ts';
import { usualSizes } from '../../../agent/policy/kernel-memory.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import type { DeviceFacts } from '../../../agent/policy/table-image.ts';
import { addon } from '../../../native/index.ts';
import { plainAttach } from '../../lab/plain-attach.ts';
import { waitFor } from '../../lab/wait-for.ts';
import { objectFiles } from '../apply-bench.ts';

if (readlinkSync('/proc/self/ns/net') === readlinkSync(`/proc/${process.ppid}/ns/net`)) {
  throw new Error('run this under `unshare --net`: it attaches programs to interfaces');
}
const bpffsOfTests = process.argv.slice(2);

interface Guarded {
  readonly name: string;
  readonly index: number;
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

/** A veth pair inside this namespace; what the peer sends arrives at the guarded end. */
function makePair(name: string): Guarded {
  ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`);
  for (const end of [name, `${name}p`]) ip('link', 'set', end, 'up');
  return { name, index: JSON.parse(ip('-j', 'link', 'show', 'dev', name))[0].ifindex };
}

function open(bpffs: string, files: ObjectFiles = objectFiles()): Promise<Kernel> {
  return Kernel.open({
    addon,
    bpffs,
    files,
    cgroup: null,
    sizes: { ...usualSizes, cpus: addon.possibleCpus() },
    random: (bytes) => new Uint8Array(bytes).fill(7),
    onRecycled: () => {},
  });
}

/** Puts a policy in force that drops all that arrives on the interface. */
async function dropAll(kernel: Kernel, at: Guarded, serial: number): Promise<void> {
  const { documents } = parseDocuments([
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'shut' },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: [at.name] } },
        ingress: [{ zone: 'wan', default: 'drop', rules: [] }],
        egress: [],
      },
    },
  ]);
  const facts: DeviceFacts = {
    neverDrop: usualNeverDrop,
    interfaces: [{ ...at, link: 'ethernet', addresses: [] }],
    bootSeconds: () => null,
    cgroupId: () => null,
    ruleIndex: (id) => kernel.ruleIndex(id),
  };
  const image = compile(documents, facts);
  kernel.settle(await kernel.loadStandby({ serial, bundleDigest: '1'.repeat(64), image }));
}

/** The id of the XDP program on an interface, from the kernel's own mouth; 0: none. */
function xdpOn(at: Guarded): number {
  return JSON.parse(ip('-j', 'link', 'show', 'dev', at.name))[0].xdp?.prog?.id ?? 0;
}

function newBpffs(t: Test): string {
  const bpffs = bpffsOfTests.shift();
  if (bpffs === undefined) throw new Error(`no bpffs is left for ${t.name}`);
  return bpffs;
}

const wanted = (at: Guarded) => plainAttach([at]);

t.test('attached once, kept by the next agent, made anew on an interface that came back', async (t) => {
  const bpffs = newBpffs(t);
  const before = makePair('hk0');
  const first = await open(bpffs);
  await dropAll(first, before, 1);
  t.same(first.attach(wanted(before)), [
    {
      description: 'xdp_ingress hk0 native',
      action: 'made',
      at: { index: before.index, direction: 'ingress' },
    },
    { description: 'tc_egress hk0 tcx', action: 'made', at: { index: before.index, direction: 'egress' } },
  ]);
  const program = xdpOn(before);
  t.not(program, 0);
  first.close();
  t.equal(xdpOn(before), program, 'the agent is gone, the hook is not');

  const second = await open(bpffs);
  t.equal(second.status().how, 'adopted');
  t.equal(second.status().inForce?.serial, 1);
  t.same(
    second.attach(wanted(before)).map((hook) => hook.action),
    ['kept', 'kept'],
  );
  t.equal(xdpOn(before), program);

  ip('link', 'del', 'hk0');
  const after = makePair('hk0');
  t.not(after.index, before.index);
  t.equal(xdpOn(after), 0);
  t.same(
    second.attach(wanted(after)).map((hook) => hook.action),
    ['made', 'made'],
  );
  t.not(xdpOn(after), 0);

  second.unload([after]);
  // The kernel frees a link a grace period after its pin is gone.
  await waitFor(() => xdpOn(after) === 0, { what: 'the hook to go', withinMs: 1000, everyMs: 20 });
  t.equal(xdpOn(after), 0, 'unloaded: nothing is left');
  t.equal(Kernel.isPinned(bpffs), false);
  ip('link', 'del', 'hk0');
});

t.test('newer programs take over the links without a gap, on the maps of the old', async (t) => {
  const bpffs = newBpffs(t);
  const at = makePair('hk1');
  const old = await open(bpffs);
  await dropAll(old, at, 7);
  old.attach(wanted(at));
  const program = xdpOn(at);
  const counters = await old.counters();
  old.close();

  // Bytes behind the last section change the file's digest and nothing else.
  const files = objectFiles();
  const newer = { ...files, xdp_ingress: Buffer.concat([files.xdp_ingress, new Uint8Array(8)]) };
  const renewed = await open(bpffs, newer);
  t.equal(renewed.status().how, 'renewed');
  t.equal(renewed.status().inForce?.serial, 7, 'the generation stays in force');
  t.equal(xdpOn(at), program, 'the old program goes on until the link is moved');
  t.same(
    renewed.attach(wanted(at)).map((hook) => hook.action),
    ['renewed', 'renewed'],
  );
  t.not(xdpOn(at), 0);
  t.not(xdpOn(at), program);
  t.same(
    (await renewed.counters()).map((one) => one.id),
    counters.map((one) => one.id),
  );
  renewed.unload([at]);
  ip('link', 'del', 'hk1');
});

t.test('clsact where there is no TCX: made once, kept, taken out', async (t) => {
  const bpffs = newBpffs(t);
  const at = makePair('hk2');
  const kernel = await open(bpffs);
  await dropAll(kernel, at, 1);
  const without = { ...wanted(at), tc: 'clsact' } as const;
  const filters = (): string =>
    execFileSync('tc', ['filter', 'show', 'dev', at.name, 'egress'], { encoding: 'utf8' });
  t.same(
    kernel.attach(without).map((hook) => hook.action),
    ['made', 'made'],
  );
  t.match(filters(), /husk_tc_egress/);
  t.same(
    kernel.attach(without).map((hook) => hook.action),
    ['kept', 'kept'],
  );
  kernel.unload([at]);
  t.equal(filters(), '');
  ip('link', 'del', 'hk2');
});

t.test('from XDP to tc and back: the new hook before the old one goes', async (t) => {
  const bpffs = newBpffs(t);
  const at = makePair('hk3');
  const kernel = await open(bpffs);
  await dropAll(kernel, at, 1);
  const by = (way: 'native' | 'generic' | 'tc') => kernel.attach(plainAttach([at], { way }));
  by('native');
  const links = () => readdirSync(join(setDirectory(bpffs), 'links')).toSorted();
  t.same(links(), [`tc_egress-${at.index}-hk3`, `xdp_ingress-native-${at.index}-hk3`]);
  t.match(by('tc'), [{ description: 'tc_ingress hk3 tcx', action: 'made' }, { action: 'kept' }]);
  t.same(links(), [`tc_egress-${at.index}-hk3`, `tc_ingress-${at.index}-hk3`]);
  t.equal(xdpOn(at), 0, 'gone at once');
  t.match(by('native'), [{ description: 'xdp_ingress hk3 native', action: 'made' }, { action: 'kept' }]);
  t.same(links(), [`tc_egress-${at.index}-hk3`, `xdp_ingress-native-${at.index}-hk3`]);

  // Another XDP mode finds the card taken by ours: tc meanwhile, and it is to be tried again.
  const tries = [
    { way: 'generic', why: '' },
    { way: 'tc', why: '' },
  ] as const;
  const wantedNow = { interfaces: [{ ...at, ingress: tries }], others: [], tc: 'tcx' } as const;
  t.match(kernel.attach(wantedNow), [
    { description: /^tc_ingress hk3 tcx: generic XDP failed/, isInterim: true },
  ]);
  const [hook] = kernel.attach(wantedNow);
  t.match(hook, { description: 'xdp_ingress hk3 generic', action: 'made' });
  t.equal(hook?.isInterim, undefined);
  kernel.unload([at]);
  ip('link', 'del', 'hk3');
});

t.test('one that fails leaves what is there; others stay or go as asked', async (t) => {
  const bpffs = newBpffs(t);
  const [one, other] = [makePair('hk4'), makePair('hk5')];
  const kernel = await open(bpffs);
  await dropAll(kernel, one, 1);
  kernel.attach(plainAttach([one, other]));
  const gone = { name: 'gone', index: 4711 };
  t.match(kernel.attach({ ...plainAttach([gone]), others: null }), [
    { description: 'ingress gone', action: 'failed', why: /native XDP failed/ },
    { description: 'tc_egress gone tcx', action: 'failed' },
    { description: 'xdp_ingress hk4 native', action: 'kept' },
    { description: 'tc_egress hk4 tcx', action: 'kept' },
    { description: 'xdp_ingress hk5 native', action: 'kept' },
    { description: 'tc_egress hk5 tcx', action: 'kept' },
  ]);
  t.not(xdpOn(one), 0);
  kernel.attach(plainAttach([other]));
  await waitFor(() => xdpOn(one) === 0, { what: 'the hook to go', withinMs: 1000, everyMs: 20 });
  t.not(xdpOn(other), 0);
  kernel.unload([one, other]);
  for (const name of ['hk4', 'hk5']) ip('link', 'del', name);
});
