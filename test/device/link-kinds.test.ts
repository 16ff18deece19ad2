// Goal: packets of VLANs, of a VLAN in a VLAN and of a bond are judged once, by the zone of the interface they belong
// to, with tc by clsact and by TCX.
// Method: the oldest and the newest of the guests' kernels; guest/link-kinds.ts sends and counts inside.

import t from 'tap';
import * as z from 'zod';
import { Guest, guestMissing } from './guest.ts';
import { guestPrograms, programMissing, told } from './guest-programs.ts';

t.setTimeout(600_000);

const said = z.union([
  z.strictObject({ hooks: z.array(z.string()), leftOut: z.array(z.string()) }),
  z.strictObject({
    zone: z.string(),
    arrived: z.number(),
    left: z.number(),
    hits: z.record(z.string(), z.number()),
  }),
]);

for (const [name, tc] of [
  ['5.10', 'clsact'],
  ['6.12', 'tcx'],
] as const) {
  t.test(`Debian's ${name}`, { skip: programMissing() || guestMissing(name) }, async (t) => {
    const guest = await Guest.boot(name, await guestPrograms('link-kinds', 'peer'));
    t.teardown(async () => {
      const console = await guest.close({ failed: !t.passing() });
      if (console !== null) t.comment(`the guest's console: ${console}`);
    });
    const result = await guest.run('node /husk/build/link-kinds.cjs', 200_000);
    t.equal(result.status, 0, 'all is played', { said: result.lines.slice(-20) });
    const [attached, ...lots] = told(result, said);
    t.strictSame(attached, {
      hooks: [
        `made tc_ingress hk0 ${tc}: the card takes off the tags of VLANs with zones of their own`,
        `made tc_egress hk0 ${tc}`,
        `made tc_ingress hk0.5 ${tc}: a vlan has no driver to run XDP`,
        `made tc_egress hk0.5 ${tc}`,
        `made tc_ingress hk0.5.7 ${tc}: a vlan has no driver to run XDP`,
        `made tc_egress hk0.5.7 ${tc}`,
        `made tc_ingress agg0 ${tc}: XDP of a bond runs on its ports`,
        `made tc_egress agg0 ${tc}`,
      ],
      leftOut: ['hb0'],
    });
    t.strictSame(
      lots,
      ['parent', 'vlan', 'inner', 'bond'].map((zone) => ({
        zone,
        arrived: 20,
        left: 20,
        hits: { [`p/${zone}-in`]: 20, [`p/${zone}-out`]: 20 },
      })),
    );
  });
}
