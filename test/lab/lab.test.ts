// Goal: a lab gives what it promises (namespaces that reach each other, cgroups, mounts, packets on a wire)
// and leaves nothing behind, however a run ends; its sweeping touches nothing of anybody else.
// Method: open real labs, look at /run/netns, mounts and cgroups afterwards; end child runs by SIGTERM and by
// SIGKILL and see the first clean up by itself and the second be swept by the next run.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { tcpFlag, tcpFrame, udpFrame } from './frame.ts';
import { Lab, labMissing } from './lab.ts';
import { readCapture, sentTo, writeCapture } from './pcap.ts';
import { Program } from './program.ts';
import { isLeftOver, runName } from './run-name.ts';
import { sweepLeftOvers } from './sweep.ts';
import { run } from './system.ts';
import { waitFor } from './wait-for.ts';
import { Listener, send } from './wire.ts';

const skip = labMissing();

t.test('names tell a dead run from a living one', async (t) => {
  t.notOk(isLeftOver(runName), 'this run lives');
  t.notOk(isLeftOver(`${runName}-0-wan`), 'and what it made is its own');
  t.ok(isLeftOver(`husk-lab-${process.pid}-1-0-wan`), 'the same pid with another start is another process');
  t.notOk(isLeftOver('wan'), 'a name of any other kind is nobody of ours');
  t.notOk(isLeftOver('husk-lab-x'), 'nor is half a name');
});

t.test('frames carry right checksums and captures come back as written', async (t) => {
  const frames = [
    udpFrame({ from: '192.0.2.1', to: '192.0.2.2', fromPort: 1, toPort: 2, payload: Buffer.from('abc') }),
    tcpFrame({ from: '2001:db8::1', to: '2001:db8::2', fromPort: 1, toPort: 2, flags: tcpFlag.syn }),
  ];
  const back = readCapture(writeCapture(frames));
  t.equal(back.linkType, 1);
  t.strictSame(back.frames, frames);
  t.throws(() => readCapture(writeCapture(frames).subarray(0, -1)), /the file ends in packet 1/);
  t.throws(() => readCapture(Buffer.alloc(64)), /not a capture/);
});

t.test('waiting', async (t) => {
  let asked = 0;
  t.equal(
    await waitFor(() => (++asked > 2 ? asked : null), { what: 'a third time', withinMs: 1000, everyMs: 1 }),
    3,
  );
  const never = waitFor(() => false, { what: 'the moon', withinMs: 10, everyMs: 1 });
  await t.rejects(never, /waited 10 ms for the moon/);
});

t.test('a lab', { skip }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const left = lab.namespace('left');
  const right = lab.namespace('right');
  lab.wire(
    { namespace: left, interface: 'wire0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
    { namespace: right, interface: 'wire1', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
  );
  const names = [left.path, right.path];

  t.test('packets cross the wire, and each is counted where it arrives', async (t) => {
    const listener = await Listener.open(lab, { namespace: right, port: 5001 });
    const destinationMac = right.macOf('wire1');
    const to = { destinationMac, fromPort: 9, toPort: 5001 };
    const frames = [
      udpFrame({ ...to, from: '192.0.2.1', to: '192.0.2.2' }),
      // From nowhere near: a lab must let spoofed sources in, or a policy would seem to drop them.
      udpFrame({ ...to, from: '203.0.113.9', to: '192.0.2.2' }),
      udpFrame({ ...to, from: '2001:db8:9::9', to: '2001:db8::2' }),
      udpFrame({ ...to, from: '192.0.2.1', to: '192.0.2.2', toPort: 5002 }),
    ];
    const before = { ip: right.ipReceived(), wire: right.received('wire1').packets };
    t.equal(send(lab, { from: left, interface: 'wire0', frames, loop: 100 }), 400);
    t.equal(await listener.count(), 300, 'the listener has those for its port: IPv4, spoofed, IPv6');
    t.ok(right.ipReceived() - before.ip >= 400, 'IP has seen all');
    t.ok(right.received('wire1').packets - before.wire >= 400, 'so has the interface');
    const elsewhere = sentTo(Buffer.from([2, 1, 1, 1, 1, 1]), frames);
    send(lab, { from: left, interface: 'wire0', frames: elsewhere });
    t.equal(await listener.count(), 300, 'frames for another card do not count');
  });

  t.test('programs run in their namespace and cgroup', async (t) => {
    const cgroup = lab.cgroupBelow('device/daemon');
    const script = 'cat /proc/self/cgroup; cat /proc/net/dev; echo told; exec sleep 100';
    const program = lab.start('shell', { argv: ['/bin/sh', '-c', script], namespace: left, cgroup });
    await program.line(/^told$/, 5000);
    t.match(program.output(), /^0::.*\/device\/daemon$/m);
    t.match(program.output(), /wire0:/);
    t.equal(readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').trim(), String(program.pid));
    t.strictSame(await program.stop(), { code: null, signal: 'SIGTERM' });
    await t.rejects(program.line(/never/, 5000), /it ended/);
  });

  t.test('a mount is there and of its kind', async (t) => {
    t.match(run('stat', ['-f', '-c', '%T', lab.bpffs()]), /bpf/);
    t.match(run('stat', ['-f', '-c', '%b %S', lab.smallDisk(1 << 20)]), /^256 4096/);
  });

  t.test('closing takes all down, once, and refuses to start more', async (t) => {
    lab.start('stubborn', { argv: ['/bin/sh', '-c', 'trap "" TERM; sleep 100 & sleep 100'] });
    await lab.close();
    await lab.close();
    t.notOk(existsSync(lab.dir));
    t.notOk(existsSync(lab.cgroup));
    for (const name of names) t.notOk(existsSync(name));
    t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), lab.dir);
    t.throws(() => lab.start('late', { argv: ['true'] }), /closing/);
  });
});

t.test('a run that is ended', { skip }, async (t) => {
  const dir = t.testdir();
  const script = `
    import { Lab } from ${JSON.stringify(join(import.meta.dirname, 'lab.ts'))};
    const lab = await Lab.open();
    lab.namespace('lost');
    lab.bpffs();
    lab.start('sleeper', { argv: ['sleep', '1000'] });
    console.log('ready ' + lab.cgroup);
    setInterval(() => {}, 1000);`;
  const rows = run('cat', ['/proc/self/cgroup']).trim().split('\n');
  const own = rows.find((row) => row.startsWith('0::'))?.slice(3) ?? '/';
  const root = readFileSync('/proc/self/mountinfo', 'utf8').match(/\S+ \S+ \S+ \/ (\S+) .* - cgroup2 /)?.[1];
  if (root === undefined) return t.pass('no cgroup2 to start it from', { skip: true });
  const start = (name: string): Program =>
    new Program({
      argv: [process.execPath, '--input-type=module', '-e', script],
      cgroup: join(root, own),
      log: join(dir, name),
    });
  const leftOvers = (): string[] =>
    ['/run/netns', tmpdir(), root].flatMap((folder) =>
      readdirSync(folder).filter((name) => name.startsWith(`husk-lab-${child.pid}-`)),
    );

  let child = start('sigterm');
  await child.line(/^ready/, 10_000);
  t.equal(leftOvers().length, 3, 'a namespace, a folder and a cgroup');
  t.same(await sweepLeftOvers().then((all) => all.filter((path) => path.includes(`-${child.pid}-`))), []);
  child.kill('SIGTERM');
  t.same(await child.ended, { code: 143, signal: null });
  t.same(leftOvers(), [], 'SIGTERM: it cleans up by itself');

  child = start('sigkill');
  const cgroup = (await child.line(/^ready/, 10_000)).slice('ready '.length);
  const sleeper = Number(readFileSync(join(cgroup, 'cgroup.procs'), 'utf8'));
  t.equal(leftOvers().length, 3);
  child.kill('SIGKILL');
  await child.ended;
  // Another test that opens its lab in this very moment may have been the one to sweep.
  await sweepLeftOvers();
  t.same(leftOvers(), [], 'SIGKILL: the next run sweeps it');
  await waitFor(() => !existsSync(`/proc/${sleeper}/exe`), {
    what: 'its programs to be gone',
    withinMs: 5000,
  });
});
