// Goal: what the programs find in a set's table is what the set holds, for both families, both sizes of chunk and
// every sort of set; and asking costs the verifier little.
// Method: tables of the samples of test/agent/policy/set-tables go into real maps; xdp_sets.bpf.c is run once for
// each of hundreds of thousands of addresses; the ranges are the reference. A table with an entry missing must be
// noticed, so that the comparison is known to see. HUSK_SEED replays a run.

import t from 'tap';
import { holds } from '../../agent/policy/ranges.ts';
import { buildSet } from '../../agent/policy/set-tables/set-image.ts';
import {
  HUSK_SET_HEAD_BYTES,
  HUSK_SET_LARGE_CHUNK_BYTES,
  HUSK_SET_SMALL_CHUNK_BYTES,
} from '../../bpf/abi/layout.gen.ts';
import { addon } from '../../native/index.ts';
import {
  addressesFor,
  prefix6,
  random128,
  randomFrom,
  type Sample,
  samples4,
  samples6,
  setOf,
  text4,
} from '../agent/policy/set-tables/samples.ts';
import { type Asked, keyCount, SetLab, setLabMissing } from '../bench/set-lab.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);
const random = randomFrom(seed);
const skip = setLabMissing();
/** Instructions that one lookup may add to what the verifier processes. bpf/README.md has the numbers. */
const instructionsMax = { 4: 1000, 6: 8000 } as const;

/** How many answers are not what the ranges say; `edges` ranges are asked about. */
async function wrongAnswers(
  lab: SetLab,
  sample: Sample,
  { chunkBytes }: { readonly chunkBytes: number },
): Promise<{ wrong: number; asked: number }> {
  const words = addressesFor(sample, { edges: 7000, random });
  const program = await lab.useImage(buildSet(sample.family, sample.ranges, chunkBytes));
  let wrong = 0;
  for (let from = 0; from < words.length; from += keyCount * 4) {
    const part = words.subarray(from, from + keyCount * 4);
    lab.setKeys(sample.family, part);
    const wanted = Uint8Array.from({ length: part.length / 4 }, (_, key) =>
      holds(sample.ranges, part, key * 4) ? 1 : 0,
    );
    for (const asked of program === 'small' ? (['small', 'global'] as const) : [program]) {
      // Keys that are fewer than there is room for are asked again.
      lab.ask(asked, sample.family).forEach((answer, run) => {
        if (answer !== wanted[run % wanted.length]) wrong++;
      });
    }
  }
  return { wrong, asked: words.length / 4 };
}

t.test('the kernel answers as the ranges do', { skip }, async (t) => {
  const lab = new SetLab();
  t.teardown(() => lab.close());
  let all = 0;
  for (const sample of [...samples4(random), ...samples6(random)]) {
    for (const chunkBytes of [HUSK_SET_SMALL_CHUNK_BYTES, HUSK_SET_LARGE_CHUNK_BYTES]) {
      const { wrong, asked } = await wrongAnswers(lab, sample, { chunkBytes });
      t.equal(wrong, 0, `IPv${sample.family}, ${sample.name}, chunks of ${chunkBytes}: ${asked} addresses`);
      all += asked;
    }
  }
  t.ok(all > 300_000, `${all} addresses`);
});

t.test('a table without one of the addresses is noticed', { skip }, async (t) => {
  const lab = new SetLab();
  t.teardown(() => lab.close());
  const addresses = Array.from({ length: 5000 }, (_, n) => text4(0x0a000000 + n * 977));
  const reference = setOf(4, addresses);
  const sample: Sample = { name: '', family: 4, ranges: setOf(4, addresses.toSpliced(2500, 1)) };
  const words = addressesFor({ ...sample, ranges: reference }, { edges: 5000, random });
  const program = await lab.useImage(buildSet(4, sample.ranges));
  lab.setKeys(4, words);
  const answers = lab.ask(program, 4);
  const count = words.length / 4;
  const wrong = answers.filter(
    (answer, run) => answer !== (holds(reference, words, (run % count) * 4) ? 1 : 0),
  );
  t.ok(wrong.length > 0);
});

t.test('a table of nonsense is read inside its bounds', { skip }, async (t) => {
  const lab = new SetLab();
  t.teardown(() => lab.close());
  const inWindow = buildSet(
    6,
    setOf(
      6,
      Array.from({ length: 5000 }, () => prefix6(random128(random) >> 12n, 48)),
    ),
  ).bytes;
  for (let round = 0; round < 50; round++) {
    const family = round % 2 === 0 ? 4 : 6;
    const bytes = Uint8Array.from({ length: HUSK_SET_SMALL_CHUNK_BYTES * 2 }, () => random(256));
    // Plausible heads, so that reading goes on; and all ones.
    if (round % 3 === 0)
      bytes.set(buildSet(family, setOf(family, family === 4 ? ['10.0.0.0/9'] : ['::/9'])).bytes);
    if (round % 5 === 1) bytes.set(inWindow.subarray(0, HUSK_SET_HEAD_BYTES));
    if (round % 7 === 0) bytes.fill(255);
    const program = await lab.useImage({ family, chunkBytes: HUSK_SET_SMALL_CHUNK_BYTES, bytes });
    const words = Uint32Array.from({ length: 4000 }, () => random(2 ** 32));
    lab.setKeys(family, words);
    t.ok(lab.ask(program, family).every((answer) => answer < 2));
  }
});

t.test('the verifier has little to do for one lookup', { skip }, async (t) => {
  const lab = new SetLab();
  t.teardown(() => lab.close());
  const processed = (asked: Asked, family: 4 | 6) =>
    addon.programInfo(lab.program(asked, family)).verifiedInstructions;
  for (const family of [4, 6] as const) {
    for (const asked of ['small', 'large', 'global'] as const) {
      const added = processed(asked, family) - processed('floor', family);
      t.ok(added <= instructionsMax[family], `IPv${family}, ${asked}: ${added}`);
    }
  }
});
