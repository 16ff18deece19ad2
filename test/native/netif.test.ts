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
