// Goal: a table in which a rule is missing, or stands elsewhere, is not proven, also where no verdict differs.
// Method: tries of one policy against the tables of another in the twins of this kernel.

import t from 'tap';
import type { PacketPolicy, PacketRule } from '../../../agent/contract/policy.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { KernelLab, kernelMissing, labFacts } from '../policy/kernel-lab.ts';

const policy = (
  rules: readonly PacketRule[],
  more: Partial<PacketPolicy['spec']> = {},
): readonly [PacketPolicy] => [
  {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'p' },
    spec: {
      mode: 'enforce',
      zones: { wan: { interfaces: ['w0'] } },
      ingress: [{ zone: 'wan', default: 'drop', rules }],
      egress: [
        { zone: 'wan', default: 'allow', rules: rules.map((one) => ({ ...one, id: `out-${one.id}` })) },
      ],
      ...more,
    },
  },
];

const seen: PacketRule = { id: 'seen', protocol: 'tcp', ports: { to: 22 }, action: 'log' };
const logged: PacketRule = { id: 'logged', from: '192.0.2.0/24', action: 'log' };
const watched: PacketRule = { id: 'watched', protocol: 'udp', action: 'reject', mode: 'monitor' };
const open: PacketRule = { id: 'open', to: '198.51.100.0/24', action: 'allow' };
const whole = [seen, logged, watched, open];

t.test('what only logs is proven too', { skip: kernelMissing() ?? false }, async (t) => {
  const lab = await KernelLab.open();
  t.teardown(() => lab.close());
  const facts = labFacts(['w0']);
  const tries = makeTries(policy(whole), facts);
  const proven = async (loaded: readonly [PacketPolicy]) => {
    await lab.load(compile(loaded, facts));
    return lab.prove(tries, facts.ids);
  };
  t.match(await proven(policy(whole)), { untried: [], packetRules: { rules: 10, of: 10 } });
  for (const left of [seen, logged, watched]) {
    const rest = policy(whole.filter((one) => one !== left));
    await t.rejects(proven(rest), { code: 'kernel.unproven' }, `without ${left.id}`);
  }
  await t.rejects(
    proven(policy(whole.filter((one) => one !== logged))),
    {
      code: 'kernel.unproven',
      detail: /matched without deciding: \d, p\/\w+ the last; the kernel says \d/,
    },
    'in words',
  );
  await t.rejects(
    proven(policy([seen, logged, open, watched])),
    { code: 'kernel.unproven' },
    'another order',
  );
  // By default alone: what the packet comes to at the end is the same.
  const silent = policy(whole, { mode: 'monitor' });
  await t.rejects(proven(silent), { code: 'kernel.unproven' });
  const monitored = makeTries(silent, facts);
  await lab.load(compile(silent, facts));
  t.match(await lab.prove(monitored, facts.ids), { packetRules: { rules: 10, of: 10 } });
});
