// Goal: what devices saw becomes a policy that allows all of it and nothing more, with how many devices showed each thing.
// Method: profiles of two made-up devices; the proposal is read and checked as a policy file is, and asked what it lets
// the service do.

import t from 'tap';
import { parse } from 'yaml';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { evaluateOperation } from '../../../agent/policy/evaluate.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { generalisePaths } from '../../../fleet/policy/generalise-paths.ts';
import { readProfile } from '../../../fleet/policy/profile.ts';
import { proposalText } from '../../../fleet/policy/proposal-text.ts';
import { proposePolicy } from '../../../fleet/policy/propose-policy.ts';

const learns = ['exec', 'read', 'write', 'create', 'delete', 'capability', 'module', 'connect', 'socket'];
const head = {
  policy: 'httpd',
  subject: { executable: '/usr/sbin/httpd' },
  learns,
  tier: 'A',
  lost: 0,
};
const row = (operation: string, rest: object) => ({ policy: 'httpd', operation, count: 1, ...rest });
const common = [
  row('exec', { path: '/bin/busybox', startedAs: 'sh', applet: true }),
  row('exec', { path: '/usr/sbin/rotate', startedAs: 'rotate' }),
  row('write', { path: '/var/log/httpd.log' }),
  row('capability', { capability: 'net_bind_service' }),
  row('connect', { address: '192.0.2.7', port: 514, protocol: 'udp' }),
];
const rows = {
  one: [head, ...common, row('create', { path: '/var/lib/httpd', folder: true })],
  two: [
    head,
    ...common,
    row('exec', { path: '/bin/busybox', startedAs: 'busybox' }),
    ...[1, 2, 3].map((n) => row('delete', { path: `/run/httpd/${n}` })),
    row('write', { path: '/tmp/a\u001bb' }),
    { what: 'an answer of another version' },
  ],
};
const read = Object.entries(rows).map(([device, all]) => readProfile(device, all));
const proposal = proposePolicy(
  read.flatMap(({ profiles }) => profiles),
  { namedMax: 2, reads: false },
);
const applets = new Map([['/bin/busybox', ['sh', 'wget']]]);

t.test('is a policy without faults that says what it rests on', (t) => {
  t.same(
    read.map(({ unread }) => unread),
    [0, 1],
  );
  const text = proposalText(proposal, [{ device: 'three', why: 'offline\n- x' }], 2);
  const { documents, faults } = parseDocuments([parse(text)]);
  t.same([...faults, ...checkDocuments(documents)], []);
  t.match(text, /# Proposed from what 2 of 3 devices learnt/);
  t.match(text, /# no answer: three: offline\?- x\n/, 'on one line, whatever a device says');
  t.match(text, /- \/var\/log\/httpd.log # seen on 2 of 2\n/);
  t.match(text, /- \/run\/httpd # seen on 1 of 2\n/, 'more files than are named: the folder');
  t.match(text, /id: connect-1 # seen on 2 of 2\n/);
  t.match(text, /id: no-other-capability # used: net_bind_service 2 of 2\n/);
  t.match(text, /2 things were not kept/);
  t.match(text, /left out: exec of \/bin\/busybox as busybox/);
  t.match(text, /mode: monitor/, 'it is for a person to enforce it');
  t.end();
});

t.test('lets the service do what was seen, and nothing else', (t) => {
  const spec = { ...proposal.policy.spec, mode: 'enforce' as const };
  const policy = [{ ...proposal.policy, spec }];
  const task = {
    lineage: [{ path: '/usr/sbin/httpd', applet: null }],
    lineageKnown: true,
    user: 0,
    cgroup: null,
  };
  const verdict = (operation: string, object: object) =>
    evaluateOperation(policy, { task, operation, object } as never, { applets }).verdict;
  t.equal(verdict('exec', { path: '/bin/busybox', startedAs: 'sh' }), 'allow');
  t.equal(verdict('exec', { path: '/usr/sbin/rotate' }), 'allow');
  t.equal(verdict('exec', { path: '/bin/busybox', startedAs: 'wget' }), 'deny');
  t.equal(verdict('exec', { path: '/bin/busybox', startedAs: 'busybox' }), 'deny');
  t.equal(verdict('exec', { path: '/tmp/x' }), 'deny');
  t.equal(verdict('write', { path: '/var/log/httpd.log' }), 'allow');
  t.equal(verdict('write', { path: '/etc/passwd' }), 'deny');
  t.equal(verdict('create', { path: '/var/lib/httpd/new' }), 'allow');
  t.equal(verdict('create', { path: '/etc/new' }), 'deny');
  t.equal(verdict('delete', { path: '/run/httpd/9' }), 'allow');
  t.equal(verdict('delete', { path: '/etc/passwd' }), 'deny');
  t.equal(verdict('capability', { number: 10 }), 'allow');
  t.equal(verdict('capability', { number: 12 }), 'deny');
  t.equal(verdict('module', {}), 'deny');
  t.equal(verdict('read', { path: '/etc/passwd' }), 'allow', 'reading is left alone');
  t.end();
});

t.test('devices that see calls alone give a policy of calls alone', (t) => {
  const { profiles } = readProfile('c', [{ ...head, tier: 'C' }, ...common]);
  const { policy } = proposePolicy(profiles, { namedMax: 2, reads: false });
  t.same(policy.spec.default, { connect: 'deny' });
  t.same(
    policy.spec.rules.map(({ id }) => id),
    ['connect-1', 'no-raw-sockets'],
  );
  t.end();
});

t.test('folders stand for many files, and never for all that is below the root', (t) => {
  const file = (path: string, device = 'a') => ({ path, device, isFolder: false });
  const words = (paths: readonly string[], max = 2) =>
    generalisePaths(
      paths.map((path) => file(path)),
      max,
    ).map(({ path, isFolder }) => (isFolder ? `${path}/` : path));
  t.same(words(['/var/x/1', '/var/x/2']), ['/var/x/1', '/var/x/2']);
  t.same(words(['/var/x/1', '/var/x/2', '/var/x/3']), ['/var/x/']);
  t.same(words(['/a', '/b', '/c']), ['/a', '/b', '/c'], 'the root itself is no folder to allow');
  const deep = ['a', 'b', 'c'].flatMap((one) => [1, 2, 3].map((n) => `/var/lib/${one}/${n}`));
  t.same(words(deep), ['/var/lib/']);
  const shallow = ['a', 'b', 'c'].flatMap((one) => [1, 2, 3].map((n) => `/var/${one}/${n}`));
  t.same(words(shallow), ['/var/a/', '/var/b/', '/var/c/']);
  t.same(words(['/proc/12/stat', '/proc/self/x']), ['/proc/'], 'a process is another each time');
  const [folder] = generalisePaths([file('/d/1'), file('/d/2', 'b'), file('/d/3', 'c')], 2);
  t.same(folder?.devices.size, 3);
  t.end();
});
