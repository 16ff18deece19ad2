// Events of what tasks do and call for, as a device tells them: read, and bounded.

import { z } from 'zod';

const counter = z.int().min(0);
const short = z.string().max(256);
const line = z.string().max(4096);
/** The kernel keeps 16 programs of a lineage, /proc is followed as far. */
const ancestryMax = 16;

const program = z.looseObject({
  path: line.nullable(),
  name: z.exactOptional(line),
  number: z.exactOptional(short),
});
const process = z.looseObject({
  pid: counter,
  tid: counter,
  name: short,
  startMono: z.number().min(0).nullable(),
  file: program,
  user: z.looseObject({ uid: counter }),
  group: z.looseObject({ uid: counter }),
  cgroup: line,
  container: z.exactOptional(z.looseObject({ uid: short, runtime: short })),
  parent_process: z.exactOptional(z.looseObject({ pid: counter, name: short })),
  ancestry: z.array(program).max(ancestryMax),
  ancestryIsWhole: z.boolean(),
});
const endpoint = z.looseObject({ ip: short, port: counter });

const finding = {
  class_uid: counter,
  activity_id: counter,
  severity_id: counter,
  disposition_id: counter,
  rule: short.nullable(),
  policy: z.exactOptional(z.looseObject({ name: short })),
  shield: z.exactOptional(z.looseObject({ name: short, cve: z.array(short).max(16), severity: short })),
  verdict: z.enum(['allow', 'deny']),
  mode: z.enum(['monitor', 'enforce']),
  serial: counter,
  tier: z.exactOptional(short),
  killed: z.exactOptional(z.literal(true)),
  process: process.nullable(),
  count: counter,
  duration: z.exactOptional(counter),
  remediation: z.exactOptional(z.looseObject({ desc: line })),
};
/** What agents told of calls before there was more to say of tasks. */
const plain = {
  class_uid: z.exactOptional(counter),
  activity_id: z.exactOptional(counter),
  severity_id: z.exactOptional(counter),
  disposition_id: z.exactOptional(counter),
  process: z.exactOptional(process.nullable()),
};

export const callEvent = z.looseObject({
  kind: z.literal('call'),
  ...finding,
  ...plain,
  call: z.enum(['connect', 'bind', 'socket']),
  command: short,
  executable: line.nullable(),
  pid: counter,
  uid: counter,
  gid: counter,
  cgroup: line,
  family: short,
  type: short,
  protocol: counter,
  address: short,
  port: counter,
  dst_endpoint: z.exactOptional(endpoint),
  src_endpoint: z.exactOptional(endpoint),
});

export const operationEvent = z.looseObject({
  kind: z.literal('operation'),
  ...finding,
  operation: short,
  file: z
    .looseObject({
      path: line,
      name: z.exactOptional(line),
      device: short,
      devicePath: z.exactOptional(line),
    })
    .nullable(),
  number: z.exactOptional(z.number().min(0)),
  traits: z.exactOptional(z.array(short).max(16)),
});
