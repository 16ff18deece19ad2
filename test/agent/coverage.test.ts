// Goal: a rule is called enforced only where a hook is in the way of everything it is about.
// Method: a policy with zones and calls, and every way in which hooks can be missing.

import t from 'tap';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import type { RuleState } from '../../agent/contract/state.ts';
import { type CompiledPlace, type CoverageFacts, lowerUncovered } from '../../agent/coverage.ts';
import { compile } from '../../agent/policy/compile.ts';
import { zonesOf } from '../../agent/policy/policy-zones.ts';
import { plainFacts } from '../lab/plain-kernel.ts';

const documents: readonly PolicyDocument[] = [
  {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'p' },
    spec: {
      mode: 'enforce',
      zones: { wan: { interfaces: ['wan*'] }, lan: { interfaces: ['lan0'] } },
      ingress: [
        { zone: 'wan', default: 'drop', rules: [{ id: 'a', action: 'drop' }] },
        { zone: 'lan', default: 'allow', rules: [{ id: 'b', action: 'drop' }] },
      ],
      egress: [{ zone: 'wan', default: 'allow', rules: [{ id: 'c', action: 'drop' }] }],
    },
  },
];
const ids = ['p/a', 'p/wan:default-ingress', 'p/b', 'p/c', 'h/call'];
const rules: readonly RuleState[] = ids.map((id) => ({ id, state: 'enforced' }));
const calls = ['sock_create', 'bind4', 'bind6', 'connect4', 'connect6', 'sendmsg4', 'sendmsg6'].map(
  (name) => `${name} /cg`,
);
/** What an image of these documents says of zones and rules. */
function compiled(documents: readonly PolicyDocument[]): Pick<CoverageFacts, 'zones' | 'compiled'> {
  const image = compile(
    documents,
    plainFacts([], () => 0),
  );
  return { zones: image.zones, compiled: image.rules };
}
const call: CompiledPlace = { id: 'h/call', at: 'call', zone: null, call: 'bind', verdict: 'deny' };
const image = compiled(documents);
const whole: CoverageFacts = {
  ...image,
  compiled: [...image.compiled, call],
  interfaces: ['lo', 'wan0', 'lan0'],
  hooks: [
    'xdp_ingress wan0 native',
    'tc_egress wan0 tcx',
    'xdp_ingress lan0 generic',
    'tc_egress lan0 tcx',
    ...calls,
  ],
};

/** Ids that are not called enforced, with why. */
function lowered(facts: Partial<CoverageFacts>): Record<string, string | undefined> {
  const states = lowerUncovered(rules, { ...whole, ...facts });
  return Object.fromEntries(states.filter((one) => one.state !== 'enforced').map((one) => [one.id, one.why]));
}

t.test('with every hook in place nothing is lowered', async (t) => {
  t.strictSame(lowered({}), {});
});

t.test('an interface of the zone without its hook lowers the rules of that zone and direction', async (t) => {
  const interfaces = [...whole.interfaces, 'wan1'];
  t.strictSame(lowered({ interfaces }), {
    'p/a': 'xdp_ingress or tc_ingress is not attached to wan1',
    'p/wan:default-ingress': 'xdp_ingress or tc_ingress is not attached to wan1',
    'p/c': 'tc_egress is not attached to wan1',
  });
  t.strictSame(lowered({ hooks: whole.hooks.filter((hook) => !hook.startsWith('tc_egress wan0')) }), {
    'p/c': 'tc_egress is not attached to wan0',
  });
});

t.test('a zone whose interfaces are not there enforces nothing', async (t) => {
  t.strictSame(lowered({ interfaces: ['lo', 'wan0'] }), { 'p/b': 'no interface of zone lan is there' });
});

t.test('calls need every hook', async (t) => {
  t.strictSame(lowered({ hooks: whole.hooks.filter((hook) => !hook.startsWith('sendmsg6')) }), {
    'h/call': 'sendmsg6 is not attached',
  });
});

t.test('with nothing attached nothing is called enforced', async (t) => {
  t.strictSame(Object.keys(lowered({ hooks: [] })), ids);
});

t.test('what was lowered already keeps its reason', async (t) => {
  const monitor: RuleState = { id: 'p/a', state: 'monitor' };
  t.strictSame(lowerUncovered([monitor], { ...whole, hooks: [] }), [monitor]);
});

t.test('a denial of connect is degraded, a denial of bind is not', async (t) => {
  const hardening: PolicyDocument = {
    apiVersion: 'husk/v1',
    kind: 'HardeningPolicy',
    metadata: { name: 'h' },
    spec: {
      mode: 'enforce',
      subject: { cgroup: 'd' },
      default: { connect: 'deny' },
      rules: [
        { id: 'out', connect: {}, action: 'deny' },
        { id: 'home', connect: { to: ['127.0.0.0/8'] }, action: 'allow' },
        { id: 'ears', bind: {}, action: 'deny' },
      ],
    },
  };
  const names = ['h/out', 'h/home', 'h/ears', 'h/default-connect'];
  const states = lowerUncovered(
    names.map((id) => ({ id, state: 'enforced' })),
    { ...whole, ...compiled([hardening]) },
  );
  t.strictSame(
    states.map((one) => one.state),
    ['degraded', 'enforced', 'enforced', 'degraded'],
  );
  t.match(states[0]?.why, /raw.*UDP-Lite.*source routing/);
});

t.test('what comes in is judged by XDP or by tc, whatever else is said of the hook', async (t) => {
  const hooks = whole.hooks.map((hook) =>
    hook.startsWith('xdp_ingress wan0') ? 'tc_ingress wan0 tcx: no Ethernet header' : hook,
  );
  t.strictSame(lowered({ hooks }), {});
});

t.test('an interface that is judged elsewhere needs no hook of its own', async (t) => {
  const interfaces = [...whole.interfaces, 'wan1'];
  t.not(Object.keys(lowered({ interfaces })).length, 0);
  t.strictSame(lowered({ interfaces, leftOut: ['wan1'] }), {});
});

t.test('a floor that cannot be kept lowers the rules of zones that ask for it', async (t) => {
  t.strictSame(lowered({ uncoveredUnkept: 'cannot be kept' }), {}, 'none does');
  const asking = documents.map((one) =>
    one.kind === 'PacketPolicy'
      ? {
          ...one,
          spec: {
            ...one.spec,
            zones: { ...one.spec.zones, lan: { interfaces: ['lan0'], uncovered: 'drop' as const } },
          },
        }
      : one,
  );
  t.strictSame(lowered({ zones: zonesOf(asking), uncoveredUnkept: 'cannot be kept' }), {
    'p/b': 'cannot be kept',
  });
});

t.test('SYN cookies are what the kernel makes of them', async (t) => {
  const cookies = 'p/wan:syn-cookies';
  const asking = documents.map((one) =>
    one.kind === 'PacketPolicy'
      ? {
          ...one,
          spec: {
            ...one.spec,
            ingress: one.spec.ingress.map((list) =>
              list.zone === 'wan' ? { ...list, synCookies: { above: '100/s' } } : list,
            ),
          },
        }
      : one,
  );
  const lower = (facts: Partial<CoverageFacts>) =>
    lowerUncovered([{ id: cookies, state: 'enforced' }], {
      ...whole,
      ...compiled(asking),
      ...facts,
    })[0];
  t.strictSame(lower({ synCookies: 2 }), { id: cookies, state: 'enforced' });
  t.match(lower({ synCookies: 1 }), { state: 'degraded', why: /tcp_syncookies is 1.*queue is full/ });
  t.match(lower({ synCookies: 0 }), { state: 'degraded', why: /tcp_syncookies is 0: a limit per source/ });
  t.match(lower({ synCookies: null }), { state: 'degraded', why: /no SYN cookies in this kernel/ });
  t.match(lower({ synCookies: 2, hooks: [] }), { state: 'degraded', why: /not attached to wan0/ });
  t.strictSame(lowered({ synCookies: 0 }), {}, 'rules that are not about them');
});

t.test('where IPsec goes by policy alone, zones of its own interfaces alone are whole', async (t) => {
  const why =
    'packets inside IPsec are not judged where its policies have no xfrm interface (if_id) that a zone could name';
  t.strictSame(lowered({ ipsecApart: null }), {});
  t.strictSame(lowered({ ipsecApart: [] }), {
    'p/a': why,
    'p/wan:default-ingress': why,
    'p/b': why,
    'p/c': why,
  });
  t.strictSame(lowered({ ipsecApart: ['lan0'] }), {
    'p/a': why,
    'p/wan:default-ingress': why,
    'p/c': why,
  });
});
