// Goal: on the kernels that devices have, a flood of SYNs is answered with cookies as here.
// Method: Debian's kernels in an emulator; frames through the live programs under BPF_PROG_TEST_RUN in the guest, to a
// socket that listens there (guest/answer-syns.ts), read here. Whether clients live through a flood is tested in
// test/bpf/cookies.test.ts.

import t from 'tap';
import { z } from 'zod';
import { readAnswer } from '../bpf/read-answer.ts';
import { guestMissing } from './guest.ts';
import { guestPrograms, programMissing, told } from './guest-programs.ts';
import { kernelNames } from './kernels.ts';
import { bootFor, playIn } from './play.ts';

t.setTimeout(600_000);

const shaken = z.strictObject({
  at: z.enum(['xdp', 'ingress']),
  family: z.enum(['ipv4', 'ipv6']),
  verdict: z.number(),
  answer: z.string(),
  bad: z.number(),
  good: z.number(),
});
const limited = z.strictObject({
  limited: z.array(z.number()),
  totals: z.record(z.string(), z.number()),
});
/** XDP_TX, XDP_DROP, XDP_PASS; TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC. */
const actions = {
  xdp: { answered: 3, dropped: 1, passed: 2 },
  ingress: { answered: 7, dropped: 2, passed: 0xffffffff },
} as const;

for (const name of kernelNames) {
  t.test(`Debian's ${name}`, { skip: programMissing() || guestMissing(name) }, async (t) => {
    const guest = await bootFor(t, name, await guestPrograms('answer-syns'));
    const result = await playIn(t, guest, 'answer-syns', 300_000);
    const all = told(result, z.union([shaken, limited]));
    const shakes = all.filter((one) => 'at' in one);
    t.equal(shakes.length, 4);
    for (const { at, family, verdict, answer, bad, good } of shakes) {
      const { answered, dropped, passed } = actions[at];
      const way = `${at}, ${family}`;
      t.equal(verdict, answered, `${way}: answered`);
      const said = readAnswer(Buffer.from(answer, 'hex'));
      t.same(said.wrongChecksums, [], way);
      t.match(said.tcp, { flags: 0x12, acknowledgement: 101, options: /^0204/ }, way);
      t.equal(bad >>> 0, dropped, `${way}: without the cookie`);
      t.equal(good >>> 0, passed, `${way}: with it`);
    }
    const last = all.find((one) => 'limited' in one);
    const { dropped, passed } = actions.xdp;
    t.same(last?.limited, [...new Array<number>(5).fill(passed), dropped, dropped], 'no cookie: a limit');
    t.match(last?.totals, { COOKIES_SENT: 4, COOKIES_GOOD: 4, COOKIES_BAD: 4 });
  });
}
