// Goal: on a device as it runs, interfaces that come are judged within moments, are not open before where the policy
// says so, with and without an agent, and what is attached where and why is told.
// Method: a whole site with the executables of dist/; interfaces made while the agent runs, is dead, and runs again.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { executablesMissing } from '../lab/executables.ts';
import { udpFrame } from '../lab/frame.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { openSite, publishAndSettle, ruleHits, startAgain } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { Listener, send } from '../lab/wire.ts';

t.setTimeout(200_000);
const skip = labMissing() || executablesMissing();

const policy = `
apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: edge }
spec:
  mode: enforce
  zones:
    wan: { interfaces: [wan0] }
    late: { interfaces: ["late*"], uncovered: drop }
  ingress:
    - zone: wan
      default: allow
      rules:
        - { id: shut, protocol: udp, ports: { to: 5099 }, action: drop }
    - zone: late
      default: allow
      rules:
        - { id: seen, protocol: udp, ports: { to: 5001 }, action: allow }
  egress: []
`;

interface Row {
  readonly name: string;
  readonly zone: string | null;
  readonly leftOut: string | null;
  readonly hooks: readonly string[];
}

t.test('interfaces of a running device', { skip, timeout: 190_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab, {
    device: { interfaces: ['wan0', 'late*'], config: { interfaces: ['wan0', 'late*'] } },
  });
  const { device, inside, lan } = site;
  const file = join(lab.dir, 'edge.yaml');
  writeFileSync(file, policy);
  const reported = await publishAndSettle(site, { files: [file], trialSeconds: 10 });
  t.equal(reported.assignment?.result, 'confirmed', JSON.stringify(reported.assignment));

  const listener = await Listener.open(lab, { namespace: inside, port: 5001 });
  const rows = async () => (await device.json(['query', 'interfaces'])) as readonly Row[];
  const rowOf = async (name: string) => (await rows()).find((row) => row.name === name);
  const make = (name: string, address: string) =>
    lab.wire(
      { namespace: lan, interface: `${name}p`, addresses: [] },
      { namespace: inside, interface: name, addresses: [`${address}/24`] },
    );
  /** How many of twenty datagrams reach a program on the device. */
  const arrive = async (name: string, address: string): Promise<number> => {
    const before = await listener.count();
    const to = { destinationMac: inside.macOf(name), fromPort: 9, toPort: 5001 };
    send(lab, {
      from: lan,
      interface: `${name}p`,
      frames: [udpFrame({ ...to, from: address.replace(/\.1$/, '.9'), to: address })],
      loop: 20,
    });
    return (await listener.count()) - before;
  };
  const attached = (name: string) =>
    waitFor(
      async () => {
        const row = await rowOf(name);
        return row !== undefined && row.hooks.length === 2 && row;
      },
      { what: `${name} to be attached`, withinMs: 10_000, everyMs: 50 },
    );

  await t.test('one that comes is judged', async (t) => {
    make('late0', '203.0.113.1');
    const row = await attached('late0');
    t.match(row, {
      zone: 'edge/late',
      leftOut: null,
      hooks: ['xdp_ingress late0 native', 'tc_egress late0 tcx'],
    });
    const before = (await ruleHits(site, 'edge/seen')) ?? 0;
    await waitFor(async () => (await arrive('late0', '203.0.113.1')) === 20, {
      what: 'its packets to pass',
      withinMs: 10_000,
      everyMs: 100,
    });
    t.ok(((await ruleHits(site, 'edge/seen')) ?? 0) - before >= 20);
  });

  await t.test('IPsec by policy alone is stated, as it comes and goes', async (t) => {
    const told = async (state: string) => {
      const rows = (await device.json(['query', 'rules'])) as { id: string; state: string; why?: string }[];
      return rows.find((row) => row.id === 'edge/shut' && row.state === state);
    };
    const ends = ['src', '10.1.0.0/16', 'dst', '10.2.0.0/16', 'dir', 'in'];
    const template = ['tmpl', 'src', '192.0.2.1', 'dst', '192.0.2.2', 'proto', 'esp', 'mode', 'tunnel'];
    inside.run('ip', ['xfrm', 'policy', 'add', ...ends, ...template]);
    const row = await waitFor(() => told('degraded'), {
      what: 'it to be said',
      withinMs: 5000,
      everyMs: 100,
    });
    t.match(row.why, /packets inside IPsec are not judged/);
    inside.run('ip', ['xfrm', 'policy', 'flush']);
    t.ok(await waitFor(() => told('enforced'), { what: 'no more of it', withinMs: 5000, everyMs: 100 }));
  });

  await t.test('without an agent, what comes passes nothing and what was there goes on', async (t) => {
    await device.kill('SIGKILL');
    make('late1', '203.0.114.1');
    t.equal(await arrive('late1', '203.0.114.1'), 0);
    t.equal(await arrive('late0', '203.0.113.1'), 20);
    await startAgain(site);
    await attached('late1');
    t.equal(await arrive('late1', '203.0.114.1'), 20);
    t.equal(await arrive('late0', '203.0.113.1'), 20);
  });

  await t.test('one that comes again under its name is another one', async (t) => {
    device.program.kill('SIGSTOP');
    inside.run('ip', ['link', 'del', 'late0']);
    make('late0', '203.0.113.1');
    t.equal(await arrive('late0', '203.0.113.1'), 0, 'the agent sleeps');
    device.program.kill('SIGCONT');
    await waitFor(async () => (await arrive('late0', '203.0.113.1')) === 20, {
      what: 'it to be judged',
      withinMs: 10_000,
      everyMs: 50,
    });
  });

  await t.test('taken out, nothing is stopped', async (t) => {
    await device.kill('SIGTERM');
    t.equal((await device.cli(['unload', '--yes'])).code, 0);
    make('late2', '203.0.115.1');
    t.equal(await arrive('late2', '203.0.115.1'), 20);
  });
});
