// Goal: the interfaces of the namespace we are in are listed, all of them and no others, with what packet
// programs need to be attached.
// Method: a child in a network namespace of its own, with interfaces made for it; the same names and numbers
// as `ip` gives.

import { execFileSync, spawnSync } from 'node:child_process';
import t from 'tap';
import type { NetworkInterface } from '../../native/index.ts';

const skip = process.getuid?.() !== 0 && 'needs root for a network namespace';

/** Runs in an empty network namespace, which goes with the shell. */
function inNamespace(script: string): string {
  return execFileSync('unshare', ['--net', 'sh', '-ec', script], { encoding: 'utf8' });
}

const list = `${process.execPath} -e "
  import('${new URL('../../native/index.ts', import.meta.url).pathname}')
    .then(({ addon }) => console.log(JSON.stringify(addon.interfaces())))"`;

t.test('every interface of the namespace, and no other', { skip }, async (t) => {
  const out = inNamespace(`
    ip link add nif0 type veth peer name nif1
    ip link set nif0 address 02:00:00:00:00:0a
    ip addr add 192.0.2.1/24 dev nif0
    ip addr add 2001:db8::1/64 dev nif0 nodad
    ip addr add 192.0.2.9/32 dev nif0 label nif0:x
    ip link set nif0 up
    ip -json link | tr -d '\\n'; echo
    ${list}`);
  const [ip, ours] = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line)) as [
    { readonly ifname: string; readonly ifindex: number }[],
    NetworkInterface[],
  ];
  const byIndex = (all: readonly { readonly index: number; readonly name: string }[]) =>
    all.map((one) => `${one.index} ${one.name}`).sort();
  t.strictSame(byIndex(ours), byIndex(ip.map((one) => ({ index: one.ifindex, name: one.ifname }))));
  const nif0 = ours.find((one) => one.name === 'nif0');
  t.match(nif0, { up: true, hardwareType: 1, mac: '02:00:00:00:00:0a' });
  t.ok(nif0?.addresses.includes('192.0.2.1/24'));
  t.ok(nif0?.addresses.includes('192.0.2.9/32'), 'an address with a label is of the interface itself');
  t.ok(nif0?.addresses.includes('2001:db8::1/64'));
  t.match(
    ours.find((one) => one.name === 'nif1'),
    { up: false, addresses: [] },
    'one that is down and bare',
  );
  t.match(
    ours.find((one) => one.name === 'lo'),
    { hardwareType: 772 },
  );
});

t.test('listing does not leak', { skip }, async (t) => {
  const script = `
    import('${new URL('../../native/index.ts', import.meta.url).pathname}').then(({ addon }) => {
      for (let n = 0; n < 5000; n++) addon.interfaces();
      const before = process.memoryUsage().rss;
      for (let n = 0; n < 50000; n++) addon.interfaces();
      console.log(process.memoryUsage().rss - before);
    })`;
  const { stdout } = spawnSync(process.execPath, ['--max-old-space-size=64', '-e', script], {
    encoding: 'utf8',
  });
  // 50,000 lists of a hundred bytes each would be 5 MB of C memory alone.
  t.ok(Number(stdout) < 12 * 1024 * 1024, `${stdout.trim()} bytes more`);
});

t.test('what each is made of', { skip }, async (t) => {
  const all: NetworkInterface[] = JSON.parse(
    inNamespace(`
    ip link add nif0 type veth peer name nif1
    ip link add br0 type bridge
    ip link set nif1 master br0
    ip link add link nif0 name mv0 type macvlan
    ip tuntap add tun0 mode tun
    ip tuntap add tap0 mode tap
    ${list}`),
  );
  const one = (name: string) => all.find((other) => other.name === name);
  t.match(one('br0'), { kind: 'bridge', master: 0, parent: 0, hardwareType: 1, vlan: 0 });
  t.match(one('nif1'), { kind: 'veth', master: one('br0')?.index, parent: one('nif0')?.index });
  t.match(one('mv0'), { kind: 'macvlan', parent: one('nif0')?.index, master: 0 });
  t.match(one('tun0'), { kind: 'tun', hardwareType: 0xfffe, mac: '' });
  t.ok((one('tun0')?.index ?? 0) > 0, 'also where it has no address of its own');
  t.match(one('tap0'), { kind: 'tun', hardwareType: 1 });
  t.match(one('lo'), { kind: '', stripsTags: false });
});

t.test('a parent in another namespace is none of ours', { skip }, async (t) => {
  const name = `husk-nif-${process.pid}`;
  const all: NetworkInterface[] = JSON.parse(
    inNamespace(`
    ip netns add ${name}
    trap 'ip netns delete ${name}' EXIT
    ip link add nif0 type veth peer name nif1 netns ${name}
    ${list}`),
  );
  t.equal(all.find((one) => one.name === 'nif0')?.parent, 0);
});

t.test('VLAN tags that the driver takes off', { skip }, async (t) => {
  const strips = (out: string) =>
    (JSON.parse(out) as NetworkInterface[]).find((one) => one.name === 'nif0')?.stripsTags;
  const make = 'ip link add nif0 type veth peer name nif1';
  t.equal(strips(inNamespace(`${make}\n${list}`)), true, 'veth leaves them beside the frame');
  t.equal(strips(inNamespace(`ip link add nif0 type bridge\n${list}`)), false);
});

t.test('changes are heard of, soon and together, until it is closed', { skip }, async (t) => {
  const script = `
    import('${new URL('../../native/index.ts', import.meta.url).pathname}').then(async ({ addon }) => {
      const { execFileSync } = await import('node:child_process');
      const ip = (args) => execFileSync('ip', args.split(' '));
      const settle = () => new Promise((done) => setTimeout(done, 100));
      let heard = 0;
      const counts = [];
      const watch = addon.watchInterfaces(() => heard++);
      const after = async (change) => {
        heard = 0;
        change();
        await settle();
        counts.push(heard);
      };
      await after(() => {});
      await after(() => ip('link add nif0 type veth peer name nif1'));
      await after(() => ip('addr add 192.0.2.1/24 dev nif0'));
      await after(() => ip('addr add 2001:db8::1/64 dev nif0 nodad'));
      await after(() => ip('addr del 192.0.2.1/24 dev nif0'));
      await after(() => ip('link del nif0'));
      watch.close();
      watch.close();
      await after(() => ip('link add nif0 type veth peer name nif1'));
      // Left open, and it keeps nobody: the process has to end by itself.
      addon.watchInterfaces(() => {});
      console.log(JSON.stringify(counts));
    })`;
  const { stdout, status } = spawnSync('unshare', ['--net', process.execPath, '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  t.equal(status, 0);
  const counts: number[] = JSON.parse(stdout);
  t.equal(counts.at(0), 0, 'nothing happened');
  for (const [at, what] of ['a link', 'an address', 'an IPv6 address', 'one less', 'a link less'].entries()) {
    const heard = counts[at + 1] ?? 0;
    t.ok(heard >= 1 && heard <= 5, `${what}: heard ${heard} times`);
  }
  t.equal(counts.at(-1), 0, 'closed');
});

t.test(
  'watching takes a function, opened and closed many times, and a worker may end with one open',
  { skip },
  async (t) => {
    const script = `
    import('${new URL('../../native/index.ts', import.meta.url).pathname}').then(async ({ addon }) => {
      const { readdirSync } = await import('node:fs');
      const { Worker } = await import('node:worker_threads');
      try { addon.watchInterfaces(3); } catch (error) { console.log(error.message); }
      const before = readdirSync('/proc/self/fd').length;
      for (let n = 0; n < 500; n++) addon.watchInterfaces(() => {}).close();
      console.log(readdirSync('/proc/self/fd').length - before);
      const worker = new Worker("import('${new URL('../../native/index.ts', import.meta.url).pathname}').then(({ addon }) => { addon.watchInterfaces(() => {}); })", { eval: true });
      worker.on('exit', (code) => console.log('worker', code));
    })`;
    const { stdout, status } = spawnSync('unshare', ['--net', process.execPath, '-e', script], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    t.equal(status, 0);
    t.strictSame(stdout.trim().split('\n'), ['onChange must be a function', '0', 'worker 0']);
  },
);
