// Goal: while policies are swapped thousands of times under traffic, no hook invocation sees a generation that
// is torn or none at all.
// Method: packets arrive at full speed in a namespace while swapper.ts swaps two generations there that drop
// them by tables which agree only with each other, and counts by rule what each packet met. The same count
// with inner maps refilled in place, as Husk never does it, must show torn views, or the count sees nothing.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { udpFrame } from '../lab/frame.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { sentTo } from '../lab/pcap.ts';
import { ask } from '../lab/system.ts';
import { sendOn } from '../lab/wire.ts';
import { type SwapReport, swapSource } from './swap-report.ts';

const object = resolve(import.meta.dirname, '../../build/bpf/cgroup_socket.bpf.o');
// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || (existsSync(object) ? false : 'needs ./build.sh build');
/** Full loads, and flips between the two loaded slots after each. */
const loads = 300;
const flips = 9;
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
  const frame = udpFrame({ from: swapSource, to: '198.51.100.2', fromPort: 9, toPort: 9 });
  const frames = sentTo(device.macOf('wan0'), new Array<Buffer>(64).fill(frame));
  const traffic = sendOn(lab, { from: wan, interface: 'up0', frames });

  await t.test('swapped as the agent does it', async (t) => {
    const seen = await swapper(lab, device, ['swap', String(loads), String(flips)]);
    t.comment(JSON.stringify(seen));
    t.equal(seen.swaps, loads * (1 + flips), 'thousands of swaps');
    t.ok(seen.whole > 20 * seen.swaps, `${seen.whole} packets were judged by a whole generation`);
    t.equal(seen.torn, 0, 'none by a torn one');
    t.equal(seen.neither, 0, 'none by half a set');
    t.equal(seen.noGeneration, 0, 'none by nothing');
    // The two counts are not read at one instant, so what arrives in between is the slack.
    const missing = Math.abs(seen.ingress - seen.whole - seen.neverDrop);
    t.ok(missing < 0.01 * seen.ingress, `every invocation is accounted for (${missing} in flight)`);
  });

  await t.test('refilled in place, which this test must be able to see', async (t) => {
    const seen = await swapper(lab, device, ['refill', String(refills), '0']);
    t.comment(JSON.stringify(seen));
    t.ok(seen.torn > 0, `${seen.torn} packets met the set of one generation and the rules of the other`);
  });

  t.ok(traffic.running, 'packets came all the time');
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
    'wan0',
    ...counts,
  ];
  const answer = await ask('nsenter', [`--net=${device.path}`, '--', ...program], { timeoutMs: 280_000 });
  if (answer.code !== 0) throw new Error(`swapper: ${answer.complaint}`);
  return JSON.parse(answer.out) as SwapReport;
}
