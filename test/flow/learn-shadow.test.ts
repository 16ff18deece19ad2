// Goal: through the fleet, a service is learnt and its proposal is a policy of what it did; a candidate in shadow decides
// nothing, what it would decide otherwise is told, and a newer policy, or a stop, ends it.
// Method: a controller and a device of dist/ in namespaces; a service whose cgroup is the subject, since that is judged on every
// kernel; it sends to two ports, and what becomes of that is what the system says.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { addresses, openSite, publishAndSettle, startAgain } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';

t.setTimeout(300_000);
const skip = labMissing() || executablesMissing();

const policy = (name: string, mode: string, rules: readonly string[]) => `apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: ${name} }
spec:
  mode: ${mode}
  subject: { cgroup: service }
  rules: [${rules.join(', ')}]
`;

interface Shown {
  readonly devices: readonly {
    readonly status: {
      readonly judging: { readonly serial: number } | null;
      readonly assignment: { readonly state: string } | null;
    };
    readonly differences: readonly Readonly<Record<string, unknown>>[];
  }[];
}

t.test('learn and shadow', { skip, timeout: 290_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const { controller, device, id } = site;
  const folder = lab.folder('policy');
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const cgroup = device.serviceCgroup('service');
  const send = (...ports: readonly number[]): string => {
    const script = `
      const socket = require('node:dgram').createSocket('udp4');
      const to = (port) => new Promise((resolve) => {
        socket.send('x', port, '${addresses.neighbour}', (error) => resolve(error?.code ?? 'sent'));
      });
      (async () => { for (const port of [${ports.join()}]) console.log(await to(port)); socket.close(); })();`;
    const enter = 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"';
    return site.inside.run('/bin/sh', ['-c', enter, 'sh', cgroup, process.execPath, '-e', script]).trim();
  };
  const shown = async (): Promise<Shown['devices'][number]> => {
    const { code, out, complaint } = await controller.cli([
      'policy',
      'shadow',
      '--show',
      '--device',
      id,
      '--json',
    ]);
    if (code !== 0) throw new Error(complaint);
    const [one] = (JSON.parse(out) as Shown).devices;
    if (one === undefined) throw new Error(out);
    return one;
  };
  const until = (state: string) =>
    waitFor(
      async () => {
        const now = await shown();
        return now.status.assignment?.state === state && now;
      },
      { what: `the shadow to be ${state}`, withinMs: 30_000, everyMs: 300 },
    );

  await t.test('nothing is learnt where no policy says so', async (t) => {
    const said = await controller.cli(['policy', 'learn', '--all']);
    t.equal(said.code, 1);
    t.match(said.complaint, /learns nothing[\s\S]*publish a policy with mode: learn first/);
  });

  await t.test('what a service does is learnt, also by an agent that comes later', async (t) => {
    await publishAndSettle(site, {
      files: [file('learn.yaml', policy('svc', 'learn', []))],
      trialSeconds: 10,
    });
    t.equal(send(7001, 7001), 'sent\nsent');
    await startAgain(site);
    t.equal(send(7001), 'sent', 'and nothing is decided');
    const rows = await controller.query(id, 'profile');
    t.match(rows[0], { policy: 'svc', subject: { cgroup: 'service' }, lost: 0 });
    const connects = rows.filter((row) => (row as { operation?: string }).operation === 'connect');
    t.match(connects, [
      { policy: 'svc', address: addresses.neighbour, port: 7001, protocol: 'udp', count: 3 },
    ]);
  });

  let proposal = '';
  await t.test('the proposal says what it rests on, and has no fault', async (t) => {
    const said = await controller.cli(['policy', 'learn', '--device', id]);
    t.equal(said.code, 0, said.complaint);
    t.match(said.out, /Proposed from what 1 of 1 devices learnt/);
    t.match(said.out, /id: connect-1 # seen on 1 of 1/);
    proposal = file('proposal.yaml', said.out.replace('mode: monitor', 'mode: enforce'));
    t.equal((await controller.cli(['policy', 'check', proposal])).code, 0);
  });

  await t.test('enforced, it lets the service do that and nothing more', async (t) => {
    await publishAndSettle(site, { files: [proposal], trialSeconds: 10 });
    t.equal(send(7001, 7002), 'sent\nEPERM');
  });

  const candidate = file(
    'candidate.yaml',
    policy('next', 'enforce', ['{ id: no-7001, connect: { ports: 7001 }, action: deny }']),
  );
  await t.test('a candidate in shadow decides nothing, and its differences are told', async (t) => {
    const said = await controller.cli(['policy', 'shadow', candidate, '--device', id, '--json']);
    t.equal(said.code, 0, said.complaint);
    await until('judging');
    t.equal(send(7001, 7001, 7002), 'sent\nsent\nEPERM');
    const { differences } = await shown();
    t.match(
      differences.toSorted((a, b) => Number(a.port) - Number(b.port)),
      [
        {
          live: 'allow',
          shadow: 'deny',
          liveRule: 'svc-learnt/connect-1',
          shadowRule: 'next/no-7001',
          operation: 'connect',
          address: addresses.neighbour,
          port: 7001,
          count: 2,
        },
        { live: 'deny', shadow: 'allow', liveRule: 'svc-learnt/default-connect', port: 7002, count: 1 },
      ],
    );
    const words = await controller.cli(['policy', 'shadow', '--show', '--device', id]);
    t.match(words.out, /connect\s+allow by svc-learnt\/connect-1\s+deny by next\/no-7001/);
    const { reported } = await controller.device(id);
    t.equal(reported?.assignment?.result, 'confirmed', 'the policy in force is what it was');
  });

  await t.test('a restart of the agent finds it again', async (t) => {
    await startAgain(site);
    await until('judging');
    send(7001);
    t.match(
      (await shown()).differences.find((one) => one.port === 7001),
      { count: 3 },
    );
  });

  await t.test('it is stopped, and nothing is compared any more', async (t) => {
    t.equal((await controller.cli(['policy', 'shadow', '--stop', '--device', id])).code, 0);
    await until('stopped');
    send(7001);
    const { status, differences } = await shown();
    t.equal(status.judging, null);
    t.match(
      differences.find((one) => one.port === 7001),
      { count: 3 },
    );
  });

  await t.test('a newer policy takes its place', async (t) => {
    t.equal((await controller.cli(['policy', 'shadow', candidate, '--all'])).code, 0);
    await until('judging');
    await publishAndSettle(site, { files: [proposal], trialSeconds: 10 });
    t.equal((await shown()).status.judging, null);
    await until('over');
    t.equal(send(7001, 7002), 'sent\nEPERM');
  });

  await t.test('packets alone are no candidate, and ways are not mixed', async (t) => {
    const packets = file(
      'packets.yaml',
      'apiVersion: husk/v1\nkind: PacketPolicy\nmetadata: { name: p }\nspec:\n  mode: enforce\n  zones: { w: { interfaces: [wan0] } }\n  ingress: []\n  egress: []\n',
    );
    const said = await controller.cli(['policy', 'shadow', packets, '--all']);
    t.equal(said.code, 1);
    t.match(said.complaint, /packets are not judged in shadow/);
    t.equal((await controller.cli(['policy', 'shadow', packets, '--show'])).code, 2);
    t.equal((await controller.cli(['policy', 'shadow', '--stop'])).code, 2);
  });
});
