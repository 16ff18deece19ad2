// Goal: a tier is claimed for what was seen, and for nothing that a list or a version says.
// Method: what trials may come to, one by one, and what rules say in each tier; the trials themselves are test/agent/kernel/try-kernel.test.ts.

import t from 'tap';
import type { KernelTrials } from '../../agent/kernel/try-kernel.ts';
import { deviceTier, guardTierOf, passedOver, tierOf } from '../../agent/tier.ts';
import { lowerToTier } from '../../agent/tier-states.ts';

const works = { works: true, why: '' };
const fails = { works: false, why: 'EPERM' };
const all: KernelTrials = { lsm: works, fmodRet: works, end: works, connect: works };

t.test('each tier has what those below it have', async (t) => {
  const cases: readonly (readonly [Partial<KernelTrials>, string])[] = [
    [{}, 'A A A'],
    [{ lsm: fails }, 'B B B'],
    [{ lsm: fails, fmodRet: fails }, 'C C C'],
    [{ end: fails }, 'C null C'],
    [{ connect: fails }, 'D A A'],
    [{ connect: fails, lsm: fails, fmodRet: fails }, 'D C C'],
    [{ connect: fails, end: fails }, 'D null D'],
  ];
  for (const [changed, expected] of cases) {
    const trials = { ...all, ...changed };
    const guards = guardTierOf(trials);
    t.equal(`${tierOf(trials)} ${guards} ${deviceTier(guards, trials)}`, expected, JSON.stringify(changed));
  }
});

t.test(
  'programs are passed over where the kernel leaves out what is at work already, and may be preempted',
  async (t) => {
    const now = { preemption: 'full', leavesLsmOut: false } as const;
    t.match(passedOver('B', now), /preemption is full/);
    t.match(passedOver('B', { ...now, preemption: 'unknown' }), /unknown/);
    t.equal(passedOver('B', { ...now, preemption: 'voluntary' }), null);
    t.equal(passedOver('A', now), null);
    t.match(
      passedOver('A', { ...now, leavesLsmOut: true }),
      /passed over/,
      'of older kernels LSM programs too',
    );
    t.equal(passedOver('C', now), null);
  },
);

t.test('rules say what the tier makes of them', async (t) => {
  const needs = { least: 'B', missing: 'hooks', degraded: null } as const;
  const compiled = [
    { id: 'p/file', needs },
    { id: 'p/exec', needs: { ...needs, degraded: 'ended' } },
    { id: 'p/call', needs: { ...needs, least: 'C' } as const },
    { id: 'p/packet' },
  ];
  const states = compiled.map(({ id }) => ({ id, state: 'enforced' as const }));
  const facts = { passedOver: null, misses: 0n, launched: new Map<string, string | null>() };
  const said = (tier: 'A' | 'B' | 'C' | 'D', more = {}) =>
    lowerToTier(states, compiled, { ...facts, tier, ...more })
      .map(({ state }) => state)
      .join(' ');
  t.equal(said('A'), 'enforced enforced enforced enforced');
  t.equal(said('B'), 'enforced enforced enforced enforced');
  t.equal(said('B', { passedOver: 'preempted' }), 'degraded degraded enforced enforced');
  t.equal(
    said('B', { misses: 3n }),
    'degraded degraded enforced enforced',
    'it happened, whatever was thought',
  );
  t.equal(said('C'), 'unsupported degraded enforced enforced');
  t.equal(said('D'), 'unsupported unsupported unsupported enforced');
  const monitored = lowerToTier([{ id: 'p/file', state: 'monitor' }], compiled, { ...facts, tier: 'C' });
  t.match(
    monitored,
    [{ state: 'unsupported', why: /needs tier B/ }],
    'nothing sees it, so nothing is reported',
  );
});
