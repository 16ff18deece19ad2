// Goal: whoever asks a device why a packet was dropped is told: live by `husk-agent trace`, afterwards by the views
// `drops` and `connections`, on the device and from afar alike.
// Method: a whole site with the executables of dist/, and real packets of several kinds while somebody traces.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { addresses, openSite, publishAndSettle } from '../lab/site.ts';
import type { Answer } from '../lab/system.ts';
import { waitFor } from '../lab/wait-for.ts';
import { say, serve } from './router.ts';

t.setTimeout(200_000);
const skip = labMissing() || executablesMissing();
const ports = { open: 5001, shut: 5002, rejected: 5003 } as const;

const policy = `
apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: edge }
spec:
  mode: enforce
  zones:
    wan: { interfaces: [wan0] }
    lan: { interfaces: [lan0] }
  ingress:
    - zone: wan
      default: allow
      rules:
        - { id: open, state: [new], protocol: udp, ports: { to: ${ports.open} }, action: allow }
        - { id: shut, protocol: udp, ports: { to: ${ports.shut} }, action: drop }
        - { id: rejected, protocol: tcp, ports: { to: ${ports.rejected} }, action: reject }
  egress: []
`;

interface Traced {
  readonly verdict: string;
  readonly rule: string | null;
  readonly interface: string;
  readonly from: string;
  readonly to: string;
  readonly fromPort: number;
  readonly toPort: number;
  readonly protocol: number;
  readonly state?: string;
  readonly data?: string;
}

const rowsOf = ({ out }: Answer) =>
  out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Traced);

t.test('why was this dropped?', { skip, timeout: 190_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const { device, inside, wan } = site;
  const file = join(lab.dir, 'edge.yaml');
  writeFileSync(file, policy);
  const reported = await publishAndSettle(site, { files: [file], trialSeconds: 10 });
  t.equal(reported.assignment?.result, 'confirmed', JSON.stringify(reported.assignment));
  await serve(lab, inside, [ports.open, ports.shut]);

  /** One packet of each kind, from the neighbour and the attacker. */
  const speak = async (): Promise<void> => {
    const { device: to, neighbour, attacker } = addresses;
    await Promise.all([
      say(wan, 'udp', to, ports.open, neighbour),
      say(wan, 'udp', to, ports.shut, neighbour),
      say(wan, 'udp', to, ports.shut, attacker),
      say(wan, 'tcp', to, ports.rejected, neighbour),
    ]);
  };
  /** What a trace says while all kinds of packets come, until it ends by itself. */
  const trace = async (...args: readonly string[]): Promise<Answer> => {
    const answer = device.cli(['trace', ...args], 30_000);
    let ended = false;
    const done = answer.finally(() => {
      ended = true;
    });
    while (!ended) await Promise.race([done, speak()]);
    return answer;
  };

  await t.test('by address, ended by its count', async (t) => {
    const answer = await trace('--address', `${addresses.attacker}/32`, '--count', '2', '--json');
    t.equal(answer.code, 0, answer.complaint);
    const rows = rowsOf(answer);
    t.equal(rows.length, 2);
    for (const row of rows) {
      t.match(row, {
        verdict: 'drop',
        rule: 'edge/shut',
        reason: 'rule',
        hook: 'xdp_ingress',
        interface: 'wan0',
        from: addresses.attacker,
        to: addresses.device,
        toPort: ports.shut,
        protocol: 17,
        state: 'new',
      });
      t.match(row.data, Buffer.from('question').toString('hex'), 'the first bytes of it');
    }
  });

  await t.test('what was stopped, ended by its time', async (t) => {
    const begun = performance.now();
    const answer = await trace('--stopped', '--interface', 'wan0', '--seconds', '3', '--json');
    t.equal(answer.code, 0, answer.complaint);
    t.ok(performance.now() - begun < 10_000);
    const rows = rowsOf(answer);
    const stopped = new Set(rows.map(({ verdict, rule }) => `${verdict} ${rule}`));
    t.same([...stopped].toSorted(), ['drop edge/shut', 'reject edge/rejected']);
    t.same([...new Set(rows.map((row) => row.interface))], ['wan0']);
  });

  await t.test('by port and protocol, both ways, in words', async (t) => {
    const answer = await trace('--port', String(ports.open), '--protocol', 'udp', '--count', '4');
    t.equal(answer.code, 0, answer.complaint);
    const lines = answer.out.trimEnd().split('\n');
    t.equal(lines.length, 4);
    const [neighbour, own] = [addresses.neighbour, addresses.device].map((one) => one.replaceAll('.', '\\.'));
    const [asked, answered] = [
      new RegExp(`^allow +in +wan0 +udp ${neighbour}:\\d+ → ${own}:${ports.open} by edge/open \\(new\\)$`),
      new RegExp(`^allow +out wan0 +udp ${own}:${ports.open} → ${neighbour}:\\d+ by .* \\(established\\)$`),
    ];
    t.ok(
      lines.every((line) => asked?.test(line) || answered?.test(line)),
      lines.join('\n'),
    );
    t.ok(lines.some((line) => asked?.test(line)) && lines.some((line) => answered?.test(line)));
  });

  await t.test('one at a time; what a killed one left is not shown to the next', async (t) => {
    const first = lab.start('tracer', { argv: device.command('trace', '--json'), namespace: inside });
    const isTracing = async (): Promise<boolean> => {
      await speak();
      return first.output().includes('edge/open');
    };
    await waitFor(isTracing, { what: 'the first to trace', withinMs: 15_000 });
    t.match(await device.cli(['trace', '--count', '1']), { code: 1, complaint: /somebody else is tracing/ });
    await first.stop('SIGKILL');
    await speak();
    const next = await waitFor(
      async () => {
        const answer = await device.cli(['trace', '--seconds', '1', '--json', '--address', '192.0.2.99']);
        return answer.code === 0 && answer;
      },
      { what: 'tracing to have ended by itself', withinMs: 12_000, everyMs: 300 },
    );
    t.equal(next.out, '');
    const second = await trace('--count', '1', '--json', '--protocol', '6', '--port', String(ports.rejected));
    t.match(rowsOf(second), [{ rule: 'edge/rejected', protocol: 6 }]);
  });

  await t.test('what cannot be asked is said', async (t) => {
    t.match(await device.cli(['trace', '--address', 'nowhere']), {
      code: 2,
      complaint: /"nowhere" is not an/,
    });
    t.match(await device.cli(['trace', '--interface', 'none9']), { code: 1, complaint: /no such interface/ });
    t.match(await device.cli(['trace', '--protocol', 'xyz']), { code: 2, complaint: /'xyz' is invalid/ });
    t.equal((await device.cli(['trace', '--port', '70000'])).code, 2);
  });

  await t.test('afterwards: drops, on the device and from afar', async (t) => {
    await speak();
    for (const ask of [
      async () => (await device.json(['query', 'drops'])) as readonly Record<string, unknown>[],
      async () => (await site.controller.query(site.id, 'drops')) as readonly Record<string, unknown>[],
    ]) {
      const shut = await waitFor(async () => (await ask()).find(({ rule }) => rule === 'edge/shut'), {
        what: 'the drop to be told',
        withinMs: 8000,
        everyMs: 200,
      });
      t.match(shut, {
        verdict: 'drop',
        mode: 'enforce',
        reason: 'rule',
        interface: 'wan0',
        zone: 'edge/wan',
        toPort: ports.shut,
        protocol: 17,
        state: 'new',
      });
      t.ok(Number(shut.packets) >= 2);
      t.ok(Number(shut.sinceSeconds) >= Number(shut.lastSeconds) && Number(shut.sinceSeconds) < 190);
      t.match(String(shut.data), Buffer.from('question').toString('hex'));
      t.match(
        (await ask()).find(({ rule }) => rule === 'edge/rejected'),
        { verdict: 'reject', zone: 'edge/wan', protocol: 6 },
      );
    }
  });

  await t.test('and connections, by what is asked of them', async (t) => {
    await say(wan, 'udp', addresses.device, ports.open, addresses.neighbour);
    const near = await device.json([
      'query',
      'connections',
      '--port',
      String(ports.open),
      '--protocol',
      'udp',
    ]);
    const far = await site.controller.query(site.id, 'connections', [`port=${ports.open}`, 'protocol=17']);
    for (const rows of [near, far] as const) {
      const [row] = rows as readonly Record<string, unknown>[];
      t.match(row, {
        from: { address: addresses.neighbour },
        to: { address: addresses.device, port: ports.open },
        interface: 'wan0',
        hook: 'ingress',
        toDevice: true,
        replied: true,
      });
    }
    t.same(await device.json(['query', 'connections', '--port', '4242']), []);
    t.equal((await device.cli(['query', 'connections', '--protocol', 'xyz'])).code, 2);
  });

  await t.test('what the policy takes is stated', async (t) => {
    const status = (await device.json(['status'])) as { kernelMemory: Record<string, number> };
    const { tables = 0, total = 0, ceiling = 0 } = status.kernelMemory;
    t.ok(tables > 0 && total > 2 * tables && ceiling >= total, JSON.stringify(status.kernelMemory));
  });
});
