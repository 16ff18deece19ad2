// Goal: SYN cookies are what the device says of them, and are given out without the agent as with it.
// Method: a whole site with the executables of dist/; a neighbour that floods and visits at once, before the agent is
// killed, while it is dead, and after it adopted what it finds.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Visited } from '../bpf/cookie-client.ts';
import { executablesMissing } from '../lab/executables.ts';
import { tcpFlag, tcpFrame } from '../lab/frame.ts';
import { Guard } from '../lab/guard.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { sentTo } from '../lab/pcap.ts';
import { addresses, openSite, publishAndSettle, startAgain } from '../lab/site.ts';
import { sendOn } from '../lab/wire.ts';

t.setTimeout(200_000);
const skip = labMissing() || executablesMissing();
const port = 7080;
const id = 'edge/wan:syn-cookies';

const policy = `
apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: edge }
spec:
  mode: enforce
  zones:
    wan: { interfaces: [wan0] }
  ingress:
    - zone: wan
      default: allow
      rules:
        - { id: web, protocol: tcp, ports: { to: ${port} }, action: allow }
      synCookies: { above: 1/h }
  egress: []
`;

t.test('SYN cookies on a device', { skip, timeout: 190_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const { device, inside, wan } = site;
  inside.set('net/ipv4/tcp_syncookies', '2');
  // A veth takes what XDP sends only where its own end has a program as well.
  await (await Guard.open(lab, wan)).attach([{ interface: 'up0', at: 'xdp' }]);
  const beside = join(import.meta.dirname, '../bpf');
  const argv = [process.execPath, join(beside, 'cookie-server.ts'), `${port}`];
  await lab.start('server', { argv, namespace: inside }).line(/^ready/, 10_000);
  const file = join(lab.dir, 'edge.yaml');
  writeFileSync(file, policy);
  const reported = await publishAndSettle(site, { files: [file], trialSeconds: 10 });
  t.equal(reported.assignment?.result, 'confirmed', JSON.stringify(reported.assignment));

  const frames = Array.from({ length: 2000 }, (_, at) =>
    tcpFrame({
      from: `198.18.${at >> 8}.${at & 255}`,
      to: addresses.device,
      fromPort: 1024 + at,
      toPort: port,
      flags: tcpFlag.syn,
    }),
  );
  const visits = Array.from({ length: 3 }, () => ({ address: addresses.device, port, bytes: 100_000 }));
  const visitInFlood = async (): Promise<readonly string[]> => {
    const sender = sendOn(lab, {
      from: wan,
      interface: 'up0',
      frames: sentTo(inside.macOf('wan0'), frames),
      packetsPerSecond: 1000,
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    const said = wan.run(process.execPath, [join(beside, 'cookie-client.ts'), JSON.stringify(visits)]);
    await sender.stop('SIGTERM', 2000);
    return (JSON.parse(said) as readonly Visited[]).map(({ ended }) => ended);
  };
  const all = visits.map(() => 'all');
  const status = async () => {
    const row = (await device.json(['status'])) as {
      programs: string;
      totals: Record<string, number>;
    };
    return { programs: row.programs, good: row.totals.COOKIES_GOOD, sent: row.totals.COOKIES_SENT ?? 0 };
  };
  const cookieRule = async () => {
    const rows = (await device.json(['query', 'rules'])) as readonly { readonly id: string }[];
    return rows.find((row) => row.id === id);
  };

  await t.test('are given out, counted and told', async (t) => {
    t.strictSame(await visitInFlood(), all);
    const { good, sent } = await status();
    t.equal(good, 3);
    t.ok(sent > 300, `${sent} sent`);
    const rule = await cookieRule();
    t.match(rule, { state: 'enforced', hits: sent, limited: 0 });
  });

  await t.test('are degraded where the kernel gives them late or never', async (t) => {
    inside.set('net/ipv4/tcp_syncookies', '1');
    t.match(await cookieRule(), { state: 'degraded', why: /tcp_syncookies is 1/ });
    inside.set('net/ipv4/tcp_syncookies', '0');
    t.match(await cookieRule(), { state: 'degraded', why: /a limit per source holds instead/ });
    inside.set('net/ipv4/tcp_syncookies', '2');
    t.match(await cookieRule(), { state: 'enforced' });
  });

  await t.test('without the agent, and by the one that adopts what it finds', async (t) => {
    await device.kill('SIGKILL');
    t.strictSame(await visitInFlood(), all);
    await startAgain(site);
    t.match(await status(), { programs: 'adopted', good: 6 });
    t.strictSame(await visitInFlood(), all);
    t.match(await status(), { good: 9 });
  });
});
