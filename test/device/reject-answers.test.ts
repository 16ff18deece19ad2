// Goal: on the kernels that devices have, a rejected packet becomes the answer that it becomes here.
// Method: Debian's kernels in an emulator; frames through the live programs under BPF_PROG_TEST_RUN in the guest
// (guest/answer-rejects.ts), read here. What each answer has to be in full is tested in test/bpf/reject-frames.test.ts.

import t from 'tap';
import { z } from 'zod';
import { readAnswer } from '../bpf/read-answer.ts';
import { guestMissing } from './guest.ts';
import { guestPrograms, programMissing, told } from './guest-programs.ts';
import { kernelNames } from './kernels.ts';
import { bootFor, playIn } from './play.ts';

t.setTimeout(600_000);

const ran = z.strictObject({
  at: z.enum(['xdp', 'ingress', 'egress']),
  asked: z.string(),
  verdict: z.number(),
  answer: z.string(),
});
/** XDP_TX, TC_ACT_REDIRECT. */
const answered = { xdp: 3, ingress: 7, egress: 7 } as const;

for (const name of kernelNames) {
  t.test(`Debian's ${name}`, { skip: programMissing() || guestMissing(name) }, async (t) => {
    const guest = await bootFor(t, name, await guestPrograms('answer-rejects'));
    const result = await playIn(t, guest, 'answer-rejects', 120_000);
    const all = told(result, ran);
    t.equal(all.length, 21);
    for (const { at, asked, verdict, answer } of all) {
      t.equal(verdict, answered[at], `${at}: ${asked.slice(0, 100)}`);
      const said = readAnswer(Buffer.from(answer, 'hex'));
      t.same(said.wrongChecksums, []);
      const packet = Buffer.from(asked, 'hex').subarray(14);
      const isTcp = (packet.readUInt8(0) >> 4 === 4 ? packet.readUInt8(9) : packet.readUInt8(6)) === 6;
      if (isTcp) t.match(said.tcp, { flags: 0x14, sequence: 0, acknowledgement: 1 });
      else t.same(said.quote, packet.subarray(0, said.quote?.length), 'quotes the packet');
    }
  });
}
