// Goal: every program passes the verifier, and with far less work than its limit of a million instructions,
// so that older and stricter verifiers have room as well.
// Method: the number that the kernel reports for each loaded program (5.16 and later).

import t from 'tap';
import { ProgramLab, programsMissing } from './lab.ts';

/** Instructions processed; the most we want to ask of any kernel. bpf/README.md lists the numbers. */
const instructionsMax = 250_000;

t.test('the verifier processes few instructions', { skip: programsMissing() }, async (t) => {
  const lab = await ProgramLab.open();
  t.teardown(() => lab.close());
  t.equal(lab.programNames.length, 13);
  for (const name of lab.programNames) {
    const count = lab.verifiedInstructions(name);
    t.comment(`${name}: ${count}`);
    t.ok(count < instructionsMax, `${name}: ${count}`);
  }
});
