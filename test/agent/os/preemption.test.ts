// Goal: whether a kernel takes the CPU from tasks inside it is known from what it says, and where it says nothing that is said.
// Method: what `uname -v`, the boot line, debugfs and the options say on such kernels.

import t from 'tap';
import { mayPreempt, preemptionOf } from '../../../agent/os/preemption.ts';

const dynamic = '#1 SMP PREEMPT_DYNAMIC Debian 6.12.95-1';
const built = (name: string) => ({ from: '/proc/config.gz', values: new Map([[name, 'y']]) });
const quiet = { version: dynamic, commandLine: 'quiet', scheduler: null, options: null };

t.test('preemption', async (t) => {
  t.equal(
    preemptionOf({ ...quiet, version: '#1 SMP Debian 5.10.223-1' }),
    'none',
    'or voluntary, which shows nowhere',
  );
  t.equal(preemptionOf({ ...quiet, version: '#1 SMP PREEMPT Debian' }), 'full');
  t.equal(preemptionOf({ ...quiet, version: '#1 SMP PREEMPT_RT Debian' }), 'realtime');
  t.equal(preemptionOf(quiet), 'unknown');
  t.equal(preemptionOf({ ...quiet, options: built('CONFIG_PREEMPT_VOLUNTARY') }), 'voluntary');
  t.equal(preemptionOf({ ...quiet, options: built('CONFIG_PREEMPT') }), 'full');
  const asked = { ...quiet, options: built('CONFIG_PREEMPT'), commandLine: 'quiet preempt=none' };
  t.equal(preemptionOf(asked), 'none', 'the boot line goes before what was built in');
  t.equal(preemptionOf({ ...asked, commandLine: 'preempt=often' }), 'full', 'a word that it does not know');
  t.equal(
    preemptionOf({ ...asked, scheduler: 'none voluntary (full) lazy' }),
    'full',
    'and what holds now before all',
  );
  t.strictSame((['none', 'voluntary', 'lazy', 'full', 'realtime', 'unknown'] as const).filter(mayPreempt), [
    'lazy',
    'full',
    'realtime',
    'unknown',
  ]);
});
