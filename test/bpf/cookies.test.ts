// Goal: a flood of SYNs with made-up sources takes nothing from those who are real: they connect through cookies and
// move data, the table of connections does not fill, and an ACK without a cookie opens nothing.
// Method: a client, which is the attacker too, and a device with the live programs and a real server, on a veth with
// XDP on both ends. The client's and the server's kernels check checksums, sequence numbers and cookies.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { compileC, gccMissing } from '../lab/compile-c.ts';
import { tcpFlag, tcpFrame } from '../lab/frame.ts';
import { Guard, type GuardHook } from '../lab/guard.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { send, sendOn } from '../lab/wire.ts';
import type { Visit, Visited } from './cookie-client.ts';
import { programsMissing } from './lab.ts';

t.setTimeout(180_000);

const port = 7080;
const own = ['10.72.1.1', 'fd72:1::1'] as const;
/** Above it, by far: what a flood sends a second, and for how long at the most. */
const floodPerSecond = 2000;
const floodFrames = 4000;

interface Site {
  readonly lab: Lab;
  readonly guard: Guard;
  readonly near: Namespace;
  readonly device: Namespace;
  attach(hook: GuardHook): Promise<void>;
}

async function openSite(t: Test, { syncookies = 2, backlog = 511 } = {}): Promise<Site> {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const [near, device] = [lab.namespace('near'), lab.namespace('device')];
  lab.wire(
    { namespace: near, interface: 'hckn', addresses: ['10.72.1.2/24', 'fd72:1::2/64'] },
    { namespace: device, interface: 'hckd', addresses: [`${own[0]}/24`, `${own[1]}/64`] },
  );
  device.run('ip', ['route', 'add', 'default', 'via', '10.72.1.2']);
  device.run('ip', ['-6', 'route', 'add', 'default', 'via', 'fd72:1::2']);
  device.set('net/ipv4/tcp_syncookies', String(syncookies));
  const server = lab.start('server', {
    argv: [process.execPath, join(import.meta.dirname, 'cookie-server.ts'), `${port}`, `${backlog}`],
    namespace: device,
  });
  await server.line(/^ready/, 10_000);
  const guard = await Guard.open(lab, device);
  const peer = await Guard.open(lab, near);
  return {
    lab,
    guard,
    near,
    device,
    async attach(hook) {
      const egress: GuardHook = { interface: hook.interface, at: 'egress' };
      await guard.attach([hook, egress]);
      // A veth takes what XDP sends only where its own end has a program as well.
      await peer.attach(hook.at === 'xdp' && !hook.mode ? [{ interface: 'hckn', at: 'xdp' }] : []);
    },
  };
}

interface PolicyOptions {
  readonly mode?: 'enforce' | 'monitor';
  readonly tcp?: 'strict' | 'loose';
  readonly limit?: unknown;
  /** Buckets are kept by it. */
  readonly name?: string;
}

/** Five SYNs, and then one an hour: whether a SYN is above the rate is no matter of luck. */
const above = '1/h';

/** What is answered, what is for the device, and what goes through; all else is dropped, both ways. */
function policy({ mode = 'enforce', tcp = 'strict', limit, name = 'plain' }: PolicyOptions = {}): unknown {
  const replies = { id: 'replies', state: ['established', 'related'], action: 'allow' };
  return {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: `flooded-${plainName(name)}` },
    spec: {
      mode,
      zones: { wan: { interfaces: ['hckd'] } },
      connections: { tcp },
      ingress: [
        {
          zone: 'wan',
          default: 'drop',
          rules: [
            replies,
            {
              id: `web-${plainName(name)}`,
              protocol: 'tcp',
              ports: { to: `${port}-${port + 1}` },
              state: 'new',
              action: 'allow',
              ...(limit === undefined ? {} : { limit }),
            },
          ],
          synCookies: { above },
        },
      ],
      egress: [{ zone: 'wan', default: 'drop', rules: [replies] }],
    },
  };
}

const plainName = (name: string) => name.toLowerCase().replaceAll(/[^a-z]+/g, '-');
const rule = /^flooded-[a-z-]+\/wan:syn-cookies$/;

interface FloodOptions {
  readonly flags?: number;
  readonly to?: readonly [string, string];
  readonly toPort?: number;
  readonly options?: Uint8Array;
  /** Default: each frame has its own. */
  readonly sources?: number;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let floods = 0;

/** Frames, each from another address and port, one half of them IPv6; no two floods have a packet in common. */
function flood(site: Site, frames = floodFrames, options: FloodOptions = {}): readonly Uint8Array[] {
  const { flags = tcpFlag.syn, to = own, toPort = port, sources = frames, ...rest } = options;
  const firstPort = 1024 + (floods++ % 16) * floodFrames;
  const macs = { sourceMac: site.near.macOf('hckn'), destinationMac: site.device.macOf('hckd') };
  return Array.from({ length: frames }, (_, at) => {
    const [high, low] = [((at % sources) >> 8) & 255, (at % sources) & 255];
    const six = at % 2 === 1;
    return tcpFrame({
      ...macs,
      from: six ? `2001:db8:${high}:${low}::1` : `198.18.${high}.${low}`,
      to: to[six ? 1 : 0],
      fromPort: firstPort + at,
      toPort,
      flags,
      sequence: at * 7919,
      ...rest,
    });
  });
}

function visit(site: Site, visits: readonly Visit[]): readonly Visited[] {
  const program = join(import.meta.dirname, 'cookie-client.ts');
  return JSON.parse(
    site.near.run(process.execPath, [program, JSON.stringify(visits)], { timeoutMs: 120_000 }),
  );
}

const visits = (bytes = 300_000): readonly Visit[] =>
  [...own, ...own].map((address) => ({ address, port, bytes }));
const ended = (visited: readonly Visited[]) => visited.map((one) => one.ended);
const all = visits().map(() => 'all');

interface Seen {
  readonly sent: number;
  readonly good: number;
  readonly bad: number;
  /** SYNs above the rate, and those of them that were dropped. */
  readonly above: number;
  readonly limited: number;
  readonly opened: number;
}

async function see(site: Site): Promise<Seen> {
  const totals = await site.guard.totals();
  const { rules, connections } = await site.guard.counts();
  const cookieRules = Object.entries(rules).filter(([id]) => rule.test(id));
  const sum = (of: 'hits' | 'limited') => cookieRules.reduce((total, [, one]) => total + one[of], 0);
  return {
    sent: totals.COOKIES_SENT ?? 0,
    good: totals.COOKIES_GOOD ?? 0,
    bad: totals.COOKIES_BAD ?? 0,
    above: sum('hits'),
    limited: sum('limited'),
    opened: connections.OPENED ?? 0,
  };
}

async function during<T>(site: Site, what: () => T | Promise<T>): Promise<{ result: T; seen: Seen }> {
  const before = await see(site);
  const result = await what();
  await pause(100); // a veth takes its time
  const after = await see(site);
  const names = Object.keys(before) as (keyof Seen)[];
  const seen = Object.fromEntries(names.map((name) => [name, after[name] - before[name]]));
  return { result, seen: seen as unknown as Seen };
}

const skip = labMissing() || programsMissing();

/** What happens while a flood goes on. */
async function inFlood<T>(
  site: Site,
  frames: readonly Uint8Array[],
  what: () => T | Promise<T>,
): Promise<{ result: T; seen: Seen }> {
  return during(site, async () => {
    const sender = sendOn(site.lab, {
      from: site.near,
      interface: 'hckn',
      frames,
      packetsPerSecond: floodPerSecond,
    });
    await pause(500); // what is within the rate is used up
    const result = await what();
    await sender.stop('SIGTERM', 2000);
    return result;
  });
}

const native: GuardHook = { interface: 'hckd', at: 'xdp' };
const ways: readonly (readonly [string, GuardHook])[] = [
  ['XDP, native', native],
  ['XDP, generic', { ...native, mode: 'generic' }],
  ['tc', { interface: 'hckd', at: 'ingress' }],
];

t.test('who is real connects during a flood', { skip }, async (t) => {
  const site = await openSite(t);
  for (const [way, hook] of ways) {
    for (const tcp of ['strict', 'loose'] as const) {
      await t.test(`${way}, ${tcp}`, async (t) => {
        // Four visits and four more: all that the rule's own limit has for both addresses of the client.
        await site.guard.load(
          policy({ tcp, limit: { rate: '1/h', burst: 4, per: 'source' }, name: way + tcp }),
        );
        await site.attach(hook);
        const calm = await during(site, () => visit(site, visits()));
        t.strictSame(ended(calm.result), all, JSON.stringify(calm.result));
        t.match(calm.seen, { sent: 0, good: 0, bad: 0, above: 0, opened: visits().length }, 'below the rate');

        const { result, seen } = await inFlood(site, flood(site), () => visit(site, visits()));
        t.comment(JSON.stringify(seen));
        t.strictSame(ended(result), all, JSON.stringify(result));
        t.ok(seen.sent > 500, `cookies sent: ${seen.sent}`);
        t.equal(seen.sent, seen.above, 'each SYN above the rate has its answer');
        t.equal(seen.good, visits().length, 'as many good ACKs as connections');
        t.equal(seen.bad, 0);
        t.ok(seen.opened <= visits().length + 1, `and nothing else was opened: ${seen.opened}`);
      });
    }
  }

  await t.test('a port that was in use a moment ago', async (t) => {
    await site.guard.load(policy());
    await site.attach(native);
    const one = own.map((address) => ({ address, port, bytes: 1000, fromPort: 4001 }));
    t.strictSame(ended(visit(site, one)), ['all', 'all']);
    const { result, seen } = await inFlood(site, flood(site), () => visit(site, one));
    t.strictSame(ended(result), ['all', 'all']);
    t.equal(seen.good, 2);
  });

  await t.test('an ACK without a cookie opens nothing', async (t) => {
    const forged = flood(site, 200, { flags: tcpFlag.ack });
    const received = () => site.device.ipReceived();
    const { seen } = await inFlood(site, flood(site), async () => {
      const before = received();
      send(site.lab, { from: site.near, interface: 'hckn', frames: forged });
      await pause(200);
      t.ok(received() - before < forged.length / 2, 'the stack sees none of them');
    });
    t.equal(seen.bad, forged.length);
    t.equal(seen.good, 0);
    t.ok(seen.opened <= 1);
  });

  await t.test('what goes through, and what is for no listener, is not answered', async (t) => {
    await site.guard.load(policy({ name: 'through' }));
    const through = flood(site, 300, { to: ['10.99.0.1', '2001:db8:ffff::1'] });
    const passing = await during(site, () =>
      send(site.lab, { from: site.near, interface: 'hckn', frames: through }),
    );
    t.match(passing.seen, { sent: 0, above: 0 }, 'through');
    const closed = flood(site, 300, { toPort: port + 1 });
    const { seen } = await during(site, () =>
      send(site.lab, { from: site.near, interface: 'hckn', frames: closed }),
    );
    t.match(seen, { sent: 0, limited: 0 }, 'each of its own source, and so within the limit of that');
    t.ok(seen.above >= 290, `above the rate: ${seen.above}`);
  });

  await t.test('a SYN that asks for a signature is left to the kernel', async (t) => {
    await site.guard.load(policy({ name: 'signed' }));
    const options = {
      md5: [19, 18, ...new Array<number>(16).fill(7), 1, 1],
      plain: [1, 1, 2, 4, 5, 180, 1, 0],
    };
    const run = (list: readonly number[]) =>
      during(site, () =>
        send(site.lab, {
          from: site.near,
          interface: 'hckn',
          frames: flood(site, 100, { options: Buffer.from(list) }),
        }),
      );
    const plain = await run(options.plain);
    t.ok(plain.seen.sent >= 90, `without: ${plain.seen.sent}`);
    const signed = await run(options.md5);
    t.match(signed.seen, { sent: 0, above: 100 });
  });

  await t.test('in monitor mode it is counted and not answered', async (t) => {
    await site.guard.load(policy({ mode: 'monitor', name: 'watched' }));
    const { result, seen } = await inFlood(site, flood(site), () => visit(site, visits(1000)));
    t.ok(seen.above > 500, `above the rate: ${seen.above}`);
    t.match(seen, { sent: 0, good: 0, bad: 0, limited: 0 });
    t.ok(result);
  });
});

/** How many conversations a client has who asks once, and then goes on from the ports that he has. */
function replay(site: Site, how: 'syn' | 'ack', from: string): number {
  const program = compileC(join(import.meta.dirname, 'syn_replay.c'));
  const mac = Buffer.from(site.device.macOf('hckd')).toString('hex');
  const argv = ['hckn', mac, from, '4242', own[0], `${port}`, how, '4'];
  return Number(site.near.run(program, argv, { timeoutMs: 60_000 }));
}

t.test(
  'who has had a connection asks for the next as anybody else',
  { skip: skip || gccMissing() },
  async (t) => {
    const site = await openSite(t);
    const limit = (burst: number) => ({ limit: { rate: '1/h', burst, per: 'source' } });
    for (const [at, [way, hook]] of ways.entries()) {
      for (const tcp of ['strict', 'loose'] as const) {
        await t.test(`${way}, ${tcp}`, async (t) => {
          const from = (last: number) => `198.19.${at * 2 + (tcp === 'loose' ? 1 : 0)}.${last}`;
          await site.attach(hook);
          // Each SYN is within the rate, and the kernel's own cookies are no others.
          await site.guard.load(policy({ tcp, ...limit(9), name: `enough ${way + tcp}` }));
          for (const [last, how] of (['syn', 'ack'] as const).entries())
            t.equal(replay(site, how, from(last)), 5, `${how}: there are tokens for all of them`);
          await site.guard.load(policy({ tcp, ...limit(3), name: `few ${way + tcp}` }));
          // The ACK of a SYN that is of what ended before is held to be one that is brought again.
          t.equal(replay(site, 'syn', from(2)), 2, 'syn: as many as there are tokens');
          t.equal(replay(site, 'ack', from(3)), 3, 'ack: as many as there are tokens');
          // Above the rate, and so by a cookie of the program's.
          send(site.lab, { from: site.near, interface: 'hckn', frames: flood(site, 20) });
          const { result, seen } = await during(site, () => replay(site, 'ack', from(4)));
          t.equal(
            result,
            3,
            'by a cookie too: the SYN has a token, and each ACK that brings it again another',
          );
          t.equal(seen.sent, 1);
        });
      }
    }
  },
);

t.test('where the kernel gives cookies only under pressure', { skip }, async (t) => {
  const site = await openSite(t, { syncookies: 1, backlog: 64 });
  await site.guard.load(policy());
  await site.attach(native);
  const { result, seen } = await inFlood(site, flood(site), () => visit(site, visits()));
  t.comment(JSON.stringify(seen));
  t.strictSame(ended(result), all, JSON.stringify(result));
  t.ok(seen.sent > 500, `cookies sent: ${seen.sent}`);
  t.ok(seen.above > seen.sent, 'the first were let in, until the queue was full');
  t.ok(seen.good + 1 >= visits().length, `good ACKs: ${seen.good}`);
});

t.test('where the kernel gives none, each source has a limit', { skip }, async (t) => {
  const site = await openSite(t, { syncookies: 0 });
  await site.guard.load(policy());
  await site.attach(native);
  const { result, seen } = await inFlood(site, flood(site, floodFrames, { sources: 2 }), () =>
    visit(site, visits()),
  );
  t.comment(JSON.stringify(seen));
  t.strictSame(ended(result), all, JSON.stringify(result));
  t.match(seen, { sent: 0, good: 0, bad: 0 });
  t.ok(seen.limited > seen.above * 0.9, `dropped: ${seen.limited} of ${seen.above}`);
});
