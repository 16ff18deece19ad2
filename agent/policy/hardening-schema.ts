// The shape of HardeningPolicy documents; HARDENING.md says what they mean.

import * as z from 'zod';
import { apiVersion, fileWords, observeWords } from '../contract/policy.ts';
import { socketFamilyNumbers, socketTypeNumbers } from './numbers.ts';
import {
  addressList,
  addressSetReference,
  localName,
  metadata,
  optional,
  portMatch,
  rulesMax,
  words,
} from './shapes.ts';

/** Paths, names or user ids of one list. */
const listMax = 256;
/** PATH_MAX without its NUL. */
const pathMax = 4095;

const path = z.string().min(1).max(pathMax);
const paths = z.array(path).min(1).max(listMax);
const names = z.array(z.string().min(1).max(255)).min(1).max(listMax);
const yes = z.literal(true);
const user = z.int().min(0).max(0xfffffffe);

const veryPaths = optional(paths.describe('These very paths, absolute.'));
const under = optional(paths.describe('These folders and all below them, absolute.'));
const applets = optional(
  names.describe('Names by which a program of many applets is started, as wget of a busybox.'),
);

export const hardeningMode = z
  .enum(['off', 'learn', 'monitor', 'enforce'])
  .describe(
    'off: not compiled. learn: what is done is gathered, nothing is decided. monitor: counted and reported, not acted on. A rule may lower it, never raise it.',
  );

const callMatch = z.strictObject({
  to: optional(z.union([addressList, addressSetReference]).describe('Addresses meant; absent: all.')),
  except: optional(
    z.union([addressList, addressSetReference]).describe('All addresses but these. Not together with to.'),
  ),
  protocol: optional(z.enum(['tcp', 'udp'])),
  ports: optional(portMatch),
});

const socketMatch = z.strictObject({
  family: optional(z.array(words(socketFamilyNumbers)).min(1).max(8)),
  type: optional(z.array(words(socketTypeNumbers)).min(1).max(8)),
});

const execMatch = z
  .strictObject({
    paths: veryPaths,
    under,
    applets,
    memfd: optional(yes.describe('Files that are memory alone (memfd_create).')),
    deleted: optional(yes.describe('Files that no name leads to.')),
    setuid: optional(yes.describe('Files with the set-user-ID or set-group-ID bit.')),
    except: optional(
      z
        .strictObject({ paths: veryPaths, under, applets })
        .describe('Everything but these. Not together with the others, and of denials alone.'),
    ),
  })
  .describe('What is run. Alternatives; {} is every program.');

const pathMatch = z
  .strictObject({
    paths: veryPaths,
    under,
    except: optional(
      z
        .strictObject({ paths: veryPaths, under })
        .describe('Everything but these. Not together with the others, and of denials alone.'),
    ),
  })
  .describe('Alternatives; {} is every path.');

const fileMatch = z
  .strictObject(
    Object.fromEntries(fileWords.map((word) => [word, optional(pathMatch)])) as Record<
      (typeof fileWords)[number],
      z.ZodExactOptional<typeof pathMatch>
    >,
  )
  .describe('What is done to files; at least one word.');

const privilegeMatch = z
  .strictObject({
    setuid: optional(yes.describe('To become another user.')),
    capabilities: optional(names.describe('As in net_raw, without CAP_; all for any.')),
    ptrace: optional(yes),
    userns: optional(yes.describe('To make a user namespace.')),
  })
  .describe('At least one; alternatives.');

const kernelMatch = z
  .strictObject({
    module: optional(yes.describe('To load a module, or make the kernel load one.')),
    bpf: optional(yes),
    kexec: optional(yes),
    perf: optional(yes),
    lockdown: optional(yes.describe('What a locked down kernel refuses.')),
  })
  .describe('At least one; alternatives.');

export const hardeningRule = z
  .strictObject({
    id: localName.describe('Unique in the document; counters and events are kept under document/id.'),
    mode: optional(hardeningMode),
    connect: optional(callMatch.describe('connect() and every send to an address.')),
    bind: optional(callMatch),
    socket: optional(socketMatch),
    exec: optional(execMatch),
    file: optional(fileMatch),
    privilege: optional(privilegeMatch),
    kernel: optional(kernelMatch),
    memory: optional(
      z.strictObject({ writeExecute: yes.describe('Memory that is writable and executable.') }),
    ),
    action: z.enum(['allow', 'deny']),
    kill: optional(z.boolean().describe('A denial also ends the process; not in a trial.')),
  })
  .describe(
    'Exactly one of connect, bind, socket, exec, file, privilege, kernel, memory. Deny wins over allow, allow over the default.',
  );

const verdict = z.enum(['allow', 'deny']);

export const subject = z
  .strictObject({
    cgroup: optional(
      z
        .string()
        .max(255)
        .regex(
          /^[!--0-~][!-.0-~]*(\/[!--0-~][!-.0-~]*)*$/,
          'has to be a path below the hardening root such as daemons/httpd, without a slash at its ends',
        )
        .describe("A cgroup below the device's hardening root, children included."),
    ),
    executable: optional(
      z.union([path, paths]).describe('What the task runs, or what it comes from; absolute paths.'),
    ),
    descendants: optional(
      z.boolean().describe('Tasks that come from such a one are meant as well. Default: true.'),
    ),
    applet: optional(z.string().min(1).max(255).describe('The name by which the executable was started.')),
    user: optional(z.union([user, z.array(user).min(1).max(listMax)]).describe('Effective user ids.')),
    unknown: optional(verdict.describe('Whether tasks of unknown lineage are meant (deny). Default: allow.')),
  })
  .describe('Whose calls are judged: all conditions at once, at least one.');

export const minimumTier = z
  .enum(['A', 'B', 'C', 'D'])
  .describe('On a device below this tier the bundle is refused.');

export const hardeningDefaults = z
  .strictObject({
    connect: optional(verdict),
    bind: optional(verdict),
    socket: optional(verdict),
    exec: optional(verdict),
    write: optional(verdict),
    create: optional(verdict),
    mount: optional(verdict),
  })
  .describe('Per operation, what happens when no rule matches. Default: allow.');

export const hardeningPolicySchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('HardeningPolicy'),
  metadata,
  spec: z.strictObject({
    mode: hardeningMode,
    subject,
    minimumTier: optional(minimumTier),
    observe: optional(
      z
        .array(z.enum(observeWords))
        .max(observeWords.length)
        .describe(
          'What subjects do that is told of although it is allowed, in tiers A and B. Default: [exec].',
        ),
    ),
    default: optional(hardeningDefaults),
    rules: z.array(hardeningRule).max(rulesMax),
  }),
});
