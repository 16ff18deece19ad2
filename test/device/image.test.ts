// Goal: the reference device image boots, joins a fleet, and enforces what the fleet gives it: on each kernel as far as that
// goes, without the agent, after it comes back, and after a reboot.
// Method: the image in an emulator, a real controller beside it in a network of their own (fleet-guest.ts). Operations are tried
// in the device by a service that has a hole, and by others; what the controller hears of them is compared.

import t, { type Test } from 'tap';
import type { OperationEvent } from '../../agent/contract/event.ts';
import type { Reported } from '../../agent/contract/state.ts';
import { waitFor } from '../lab/wait-for.ts';
import { FleetGuest, fleetGuestMissing } from './fleet-guest.ts';
import type { CloudKernelName } from './kernels.ts';

/** An emulated CPU on a machine that others may be using. */
const timeout = 1_500_000;
t.setTimeout(4 * timeout);

const policy = `
apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: web }
spec:
  mode: enforce
  subject: { executable: /usr/sbin/httpd }
  rules:
    - { id: no-tmp-exec, exec: { under: [/tmp] }, action: deny }
    - { id: pages, file: { write: { under: [/www] }, create: { under: [/www] } }, action: deny }
---
apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: web-calls }
spec:
  mode: enforce
  subject: { cgroup: httpd }
  rules:
    - { id: no-call-home, connect: { except: [127.0.0.0/8, "::1/128"] }, action: deny }
---
apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: wire }
spec:
  mode: enforce
  zones:
    wan: { interfaces: [eth0] }
  ingress:
    - zone: wan
      default: allow
      rules:
        - { id: no-pages, protocol: tcp, ports: { to: 80 }, action: drop }
  egress: []
`;

/** What the service tries, and others do; after the word that a policy has for it. */
const operations = {
  'exec under /tmp': '/tmp/evil',
  'write a page': 'echo x >>/www/new.html',
  'connect to another host': 'nc -w 5 198.51.100.1 8883 </dev/null',
} as const;
/** As an exploit leaves something to run. */
const dropEvil = 'printf "#!/bin/sh\\n" >/tmp/evil && chmod 755 /tmp/evil';
type Operation = keyof typeof operations;

interface Machine {
  readonly name: string;
  readonly kernel: CloudKernelName;
  readonly append: string;
  readonly tier: Reported['tier'];
  /** What is denied there with an errno. */
  readonly denied: readonly Operation[];
}

const all = Object.keys(operations) as Operation[];
const machines: readonly Machine[] = [
  { name: '6.12', kernel: '6.12', append: '', tier: 'A', denied: all },
  { name: '6.1, slot b', kernel: '6.1', append: 'husk.slot=b', tier: 'A', denied: all },
  {
    name: "6.12 without BPF's LSM",
    kernel: '6.12',
    append: 'lsm=lockdown,capability,landlock',
    tier: 'B',
    denied: all,
  },
  { name: '5.10', kernel: '5.10', append: '', tier: 'C', denied: ['connect to another host'] },
];
const [first] = machines;

for (const machine of machines) {
  const { kernel, append } = machine;
  t.test(machine.name, { skip: fleetGuestMissing(kernel), timeout }, async (t) => {
    const device = await FleetGuest.boot(t, { kernel, append });
    await device.run(dropEvil);
    await enforces(t, device, machine);
    if (machine !== first) return;
    await outlivesAgent(t, device);
    await outlivesReboot(t, device);
    await bootsWhateverItsDiskSays(t, device);
  });
}

async function enforces(t: Test, device: FleetGuest, { tier, denied }: Machine): Promise<void> {
  for (const what of all) {
    const { status, lines } = await device.inject(operations[what]);
    t.equal(status, 0, `before any policy: ${what}`, { lines });
  }
  t.equal(pagesFrom(device), true, 'pages are served to the wire');

  const reported = await device.publish(policy);
  t.equal(reported.assignment?.result, 'confirmed', 'the policy is confirmed', { reported });
  t.equal(reported.tier, tier);
  for (const what of all) {
    const { status, lines } = await device.inject(operations[what]);
    if (denied.includes(what)) {
      t.not(status, 0, `denied to the service: ${what}`);
      t.match(lines.join(' '), /Operation not permitted|Permission denied/i);
    }
    const other = await device.run(operations[what]);
    t.equal(other.status, 0, `not to others: ${what}`, { lines: other.lines });
  }
  t.same((await device.inject('echo goes on; true')).lines, ['goes on'], 'the service does its work');
  t.equal(pagesFrom(device), false, 'packets to its pages are dropped');

  if (!denied.includes('exec under /tmp')) return;
  const rule = 'web/no-tmp-exec';
  const event = await device.event('alert', (one) => one.kind === 'operation' && one.rule === rule);
  const expected: Partial<OperationEvent> = { verdict: 'deny', operation: 'exec', path: '/evil' };
  t.match(event, expected, 'the controller hears of it');
}

/** Whether the device's pages are to be had on the wire. */
function pagesFrom(device: FleetGuest): boolean {
  try {
    device.namespace.run('busybox', ['wget', '-qO', '/dev/null', '-T', '3', `http://${device.address}/`]);
    return true;
  } catch {
    return false;
  }
}

async function outlivesAgent(t: Test, device: FleetGuest): Promise<void> {
  const since = Date.now();
  await device.run('kill -9 $(pidof husk-agent); sleep 0.1; pidof husk-agent && echo alive');
  const { lines } = await device.inject(operations['exec under /tmp']);
  t.match(lines.join(' '), /Operation not permitted/, 'denied without the agent');
  await device.connected(since);
  const log = await device.run('logread | grep "guards: attached" | tail -n 1');
  t.match(log.lines.join(), '"how":"adopted"', 'the next agent takes over what is there');
  const again = await device.inject(operations['exec under /tmp']);
  t.match(again.lines.join(' '), /Operation not permitted/);
}

async function outlivesReboot(t: Test, device: FleetGuest): Promise<void> {
  const since = Date.now();
  await device.reboot();
  await device.run(dropEvil);
  const denied = await waitFor(
    async () => {
      const { status } = await device.inject(operations['exec under /tmp']);
      return status !== 0 && (await device.run('cut -d" " -f1 /proc/uptime')).lines[0];
    },
    { what: 'the device to enforce again', withinMs: 700_000, everyMs: 500 },
  );
  t.comment(`enforced again ${denied} s after the kernel began`);
  await device.connected(since);
  const { reported } = await device.controller.device(device.id);
  t.equal(reported?.inForce?.serial, 1, 'by the bundle on its disk');
}

/** Neither the slot nor the data partition can be mounted any more. */
async function bootsWhateverItsDiskSays(t: Test, device: FleetGuest): Promise<void> {
  await device.run('for n in 2 4; do dd if=/dev/zero of=/dev/vda$n bs=64k count=16 conv=fsync; done');
  await device.reboot({ powerCut: true });
  const { lines } = await device.run('cat /run/image/slot /run/image/overlay; dmesg | grep -c husk-init');
  t.match(lines, ['b', /^memory: /], 'the other slot, and memory in place of the partition');
}
