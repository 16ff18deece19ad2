// Goal: a canary in a cgroup gets the errno that the programs attached to that cgroup give, and another one
// without them; nothing it does leaves the machine, and no child of it is left over.
// Method: deny programs attached to a cgroup of this test's own; the same calls with and without them.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { addon, type CanaryCall } from '../../native/index.ts';
import { attachType, loadTestObject, makeCgroup, openDescriptors } from './kernel.ts';

const EPERM = 1;
const stream = 1;
const datagram = 2;
const tcp = 6;
const udp = 17;
const address4 = Uint8Array.of(192, 0, 2, 1);
const any4 = Uint8Array.of(0, 0, 0, 0);
const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1);

const connect: CanaryCall = {
  call: 'connect',
  family: 4,
  type: stream,
  protocol: tcp,
  address: address4,
  port: 443,
};
const sendto: CanaryCall = {
  call: 'sendto',
  family: 4,
  type: datagram,
  protocol: udp,
  address: address4,
  port: 53,
};
const bind: CanaryCall = { call: 'bind', family: 4, type: stream, protocol: tcp, address: any4, port: 8080 };
const socket: CanaryCall = { call: 'socket', family: 2, type: stream, protocol: tcp };
const calls = [connect, sendto, bind, socket];

/** Children of this process, threads' included. */
function children(): string[] {
  return readdirSync('/proc/self/task').flatMap((task) => {
    const path = `/proc/self/task/${task}/children`;
    return existsSync(path) ? readFileSync(path, 'utf8').split(' ').filter(Boolean) : [];
  });
}

t.test('without programs the calls are answered by an empty network', async (t) => {
  const answers = await addon.canary(makeCgroup(t), calls);
  t.equal(answers.length, 4);
  const [connected, sent, bound, made] = answers;
  t.equal(connected, 101, 'connect: ENETUNREACH, so there was no way out');
  t.equal(sent, 101, 'sendto: ENETUNREACH');
  t.equal(bound, 0);
  t.equal(made, 0);
});

const denials = [
  { program: 'connect4_deny', type: attachType.inet4Connect, denied: 0 },
  { program: 'sendmsg4_deny', type: attachType.udp4Sendmsg, denied: 1 },
  { program: 'bind4_deny', type: attachType.inet4Bind, denied: 2 },
] as const;

for (const { program, type, denied } of denials) {
  t.test(`under ${program} the canary gets EPERM for that call alone`, async (t) => {
    const cgroup = makeCgroup(t);
    const object = loadTestObject(t, 'hooks');
    const link = addon.attachCgroup(object.program(program), cgroup, type);
    const answers = await addon.canary(cgroup, calls);
    t.equal(answers[denied], EPERM);
    t.strictSame(
      answers.map((answer, i) => (answer === EPERM ? i : -1)).filter((i) => i >= 0),
      [denied],
    );
    link.close();
    t.not((await addon.canary(cgroup, calls))[denied], EPERM, 'without the link it is let through');
  });
}

t.test('under sock_create_deny there is no socket, and every call says so', async (t) => {
  const cgroup = makeCgroup(t);
  const link = addon.attachCgroup(
    loadTestObject(t, 'hooks').program('sock_create_deny'),
    cgroup,
    attachType.inetSockCreate,
  );
  t.strictSame(await addon.canary(cgroup, calls), [EPERM, EPERM, EPERM, EPERM]);
  link.close();
});

t.test('an IPv6 socket and addresses of both kinds can be tried', async (t) => {
  const answers = await addon.canary(makeCgroup(t), [
    { call: 'connect', family: 6, type: stream, protocol: tcp, address: mapped, port: 1 },
    {
      call: 'connect',
      family: 6,
      type: stream,
      protocol: tcp,
      address: new Uint8Array(16).fill(0x20),
      port: 1,
    },
    { call: 'bind', family: 6, type: datagram, protocol: udp, address: new Uint8Array(16), port: 0 },
    { call: 'socket', family: 17, type: 3, protocol: 0 },
    { call: 'socket', family: 40_000, type: 1, protocol: 0 },
  ]);
  t.equal(answers[0], 101);
  t.not(answers[1], 0);
  t.not(answers[1], EPERM);
  t.equal(answers[2], 0);
  t.equal(answers[3], 0, 'a packet socket, in the empty namespace');
  t.equal(answers[4], 97, 'EAFNOSUPPORT');
});

t.test('the hook sees the child in the cgroup it was sent to, and not the others', async (t) => {
  const denied = makeCgroup(t);
  const link = addon.attachCgroup(
    loadTestObject(t, 'hooks').program('connect4_deny'),
    denied,
    attachType.inet4Connect,
  );
  t.strictSame(await addon.canary(denied, [connect]), [EPERM]);
  t.equal(readFileSync(join(denied, 'cgroup.procs'), 'utf8'), '', 'the child is gone');
  t.match(readFileSync(join(denied, 'cgroup.events'), 'utf8'), /populated 0/);
  const free = `${denied}-free`;
  mkdirSync(free);
  t.teardown(() => rmdirSync(free));
  t.not((await addon.canary(free, [connect]))[0], EPERM);
  link.close();
});

t.test('many canaries at once do not mix their answers, and leave no child', async (t) => {
  const cgroup = makeCgroup(t);
  const link = addon.attachCgroup(
    loadTestObject(t, 'hooks').program('bind4_deny'),
    cgroup,
    attachType.inet4Bind,
  );
  const before = await openDescriptors();
  const all = await Promise.all(
    Array.from({ length: 40 }, (_, i) => addon.canary(cgroup, Array(i).fill(i % 2 ? bind : socket))),
  );
  for (const [i, answers] of all.entries()) t.strictSame(answers, Array(i).fill(i % 2 ? EPERM : 0));
  t.strictSame(children(), []);
  t.ok((await openDescriptors()) <= before, 'no descriptor is left');
  link.close();
});

t.test('the event loop goes on while a canary runs', async (t) => {
  const cgroup = makeCgroup(t);
  let ticks = 0;
  const timer = setInterval(() => {
    ticks += 1;
  }, 1);
  for (let i = 0; i < 20; i++) await addon.canary(cgroup, Array(200).fill(bind));
  clearInterval(timer);
  t.ok(ticks > 5, `${ticks} ticks`);
});

t.test('a canary that cannot be is an error, not an answer', async (t) => {
  await t.rejects(addon.canary('/nonexistent', calls), {
    name: 'KernelError',
    operation: 'open cgroup',
    object: '/nonexistent',
    code: 'ENOENT',
  });
  await t.rejects(addon.canary('/proc', calls), { name: 'KernelError', operation: /canary/ }, 'no cgroup');
  const wrong = (value: unknown): never => value as never;
  t.throws(() => addon.canary(wrong(1), []), { message: 'cgroup must be a string' });
  t.throws(() => addon.canary('/', wrong({})), { message: 'calls must be an array' });
  t.throws(() => addon.canary('/', Array(1025).fill(socket)), { message: /more than 1024/ });
  t.throws(() => addon.canary('/', [wrong({ ...connect, call: 'listen' })]), {
    message: 'call must be connect or sendto or bind or socket',
  });
  t.throws(() => addon.canary('/', [wrong({ ...connect, family: 2 })]), { message: 'family must be 4 or 6' });
  t.throws(() => addon.canary('/', [{ ...connect, family: 6 }]), {
    message: 'address must be 16 bytes long for family 6, not 4',
  });
  t.throws(() => addon.canary('/', [{ ...connect, port: 65_536 }]), {
    message: /^port must be a whole number/,
  });
});
