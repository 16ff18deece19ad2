// Goal: the report names the tier, what is missing for each better one, and what would give it, for machines and for people.
// Method: reports made of what kernels are known to answer. That the answers are true is tested in try-kernel.test.ts, and in guests.

import t from 'tap';
import { makeProbeReport, type ProbeFacts, probeRefusal, showProbe } from '../../../agent/cli/probe.ts';
import { addon } from '../../../native/index.ts';

const works = { works: true, why: '' };
const facts: ProbeFacts = {
  features: { ...addon.probe(), mapOfMaps: 0, landlockAbi: 3 },
  trials: {
    lsm: { works: false, why: 'load husk_probe_lsm: EPERM (Operation not permitted)' },
    fmodRet: works,
    end: works,
    connect: works,
  },
  libbpf: 'v1.5',
  options: { from: '/boot/config', values: new Map([['CONFIG_BPF_LSM', 'y']]) },
  preemption: 'full',
  leavesLsmOut: false,
  kernel: '6.12.95',
  hasBpffs: true,
  cgroup2: '/sys/fs/cgroup',
};

t.test('what is missing is named with what gives it', async (t) => {
  const report = makeProbeReport(facts);
  t.match(report, { tier: 'B', execs: 'refused', calls: 'cgroup', degraded: /preemption is full/ });
  const [first] = report.missing;
  t.match(first, { for: 'tier A', why: /EPERM.*privileges, lockdown or the hypervisor/ });
  t.match(first?.options, ['CONFIG_BPF_LSM=y (is y)', 'CONFIG_SECURITY=y (is not set)']);
  t.ok(first?.options.some((option) => option.startsWith('boot parameter lsm=…,bpf')));
  t.ok(report.missing.some((one) => one.for === 'launched services, ports' && one.why.includes('version 3')));
  t.strictSame(
    report.missing,
    report.checks.filter((check) => !check.works),
  );
});

t.test('a person reads the tier first', async (t) => {
  const text = showProbe(makeProbeReport(facts));
  t.match(text, /^tier B: /);
  t.match(text, /\ndegraded: the kernel's preemption is full/);
  t.match(text, /\nmissing for tier A: [^\n]+\n {2}CONFIG_BPF_LSM=y \(is y\)\n/);
});

t.test('a tier may be asked for', async (t) => {
  const report = makeProbeReport(facts);
  t.equal(probeRefusal(report, 'B'), null);
  t.equal(probeRefusal(report, 'A'), 'this kernel gives tier B, and A is asked for');
  const unprivileged = makeProbeReport({ ...facts, features: { ...facts.features, mapOfMaps: 1 } });
  t.match(probeRefusal(unprivileged, 'D'), /run as root/);
});
