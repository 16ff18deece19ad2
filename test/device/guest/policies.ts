// The policies that the guests' tests put in force.

const zones = { wan: { interfaces: ['hk0'] } } as const;

/** Drops a listed peer and one port outwards; a service calls nobody but itself. */
export const guarded: readonly unknown[] = [
  {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'wire' },
    spec: {
      mode: 'enforce',
      zones,
      sets: { listed: ['192.0.2.10/32', '2001:db8::10/128'] },
      ingress: [
        {
          zone: 'wan',
          default: 'allow',
          rules: [{ id: 'listed', from: { set: 'listed' }, action: 'drop' }],
        },
      ],
      egress: [
        {
          zone: 'wan',
          default: 'allow',
          rules: [{ id: 'no-7001', protocol: 'udp', ports: { to: 7001 }, action: 'drop' }],
        },
      ],
    },
  },
  {
    apiVersion: 'husk/v1',
    kind: 'HardeningPolicy',
    metadata: { name: 'stubd' },
    spec: {
      mode: 'enforce',
      subject: { cgroup: 'stubd' },
      rules: [{ id: 'no-call-home', connect: { except: ['127.0.0.0/8', '::1/128'] }, action: 'deny' }],
    },
  },
];

/** Lets nothing in. */
export const shut: readonly unknown[] = [
  {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'shut' },
    spec: {
      mode: 'enforce',
      zones,
      ingress: [{ zone: 'wan', default: 'drop', rules: [] }],
      egress: [],
    },
  },
];

/** A daemon that is held to what it does. */
export const hardened: readonly unknown[] = [
  {
    apiVersion: 'husk/v1',
    kind: 'HardeningPolicy',
    metadata: { name: 'stubd' },
    spec: {
      mode: 'enforce',
      subject: { executable: '/srv/stubd/sh' },
      rules: [
        { id: 'no-tmp-exec', exec: { under: ['/tmp'], memfd: true }, action: 'deny' },
        { id: 'no-loader', exec: { applets: ['wget', 'tftp'] }, action: 'deny' },
        {
          id: 'conf',
          file: { write: { under: ['/etc/stubd'] }, create: { under: ['/etc/stubd'] } },
          action: 'deny',
        },
        { id: 'sealed', kernel: { module: true, bpf: true }, action: 'deny' },
        { id: 'no-call-home', connect: { except: ['127.0.0.0/8', '::1/128'] }, action: 'deny' },
        { id: 'no-mount', file: { mount: {} }, action: 'deny' },
        { id: 'no-raw', socket: { type: ['raw'] }, action: 'deny' },
        { id: 'no-packet', socket: { family: ['packet'] }, action: 'deny' },
        { id: 'no-listening', bind: { ports: '1-65535' }, action: 'deny' },
        { id: 'no-other-user', privilege: { setuid: true }, action: 'deny' },
        { id: 'locked', kernel: { lockdown: true }, action: 'deny' },
        { id: 'seen', mode: 'monitor', file: { delete: { under: ['/srv'] } }, action: 'deny' },
      ],
    },
  },
  {
    apiVersion: 'husk/v1',
    kind: 'HardeningPolicy',
    metadata: { name: 'jitd' },
    spec: {
      mode: 'enforce',
      subject: { executable: '/srv/jitd/node' },
      rules: [{ id: 'no-jit', memory: { writeExecute: true }, action: 'deny' }],
    },
  },
  // Whoever is in this cgroup may do nothing of all that operations are asked for.
  {
    apiVersion: 'husk/v1',
    kind: 'HardeningPolicy',
    metadata: { name: 'each' },
    spec: {
      mode: 'enforce',
      subject: { cgroup: 'each' },
      rules: [
        { id: 'run', exec: {}, action: 'deny' },
        { id: 'loaded', exec: { memfd: true }, action: 'deny' },
        {
          id: 'files',
          file: {
            // All of them would be in the way of modules and kexec, which are read from files.
            read: { under: ['/run'] },
            write: {},
            create: {},
            delete: {},
            rename: {},
            link: {},
            chmod: {},
            mount: {},
          },
          action: 'deny',
        },
        {
          id: 'privilege',
          privilege: { setuid: true, capabilities: ['sys_chroot'], ptrace: true, userns: true },
          action: 'deny',
        },
        {
          id: 'kernel',
          kernel: { module: true, bpf: true, kexec: true, perf: true },
          action: 'deny',
        },
        { id: 'memory', memory: { writeExecute: true }, action: 'deny' },
      ],
    },
  },
];
