// Goal: what is handed on to a launcher is what it can hold whole, and nothing that would deny more or less than the policy says.
// Method: policies, and the lines that must come of them.

import t from 'tap';
import type { HardeningPolicy, HardeningRule } from '../../../agent/contract/policy.ts';
import { launchPlans } from '../../../agent/policy/launch-rules.ts';

type Spec = Partial<HardeningPolicy['spec']>;
const policy = (
  rules: readonly Omit<HardeningRule, 'action' | 'id'>[],
  spec: Spec = {},
): HardeningPolicy => ({
  apiVersion: 'husk/v1',
  kind: 'HardeningPolicy',
  metadata: { name: 'p' },
  spec: {
    mode: 'enforce',
    subject: { executable: '/usr/sbin/stubd' },
    rules: rules.map((rule, at) => ({ id: `r${at}`, action: 'deny', ...rule })),
    ...spec,
  },
});
const plansOf = (policies: readonly HardeningPolicy[], ...lifted: string[]) =>
  launchPlans(policies, new Set(lifted));
const lines = (...rules: Omit<HardeningRule, 'action' | 'id'>[]) => plansOf([policy(rules)])[0]?.lines ?? [];

t.test('kinds of calls are handed on', async (t) => {
  t.strictSame(lines({ kernel: { module: true, bpf: true } }), ['deny module', 'deny bpf']);
  t.strictSame(lines({ privilege: { ptrace: true, capabilities: ['net_raw'] } }), [
    'deny ptrace',
    'deny capability 13',
  ]);
  t.strictSame(lines({ privilege: { capabilities: ['all'] } }), ['deny capability 64']);
  t.strictSame(lines({ memory: { writeExecute: true } }), ['deny write-execute']);
  t.strictSame(lines({ file: { mount: {} } }), ['deny mount']);
  t.strictSame(lines({ socket: { family: ['inet', 'inet6'], type: ['raw'] } }), [
    'deny socket 2 3',
    'deny socket 10 3',
  ]);
  t.strictSame(lines({ connect: { protocol: 'tcp' } }), ['handle connect-tcp']);
});

t.test('files are, where all but some folders are denied', async (t) => {
  const except = { under: ['/var/log'], paths: ['/dev/null'] };
  t.strictSame(lines({ file: { write: { except } } }), [
    'handle write',
    'beneath write /var/log',
    'beneath write /dev/null',
  ]);
  t.strictSame(lines({ file: { create: { except: { under: ['/tmp'] } } } }), [
    'handle create',
    'beneath create /tmp',
  ]);
  t.strictSame(
    lines({ file: { create: { except } } }),
    [],
    'a name can not be allowed without its neighbours',
  );
  t.strictSame(lines({ file: { write: { under: ['/etc'] } } }), [], 'nor a folder be denied without them');
  t.strictSame(lines({ file: { write: { except: { under: ['/a\nend'] } } } }), [], 'a path is one line');
});

t.test('a rule is handed on whole or not at all', async (t) => {
  t.strictSame(lines({ kernel: { bpf: true, lockdown: true } }), []);
  t.strictSame(lines({ file: { write: {}, read: {} } }), []);
  t.strictSame(lines({ connect: { protocol: 'tcp', ports: 25 } }), []);
  t.strictSame(lines({ connect: {} }), [], 'UDP is none of it');
  t.strictSame(lines({ exec: {} }), []);
  t.strictSame(plansOf([policy([{ kernel: { bpf: true } }], { mode: 'monitor' })]), []);
});

t.test('only subjects that are a program and all that comes from it', async (t) => {
  const of = (subject: HardeningPolicy['spec']['subject']) =>
    plansOf([policy([{ kernel: { bpf: true } }], { subject })]).map(({ executable }) => executable);
  t.strictSame(of({ executable: ['/a', '/b'] }), ['/a', '/b']);
  t.strictSame(of({ executable: '/a', descendants: false }), []);
  t.strictSame(of({ executable: '/a', user: 0 }), []);
  t.strictSame(of({ executable: '/a', cgroup: 'x' }), []);
  t.strictSame(of({ executable: '/bin/busybox', applet: 'httpd' }), []);
  t.strictSame(of({ cgroup: 'x' }), []);
});

t.test('two lists of one thing are not added up', async (t) => {
  const list = (under: string) => ({ file: { write: { except: { under: [under] } } } });
  const [plan] = plansOf([policy([list('/a'), list('/b'), { kernel: { bpf: true } }])]);
  t.strictSame(plan?.lines, ['handle write', 'beneath write /a', 'deny bpf']);
  t.strictSame(
    plan?.rules.map(({ id }) => id),
    ['p/r0', 'p/r2'],
  );
  t.strictSame(plansOf([policy([list('/a'), list('/a')])])[0]?.rules.length, 2, 'the same twice is');
});

t.test('what an exception lifts for some is not handed on for all', async (t) => {
  const both = [policy([{ kernel: { bpf: true } }, { kernel: { perf: true } }])];
  t.strictSame(plansOf(both, 'p/r0')[0]?.lines, ['deny perf']);
});
