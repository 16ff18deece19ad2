// Goal: while policies are swapped thousands of times under traffic, no hook invocation sees a generation that
// is torn or none at all.
// Method: packets arrive and leave at full speed in a namespace, and a process in a cgroup calls connect(), while
// swapper.ts swaps two generations there that stop all of it by tables which agree only with each other, and
// counts by rule what each invocation met. The same count with inner maps refilled in place, as Husk never does
// it, must show torn views, or the count sees nothing.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { udpFrame } from '../lab/frame.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { sentTo } from '../lab/pcap.ts';
import { ask } from '../lab/system.ts';
import { sendOn } from '../lab/wire.ts';
import { type SwapReport, swapPeer } from './swap-report.ts';

const object = resolve(import.meta.dirname, '../../build/bpf/cgroup_socket.bpf.o');
// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || (existsSync(object) ? false : 'needs ./build.sh build');
/** Full loads, and flips between the two loaded slots after each. */
const loads = 200;
const flips = 14;
const hooks = ['ingress', 'egress', 'connect'] as const;
/** Refills show torn views within a few hundred; many more make it sure. */
const refills = 3000;

t.test('swaps under continuous traffic', { skip, timeout: 300_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const wan = lab.namespace('wan');
  const device = lab.namespace('device');
  // No router solicitations and multicast reports: every packet but ARP is one of ours.
  for (const namespace of [wan, device]) namespace.set('net/ipv6/conf/default/disable_ipv6', '1');
  lab.wire(
    { namespace: wan, interface: 'up0', addresses: ['198.51.100.1/24'] },
    { namespace: device, interface: 'wan0', addresses: ['198.51.100.2/24'] },
  );
  const arriving = udpFrame({ from: swapPeer, to: '198.51.100.2', fromPort: 9, toPort: 9 });
  const leaving = udpFrame({ from: '198.51.100.2', to: swapPeer, fromPort: 9, toPort: 9 });
  const list = (frame: Buffer, mac: Uint8Array) => sentTo(mac, new Array<Buffer>(64).fill(frame));
  const traffic = [
    sendOn(lab, { from: wan, interface: 'up0', frames: list(arriving, device.macOf('wan0')) }),
    sendOn(lab, { from: device, interface: 'wan0', frames: list(leaving, wan.macOf('up0')) }),
  ];

  await t.test('swapped as the agent does it', async (t) => {
    const seen = await swapper(lab, device, ['swap', String(loads), String(flips)]);
    t.comment(JSON.stringify(seen));
    t.equal(seen.swaps, loads * (1 + flips), 'thousands of swaps');
    for (const hook of hooks) {
      const { whole, torn, neither } = seen[hook];
      t.ok(whole > 20 * seen.swaps, `${hook}: ${whole} were judged by a whole generation`);
      t.equal(torn, 0, `${hook}: none by a torn one`);
      t.equal(neither, 0, `${hook}: none by half a set`);
    }
    t.equal(seen.noGeneration, 0, 'none by nothing');
    // The two counts are not read at one instant, so what comes by in between is the slack.
    const missing = Math.abs(seen.packets - seen.ingress.whole - seen.egress.whole - seen.neverDrop);
    t.ok(missing < 0.01 * seen.packets, `every packet is accounted for (${missing} in flight)`);
    t.equal(seen.refused, seen.connect.whole, 'every call that was judged got EPERM');
    t.equal(seen.notRefused, 0, 'no call came through');
  });

  await t.test('refilled in place, which this test must be able to see', async (t) => {
    const seen = await swapper(lab, device, ['refill', String(refills), '0']);
    t.comment(JSON.stringify(seen));
    for (const hook of hooks)
      t.ok(seen[hook].torn > 0, `${hook}: ${seen[hook].torn} met a set of one and the rules of the other`);
    t.ok(seen.notRefused > 0, `${seen.notRefused} calls came through`);
  });

  t.ok(
    traffic.every((one) => one.running),
    'packets came and left all the time',
  );
});

async function swapper(
  lab: Lab,
  device: Namespace,
  [how = '', ...counts]: readonly string[],
): Promise<SwapReport> {
  const program = [
    process.execPath,
    join(import.meta.dirname, 'swapper.ts'),
    how,
    lab.bpffs(),
    lab.cgroupBelow(how),
    'wan0',
    ...counts,
  ];
  const answer = await ask('nsenter', [`--net=${device.path}`, '--', ...program], { timeoutMs: 280_000 });
  if (answer.code !== 0) throw new Error(`swapper: ${answer.complaint}`);
  return JSON.parse(answer.out) as SwapReport;
}
