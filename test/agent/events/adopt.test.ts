// Goal: what an earlier run left behind is looked after without a new event: acknowledged files go.
// Method: a folder whose acknowledged segments are still there is opened, and only the clock moves.

import { readdirSync } from 'node:fs';
import t from 'tap';
import { waitFor } from '../../lab/wait-for.ts';
import { audit, openSpool, spoolFolder } from './lab.ts';

t.test('acknowledged segments of an earlier run go without an append', async (t) => {
  const folder = spoolFolder(t);
  const first = openSpool(folder);
  for (let n = 1; n <= 3; n++) first.spool.append('audit', audit(n));
  first.spool.acknowledge('audit', 3);
  await first.spool.close();
  const segments = () => readdirSync(folder).filter((name) => name.endsWith('.spool')).length;
  t.equal(segments(), 1, 'the newest stays for the tail');

  const { spool, clock } = openSpool(folder);
  t.teardown(() => spool.close());
  await clock.advance(1000);
  await t.resolves(waitFor(() => segments() === 0, { what: 'the file to go', withinMs: 5000, everyMs: 10 }));
});
