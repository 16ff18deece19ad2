// Generated hardening policies and operations, out of few paths, names and users, so that they meet.

import fc from 'fast-check';
import type {
  Exception,
  ExecMatch,
  HardeningPolicy,
  HardeningRule,
  Mode,
  PathMatch,
  PolicyDocument,
  Subject,
} from '../../../agent/contract/policy.ts';
import { capabilityNumber } from '../../../agent/policy/capabilities.ts';
import type { ObjectAt, OperationAt, ProgramRun } from '../../../agent/policy/evaluate.ts';
import { exceptionsMeet, operationReaches } from '../../../agent/policy/operation-reach.ts';
import { type OperationName, operationNames, pathOperations } from '../../../agent/policy/operation-words.ts';

export const applets = new Map([
  ['/bin/busybox', ['sh', 'ls', 'wget']],
  ['/a/box', ['ls']],
]);
/** Mounted: for a device that has more than one file system. */
export const mountPoints = ['/', '/a/b', '/c'];
export const cgroupPaths = ['d', 'd/x', 'e'];

const deep = `/${Array.from({ length: 33 }, (_, at) => at).join('/')}`;
const folders = ['/', '/a', '/a/b', '/a/b/c', '/c'] as const;
const files = [
  '/a',
  '/a/x',
  '/a/b',
  '/a/b/x',
  '/a/b/c',
  '/a/b/c/x',
  '/ab',
  '/c',
  '/c/x',
  '/bin/busybox',
  '/a/box',
];
const paths = fc.subarray(files, { minLength: 1, maxLength: 3 });
const under = fc.subarray([...folders], { minLength: 1, maxLength: 2 });
const names = fc.subarray(['sh', 'ls', 'wget', 'nc'], { minLength: 1, maxLength: 2 });
const yes = fc.constant(true as const);

/** Each key as often as not. */
function some<T extends object>(
  model: { [Key in keyof T]-?: fc.Arbitrary<NonNullable<T[Key]>> },
): fc.Arbitrary<T> {
  return fc.record(model as never, { requiredKeys: [] }) as fc.Arbitrary<T>;
}

const execMeant: fc.Arbitrary<ExecMatch> = some<ExecMatch>({
  paths,
  under,
  applets: names,
  memfd: yes,
  deleted: yes,
  setuid: yes,
  except: fc.constant({}),
}).map(({ except, ...meant }) => meant);
const execMatch = (isDeny: boolean): fc.Arbitrary<ExecMatch> =>
  isDeny
    ? fc.oneof(
        execMeant,
        some<NonNullable<ExecMatch['except']>>({ paths, under, applets: names }).map(excepting),
      )
    : execMeant;
const pathMeant = some<Pick<PathMatch, 'paths' | 'under'>>({ paths, under });
const pathMatch = (isDeny: boolean): fc.Arbitrary<PathMatch> =>
  isDeny ? fc.oneof(pathMeant, pathMeant.map(excepting)) : pathMeant;

const excepting = <T extends object>(except: T): { except: T } | object =>
  Object.keys(except).length === 0 ? {} : { except };

const word = (isDeny: boolean): fc.Arbitrary<Partial<HardeningRule>> =>
  fc.oneof(
    { weight: 5, arbitrary: execMatch(isDeny).map((exec) => ({ exec })) },
    {
      weight: 6,
      arbitrary: some<NonNullable<HardeningRule['file']>>(
        Object.fromEntries(
          ['read', 'write', 'create', 'delete', 'rename', 'link', 'chmod', 'mount'].map((one) => [
            one,
            pathMatch(isDeny),
          ]),
        ) as never,
      ).map((file) => ({ file })),
    },
    {
      weight: 1,
      arbitrary: some<NonNullable<HardeningRule['privilege']>>({
        setuid: yes,
        ptrace: yes,
        userns: yes,
        capabilities: fc.subarray(['net_raw', 'chown', 'all'], { minLength: 1 }),
      }).map((privilege) => ({ privilege })),
    },
    {
      weight: 1,
      arbitrary: some<NonNullable<HardeningRule['kernel']>>({
        module: yes,
        bpf: yes,
        kexec: yes,
        perf: yes,
        lockdown: yes,
      }).map((kernel) => ({ kernel })),
    },
    { weight: 1, arbitrary: fc.constant({ memory: { writeExecute: true as const } }) },
  );

const rule = (policyMode: Mode): fc.Arbitrary<Omit<HardeningRule, 'id'>> =>
  fc.boolean().chain((isDeny) =>
    fc
      .tuple(
        word(isDeny),
        fc.constantFrom<Mode>('off', 'monitor', 'enforce', 'enforce', 'enforce'),
        fc.boolean(),
      )
      .map(([what, mode, kill]) => ({
        ...what,
        mode: policyMode === 'monitor' && mode === 'enforce' ? 'monitor' : mode,
        action: isDeny ? ('deny' as const) : ('allow' as const),
        ...(isDeny && kill ? { kill } : {}),
      }))
      // Refused when it is checked.
      .filter((one) => exceptionsMeet(operationReaches({ id: '', ...one })) === null),
  );

const programs = ['/bin/busybox', '/a/x', '/c/x', '/ab'];
const executable = fc.subarray(programs, { minLength: 2, maxLength: 3 });
const user = fc.constantFrom<number | readonly number[]>(33, [33, 34]);
const cgroup = fc.constantFrom('d', 'd/x');
const subject: fc.Arbitrary<Subject> = fc
  .tuple(
    fc.oneof(
      fc.record({ executable }),
      fc.record({ executable }),
      fc.record({ user }),
      fc.record({ cgroup }),
      fc.record({ executable, user }),
      fc.record({ executable, cgroup }),
      fc.record({ executable, user, cgroup }),
    ),
    some<Pick<Subject, 'descendants' | 'applet' | 'unknown'>>({
      descendants: fc.boolean(),
      applet: fc.constantFrom('sh', 'ls'),
      unknown: fc.constantFrom('deny' as const, 'allow' as const),
    }),
  )
  .map(([whom, { applet, ...narrowed }]) => {
    if (!('executable' in whom)) return whom;
    return {
      ...whom,
      ...narrowed,
      ...(applet !== undefined && whom.executable.includes('/bin/busybox') ? { applet } : {}),
    };
  });

const verdict = fc.constantFrom('allow' as const, 'deny' as const);
const policy = (name: string, whom: fc.Arbitrary<Subject>): fc.Arbitrary<HardeningPolicy> =>
  fc.constantFrom<Mode>('enforce', 'enforce', 'enforce', 'monitor', 'off').chain((mode) =>
    fc
      .record({
        whom,
        defaults: some<NonNullable<HardeningPolicy['spec']['default']>>({
          exec: verdict,
          write: verdict,
          create: verdict,
          mount: verdict,
          connect: verdict,
          bind: verdict,
          socket: fc.constant('allow' as const),
        }),
        rules: fc.array(rule(mode), { minLength: 1, maxLength: 7, size: 'max' }),
      })
      .map(({ whom, defaults, rules }) => ({
        apiVersion: 'husk/v1',
        kind: 'HardeningPolicy',
        metadata: { name },
        spec: {
          mode,
          subject: whom,
          default: defaults,
          rules: rules.map((one, at) => ({ id: `r${at}`, ...one })),
        },
      })),
  );

/** What an exception may say of a rule that has this word; of a default, that of its operation. */
const exceptedWord = (of: Pick<HardeningRule, 'exec' | 'file' | 'privilege' | 'kernel'>) => {
  if (of.exec !== undefined) return execMeant.map((exec) => ({ exec }));
  if (of.privilege !== undefined) return fc.constantFrom(...privileges).map((privilege) => ({ privilege }));
  if (of.kernel !== undefined) return fc.constantFrom(...kernels).map((kernel) => ({ kernel }));
  if (of.file === undefined) return fc.constant({ memory: { writeExecute: true as const } });
  const words = Object.keys(of.file);
  return fc
    .tuple(fc.constantFrom(...(words.length === 0 ? ['read'] : words)), pathMeant)
    .map(([word, match]) => ({ file: { [word]: match } }));
};
const privileges = [
  { setuid: true },
  { ptrace: true },
  { capabilities: ['net_raw'] },
  { capabilities: ['all'] },
] as const;
const kernels = [{ module: true }, { bpf: true, perf: true }] as const;

/** Of rules and defaults of these policies. */
function exceptionFrom(policies: readonly HardeningPolicy[]): fc.Arbitrary<readonly Exception[]> {
  const denials = policies.flatMap(({ metadata, spec }) => [
    ...spec.rules
      .filter(({ action }) => action === 'deny')
      .map((one) => ({ policy: metadata.name, rule: one.id, word: exceptedWord(one) })),
    ...(['exec', 'write', 'create', 'mount'] as const)
      .filter((name) => spec.default?.[name] === 'deny')
      .map((name) => ({
        policy: metadata.name,
        rule: `default-${name}`,
        word: exceptedWord(name === 'exec' ? { exec: {} } : { file: { [name]: {} } }),
      })),
  ]);
  if (denials.length === 0) return fc.constant([]);
  const one = fc.constantFrom(...denials).chain(({ policy: name, rule: id, word: words }) =>
    fc
      .tuple(words, fc.option(subject, { freq: 3, nil: undefined }))
      .map(([what, whom]): Exception['spec'] => ({
        ...{ owner: 'o', reason: 'r', expires: '2040-01-01' },
        of: { policy: name, rule: id },
        ...(whom === undefined ? {} : { subject: whom }),
        ...what,
      })),
  );
  return fc.array(one, { minLength: 1, maxLength: 5, size: 'max' }).map((specs) =>
    specs.map((spec, at) => ({
      apiVersion: 'husk/v1',
      kind: 'Exception',
      metadata: { name: `x${at}` },
      spec,
    })),
  );
}

/** The same policies, and exceptions of some of their rules. */
export const exceptedDocuments: fc.Arbitrary<readonly PolicyDocument[]> = fc
  .constant(null)
  .chain(() => hardeningDocuments)
  .chain((policies) => exceptionFrom(policies).map((exceptions) => [...policies, ...exceptions]));

/** Two of the four mean the same tasks, in other words. */
export const hardeningDocuments: fc.Arbitrary<readonly HardeningPolicy[]> = subject.chain((shared) =>
  fc.tuple(
    policy('a', fc.constant(shared)),
    policy('b', subject),
    policy(
      'c',
      fc.constant({ ...shared, ...(typeof shared.user === 'number' ? { user: [shared.user] } : {}) }),
    ),
    policy('d', subject),
  ),
);

const program: fc.Arbitrary<ProgramRun> = fc
  .tuple(fc.constantFrom(...programs, '/bin/other'), fc.constantFrom('sh', 'ls', 'busybox', null))
  .map(([path, applet]) => ({ path, applet }));
const task: fc.Arbitrary<OperationAt['task']> = fc.record({
  lineage: fc.array(program, { minLength: 0, maxLength: 3, size: 'max' }),
  lineageKnown: fc.constantFrom(true, true, true, false),
  user: fc.constantFrom(33, 33, 33, 34, 0),
  cgroup: fc.constantFrom('d/x', 'd/x/y', 'd', 'e', 'dd', null),
});

function objectOf(operation: OperationName): fc.Arbitrary<ObjectAt> {
  if (operation === 'capability') {
    return fc
      .constantFrom('net_raw', 'chown', 'sys_admin')
      .map((name) => ({ number: capabilityNumber(name) ?? 0 }));
  }
  if (!pathOperations.includes(operation)) return fc.constant({});
  const isRun = operation === 'exec' || operation === 'load';
  return fc
    .tuple(
      fc.constantFrom(...files, '/a/b/c/x/y', '/other', '/', deep),
      isRun ? fc.subarray(['memfd', 'deleted', 'setuid'] as const, { maxLength: 1 }) : fc.constant([]),
      fc.constantFrom(false, false, false, false, false, true),
      fc.constantFrom('sh', 'ls', 'nc', 'busybox'),
    )
    .map(([path, traits, isUnresolved, startedAs]) => ({
      ...(isUnresolved ? {} : { path }),
      traits: isUnresolved ? [...traits, 'unresolved' as const] : traits,
      ...(operation === 'exec' ? { startedAs } : {}),
    }));
}

export const operationMade: fc.Arbitrary<OperationAt> = fc
  .constantFrom(...operationNames, ...pathOperations, ...pathOperations)
  .chain((operation) =>
    fc.tuple(task, objectOf(operation)).map(([whose, object]) => ({ task: whose, operation, object })),
  );
