// The part of link.test.ts that needs interfaces: run by it under `unshare --net`, so that every interface,
// qdisc and link made here ends with this process.

import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addon } from '../../native/index.ts';
import {
  eventually,
  kernelErrorOf,
  linkType,
  loadTestObject,
  openTestObject,
  root,
  sleep,
  u32,
  xdp,
} from './kernel.ts';

const namespaceOf = (pid: number | 'self'): string => readlinkSync(`/proc/${pid}/ns/net`);
if (namespaceOf('self') === namespaceOf(process.ppid))
  throw new Error('run this under `unshare --net`: it attaches programs to interfaces');

/** /proc/net/dev is this namespace's; /sys/class/net still shows the one it was mounted in. */
function interfaces(): string[] {
  return readFileSync('/proc/self/net/dev', 'utf8')
    .split('\n')
    .slice(2)
    .map((line) => line.split(':')[0]?.trim() ?? '')
    .filter(Boolean);
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

function ifindexOf(name: string): number {
  return JSON.parse(ip('-j', 'link', 'show', 'dev', name))[0].ifindex;
}

let pairs = 0;

/** A pair of virtual interfaces, up. Returns the index of the first. */
function makePair(t: Test): { name: string; ifindex: number } {
  pairs += 1;
  const [name, peer] = [`hna${pairs}`, `hnb${pairs}`];
  ip('link', 'add', name, 'type', 'veth', 'peer', 'name', peer);
  ip('link', 'set', name, 'up');
  ip('link', 'set', peer, 'up');
  t.teardown(() => {
    if (interfaces().includes(name)) ip('link', 'del', name);
  });
  return { name, ifindex: ifindexOf(name) };
}

for (const mode of ['native', 'generic'] as const) {
  t.test(`XDP, ${mode}: attached, told, replaced, gone when closed`, async (t) => {
    const { name, ifindex } = makePair(t);
    const program = loadTestObject(t, 'hooks').program('xdp_verdict');
    const link = addon.attachXdp(program, ifindex, mode);
    t.match(addon.linkInfo(link), {
      type: linkType.xdp,
      ifindex,
      programId: addon.programInfo(program).id,
      cgroupId: 0n,
    });
    const shown = JSON.parse(ip('-j', 'link', 'show', 'dev', name))[0].xdp;
    t.equal(shown.prog.id, addon.programInfo(program).id);
    t.equal(shown.mode, mode === 'native' ? 1 : 2, 'in the mode asked for');
    const object = openTestObject(t, 'hooks');
    object.setRodata(u32(xdp.drop, 0));
    object.load();
    addon.updateLink(link, object.program('xdp_verdict'));
    t.equal(addon.linkInfo(link).programId, addon.programInfo(object.program('xdp_verdict')).id);
    t.match(
      kernelErrorOf(() => addon.attachXdp(program, ifindex, mode)),
      { operation: 'attach XDP', object: `ifindex ${ifindex}, ${mode}`, code: 'EBUSY' },
    );
    link.close();
    await sleep(20);
    t.equal(JSON.parse(ip('-j', 'link', 'show', 'dev', name))[0].xdp, undefined);
  });
}

t.test('XDP drops what arrives, and counts it', async (t) => {
  const { name, ifindex } = makePair(t);
  const object = openTestObject(t, 'hooks');
  object.setRodata(u32(xdp.drop, 0));
  object.load();
  const link = addon.attachXdp(object.program('xdp_verdict'), ifindex, 'native');
  const received = (): bigint =>
    new BigUint64Array(addon.lookup(object.map('runs'), u32(0))?.slice().buffer ?? new ArrayBuffer(0)).reduce(
      (a, b) => a + b,
      0n,
    );
  const before = received();
  // The peer asks who has an address that nobody has.
  ip('addr', 'add', '198.51.100.1/24', 'dev', name.replace('a', 'b'));
  const socket = createSocket('udp4');
  socket.send('packet', 9, '198.51.100.2');
  for (let i = 0; i < 200 && received() === before; i++) await sleep(20);
  t.ok(received() > before);
  socket.close();
  link.close();
});

t.test('an interface that is not there', async (t) => {
  const object = loadTestObject(t, 'hooks');
  const program = object.program('xdp_verdict');
  t.match(
    kernelErrorOf(() => addon.attachXdp(program, 4711, 'native')),
    { operation: 'attach XDP', errno: 22 },
  );
  t.match(
    kernelErrorOf(() => addon.attachTcx(object.program('tc_drop'), 4711, 'egress')),
    { operation: 'attach TCX', object: 'ifindex 4711, egress', code: 'ENODEV' },
  );
  t.throws(() => addon.attachXdp(program, 0, 'fast' as never), { message: 'mode must be native or generic' });
  t.throws(() => addon.attachXdp(program, 2 ** 31, 'native'), { message: /^ifindex must be a whole number/ });
});

t.test('a link whose interface went tells ifindex 0 and can no longer be updated', async (t) => {
  const { name, ifindex } = makePair(t);
  const object = loadTestObject(t, 'hooks');
  const program = object.program('xdp_verdict');
  const link = addon.attachXdp(program, ifindex, 'native');
  ip('link', 'del', name);
  t.equal(addon.linkInfo(link).ifindex, 0);
  t.match(
    kernelErrorOf(() => addon.updateLink(link, program)),
    { operation: 'update link', code: 'ENOLINK' },
  );
  link.close();
});

for (const direction of ['ingress', 'egress'] as const) {
  t.test(`TCX ${direction}: attached, told, replaced, gone when closed`, async (t) => {
    const { ifindex } = makePair(t);
    if (addon.probe().tcx !== 0) {
      t.pass(`this kernel has no TCX: errno ${addon.probe().tcx}`, { skip: true });
      return;
    }
    const program = loadTestObject(t, 'hooks').program('tc_drop');
    const link = addon.attachTcx(program, ifindex, direction);
    t.match(addon.linkInfo(link), {
      type: linkType.tcx,
      ifindex,
      programId: addon.programInfo(program).id,
      attachType: direction === 'ingress' ? 46 : 47,
    });
    const other = loadTestObject(t, 'hooks').program('tc_drop');
    addon.updateLink(link, other);
    t.equal(addon.linkInfo(link).programId, addon.programInfo(other).id);
    link.close();
  });

  t.test(`clsact ${direction}: attached, told, replaced, detached`, async (t) => {
    const { name, ifindex } = makePair(t);
    t.equal(addon.queryClsact(ifindex, direction, 1, 100), 0, 'no clsact, no program');
    const program = loadTestObject(t, 'hooks').program('tc_drop');
    addon.attachClsact(program, ifindex, direction, 1, 100);
    t.equal(addon.queryClsact(ifindex, direction, 1, 100), addon.programInfo(program).id);
    t.equal(addon.queryClsact(ifindex, direction, 1, 101), 0, 'another priority is another filter');
    t.match(
      execFileSync('tc', ['filter', 'show', 'dev', name, direction], { encoding: 'utf8' }),
      /direct-action/,
    );
    const other = loadTestObject(t, 'hooks').program('tc_drop');
    addon.attachClsact(other, ifindex, direction, 1, 100);
    t.equal(
      addon.queryClsact(ifindex, direction, 1, 100),
      addon.programInfo(other).id,
      'replaced, not added',
    );
    addon.detachClsact(ifindex, direction, 1, 100);
    t.equal(addon.queryClsact(ifindex, direction, 1, 100), 0);
    const error = kernelErrorOf(() => addon.detachClsact(ifindex, direction, 1, 100));
    t.match(error, {
      operation: 'detach clsact',
      object: `ifindex ${ifindex}, ${direction}, handle 1, priority 100`,
    });
    t.ok(error.errno > 0);
  });
}

t.test('clsact on an interface that is not there, or by a name that names nothing', async (t) => {
  const program = loadTestObject(t, 'hooks').program('tc_drop');
  t.match(
    kernelErrorOf(() => addon.attachClsact(program, 4711, 'egress', 1, 1)),
    { operation: 'create clsact', code: 'ENODEV' },
  );
  t.throws(() => addon.queryClsact(4711, 'egress', 1, 1), { name: 'KernelError' });
  t.throws(() => addon.attachClsact(program, 1, 'egress', 0, 1), {
    message: 'handle and priority must not be 0',
  });
  t.throws(() => addon.attachClsact(program, 1, 'sideways' as never, 1, 1), {
    message: 'direction must be ingress or egress',
  });
});

t.test('netfilter: attached once at a priority, gone when closed', async (t) => {
  const errno = addon.probe().netfilter;
  if (errno !== 0) return t.pass(`this kernel has no netfilter programs: errno ${errno}`, { skip: true });
  const object = addon.openObject('floor', readFileSync(join(root, 'build/bpf/floor.bpf.o')));
  object.load();
  const program = object.program('husk_floor_in');
  const place = { family: 4, hook: 0, priority: -449 } as const;
  const link = addon.attachNetfilter(program, place);
  t.match(addon.linkInfo(link), { type: 10, programId: addon.programInfo(program).id, ifindex: 0 });
  t.match(
    kernelErrorOf(() => addon.attachNetfilter(program, place)),
    { operation: 'attach netfilter', object: 'IPv4, hook 0, priority -449', code: 'EBUSY' },
  );
  addon.attachNetfilter(program, { ...place, family: 6 }).close();
  addon.attachNetfilter(program, { ...place, priority: 7 }).close();
  link.close();
  await eventually('the hook is free again', () => {
    try {
      addon.attachNetfilter(program, place).close();
      return true;
    } catch {
      return false;
    }
  });
  t.throws(() => addon.attachNetfilter(program, { ...place, family: 5 as never }), {
    message: 'family must be 4 or 6, and priority a whole number',
  });
  t.throws(() => addon.attachNetfilter(program, { ...place, hook: 5 }), { message: /^hook must be/ });
  object.close();
});
