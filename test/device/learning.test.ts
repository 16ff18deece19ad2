// Goal: what a service does is learnt in the kernel, a policy made of it lets the service go on and denies what it never
// did, and a policy in shadow decides nothing while its differences are kept.
// Method: Debian's 6.12 in an emulator; the agent's own code and the fleet's in it (guest/learning.ts), what they tell is
// held against what the service does.

import t from 'tap';
import { z } from 'zod';
import { Guest, guestMissing } from './guest.ts';
import { guestPrograms, programMissing, told } from './guest-programs.ts';

t.setTimeout(900_000);

const row = z.looseObject({ operation: z.string(), count: z.number(), path: z.string().nullish() });
const opened = z.strictObject({ tier: z.string().nullable(), why: z.string() });
const learnt = z.strictObject({ rows: z.array(row), lost: z.number() });
const proposed = z.strictObject({ proposal: z.unknown(), leftOut: z.array(z.unknown()), unread: z.number() });
const step = z.strictObject({ step: z.string(), said: z.array(z.string()) });
const tried = z.strictObject({ what: z.string(), said: z.string() });
const compared = z.strictObject({ dropped: z.boolean().optional(), differences: z.array(row) });

const skip = programMissing() || guestMissing('6.12');
t.test('a service is learnt, held to what it did, and watched in shadow', { skip }, async (t) => {
  const guest = await Guest.boot('6.12', await guestPrograms('learning'));
  t.teardown(async () => {
    await guest.close({ failed: !t.passing() });
  });
  const result = await guest.run('node /husk/build/learning.cjs', 300_000);
  t.equal(result.status, 0, 'all is tried', { said: result.lines.slice(-20) });
  const lines = told(result, z.union([opened, learnt, proposed, step, tried, compared]));

  t.match(
    lines.find((line) => 'tier' in line),
    { tier: 'A', why: '' },
  );
  const { rows, lost } = lines.find((line) => 'rows' in line) ?? { rows: [], lost: -1 };
  t.equal(lost, 0);
  const of = (operation: string) => rows.filter((one) => one.operation === operation);
  t.match(
    of('exec').filter((one) => one.path === '/srv/helper/true'),
    [{ policy: 'stubd', count: 1, startedAs: 'true' }],
    'a program, by where it is',
  );
  t.ok(
    of('exec').some((one) => one.startedAs === 'cat' && one.applet === true),
    'an applet, by its name',
  );
  t.match(
    of('create').filter((one) => one.path?.startsWith('/var/stubd') === true && one.folder !== true),
    Array.from({ length: 16 }, () => ({ count: 1 })),
    'files of a folder by name, until there are many',
  );
  t.match(
    of('create').filter((one) => one.folder === true),
    [{ path: '/var/stubd', count: 4 }],
    'then the folder',
  );
  t.ok(
    of('connect').some((one) => one.address === '127.0.0.1' && one.port === 9 && one.protocol === 'tcp'),
    'a peer',
  );

  const said = (name: string) =>
    lines.flatMap((line) => ('step' in line && line.step === name ? line.said : []));
  t.match(lines.find((line) => 'proposal' in line)?.unread, 0);
  t.same(said('proposal'), said('learning'), 'the service goes on as before', {
    proposal: lines.find((line) => 'proposal' in line),
  });
  // It may not read the file of the module either, and says of that what it makes of it.
  const refused = /not permitted|permission denied|no such module/i;
  const attacks = lines.filter((line) => 'what' in line);
  t.equal(attacks.length, 7);
  for (const { what, said } of attacks) t.match(said, refused, what);

  t.same(said('shadow'), said('learning'), 'a policy in shadow decides nothing');
  const [during, after] = lines.filter((line) => 'differences' in line);
  const byRule = (name: string) => during?.differences.filter((one) => one.shadowRule === name) ?? [];
  t.match(
    byRule('candidate/no-helper').filter(({ operation }) => operation === 'exec'),
    [{ live: 'allow', shadow: 'deny', operation: 'exec', path: '/srv/helper/true', count: 1 }],
  );
  t.match(byRule('candidate/no-loopback'), [
    { live: 'allow', shadow: 'deny', operation: 'connect', address: '127.0.0.1', port: 9 },
  ]);
  t.ok(
    during?.differences.some(
      (one) => one.live === 'deny' && one.shadow === 'allow' && one.path === '/etc/passwd',
    ),
    'what it would allow is a difference as well',
  );
  t.match(after, { dropped: true });
  t.same(
    after?.differences.map(({ count }) => count),
    during?.differences.map(({ count }) => count),
    'once dropped, nothing is compared',
  );
});
