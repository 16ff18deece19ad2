// The device's own configuration: a JSON file that comes with the image, under nobody's control but its owner's.
//
// Every fault is reported at once with its path in the file; a field that is not known is a fault, since a
// misspelt limit that is silently ignored protects nobody. What the fleet may decide is not in here.

import * as z from 'zod';
import { HUSK_COUNTERS_MAX, HUSK_SERVICES_MAX } from '../bpf/abi/layout.gen.ts';
import { messageOf } from './contract/thrown.ts';
import { spoolBytesLeast } from './events/spool.ts';
import { FileError, type Files } from './os/files.ts';
import { logLevels } from './os/log.ts';
import { rangeWords, readRange } from './policy/addresses.ts';
import { type NeverDrop, usualNeverDrop } from './policy/device-view.ts';
import { usualSizes } from './policy/kernel-memory.ts';

export interface Config {
  /** Identity, bundles, serials, spool: survives reboots. */
  readonly stateDirectory: string;
  /** Control socket: gone after a reboot. */
  readonly runDirectory: string;
  /** A mounted bpf file system; pins are in husk/ below it. */
  readonly bpffs: string;
  /** Interfaces that packet programs are attached to, by name or glob; those of a policy's zones must be among them. */
  readonly interfaces: readonly string[];
  /** How XDP is attached where packets are judged by it; where the driver has no native XDP, tc takes its place. */
  readonly xdpMode: 'native' | 'generic';
  /** What no policy can drop, and on which interfaces (agent/policy/PACKETS.md §4). The controller is added to the services. */
  readonly neverDrop: NeverDrop;
  /** Hardening rules name cgroups below this cgroup v2 directory; without it they cannot be enforced. */
  readonly hardening: { readonly cgroup: string; readonly tasks: boolean } | null;
  /** Whether Husk guards its own pins, files and process against others (SECURITY.md); in tiers A and B. */
  readonly selfProtection: 'on' | 'off';
  /** What a bundle's own trial length is clamped to. */
  readonly trial: { readonly minimumSeconds: number; readonly maximumSeconds: number };
  readonly spool: { readonly bytesMax: number };
  readonly events: {
    /** Per CPU; packet events beyond are counted as suppressed. */
    readonly packetPerSecond: number;
  };
  /** What policies may take of the kernel's memory, and how large the maps are that do not hang on one. */
  readonly limits: {
    /** Bytes, both generations and all other maps together. null: an eighth of the memory, at least 16 MiB. */
    readonly kernelBytesMax: number | null;
    /** Bytes of memory that compiling a policy may take meanwhile. null: a quarter of the memory, at least 64 MiB. */
    readonly prepareBytesMax: number | null;
    readonly connections: number;
    /** Token buckets of limits. */
    readonly buckets: number;
    /** Rules and defaults with a counter, of the policy in force and the next. */
    readonly counters: number;
  };
  readonly link: {
    readonly keepaliveSeconds: number;
    /** Pauses between tries to connect lie between these, with full jitter. */
    readonly reconnectSeconds: { readonly minimum: number; readonly maximum: number };
  };
  readonly clock: {
    /** Set the system clock forward when it stands before a time that has certainly passed. Needs root. */
    readonly step: boolean;
  };
  /** What the firmware says of itself: JSON with vendor, model and version. */
  readonly firmware: string;
  /** Overrides what the firmware says. */
  readonly hardwareId: string | null;
  /** How to enroll: a `husk-join:` line, or the path of a file that holds one. */
  readonly join: string | null;
  readonly log: { readonly level: (typeof logLevels)[number] };
}

export const configPath = '/etc/husk/agent.json';
const configBytesMax = 64 * 1024;

/** A file that cannot be used, with every reason for it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];
  constructor(path: string, faults: readonly string[]) {
    super(`${path}:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
    this.faults = faults;
  }
}

const absolutePath = z
  .string()
  .max(512)
  .regex(/^\//, 'must be an absolute path')
  .refine((path) => !path.split('/').includes('..'), 'must not contain ..')
  .refine((path) => !path.includes('\0'), 'must not contain NUL');
/** IFNAMSIZ is 16 with its NUL; `*` and `?` make a glob. */
const interfaceName = z
  .string()
  .regex(/^[^\s/]{1,15}$/, 'must be an interface name or glob of at most 15 characters');
const interfaceNames = z.array(interfaceName).max(64);
/** Two places are kept for the controller and its enrollment listener. */
const servicesMax = HUSK_SERVICES_MAX - 2;
const service = z.strictObject({
  protocol: z.enum(['tcp', 'udp']),
  port: z.int().min(1).max(65535),
  address: z
    .string()
    .refine((text) => isAddress(text), 'must be an IPv4 or IPv6 address')
    .nullable()
    .default(null),
});
const neverDrop = z
  .strictObject({
    arp: interfaceNames.default([...usualNeverDrop.arp]),
    neighbourDiscovery: interfaceNames.default([...usualNeverDrop.neighbourDiscovery]),
    dhcpClient: interfaceNames.default([...usualNeverDrop.dhcpClient]),
    dhcpServer: interfaceNames.default([...usualNeverDrop.dhcpServer]),
    replies: interfaceNames.default([...usualNeverDrop.replies]),
    services: z
      .array(service)
      .max(servicesMax)
      .default([...usualNeverDrop.services]),
  })
  .prefault({});

/** One address without a prefix length, of either family. */
function isAddress(text: string): boolean {
  const family = readRange(text, new Uint32Array(rangeWords));
  return typeof family === 'number' && !/[/-]/.test(text);
}

const seconds = (least: number, most: number) => z.int().min(least).max(most);

const configSchema = z
  .strictObject({
    stateDirectory: absolutePath.default('/var/lib/husk'),
    runDirectory: absolutePath.default('/run/husk'),
    bpffs: absolutePath.default('/sys/fs/bpf'),
    interfaces: z.array(interfaceName).max(64).default([]),
    xdpMode: z.enum(['native', 'generic']).default('native'),
    neverDrop,
    hardening: z
      .strictObject({ cgroup: absolutePath, tasks: z.boolean().default(true) })
      .nullable()
      .default(null),
    selfProtection: z.enum(['on', 'off']).default('on'),
    trial: z
      .strictObject({
        // Below 30 s a slow cellular link cannot come back; a lab may go down to 2.
        minimumSeconds: seconds(2, 1800).default(30),
        maximumSeconds: seconds(2, 1800).default(1800),
      })
      .prefault({})
      .refine(
        (trial) => trial.minimumSeconds <= trial.maximumSeconds,
        'minimumSeconds is above maximumSeconds',
      ),
    spool: z
      .strictObject({
        bytesMax: z
          .int()
          .min(spoolBytesLeast)
          .max(1024 ** 3)
          .default(8 * 1024 ** 2),
      })
      .prefault({}),
    events: z.strictObject({ packetPerSecond: z.int().min(0).max(1_000_000).default(1000) }).prefault({}),
    limits: z
      .strictObject({
        kernelBytesMax: z
          .int()
          .min(4 * 1024 ** 2)
          .nullable()
          .default(null),
        prepareBytesMax: z
          .int()
          .min(32 * 1024 ** 2)
          .nullable()
          .default(null),
        connections: z.int().min(64).max(4_194_304).default(usualSizes.connections),
        buckets: z.int().min(64).max(1_048_576).default(usualSizes.limits),
        counters: z.int().min(64).max(HUSK_COUNTERS_MAX).default(usualSizes.counters),
      })
      .prefault({}),
    link: z
      .strictObject({
        keepaliveSeconds: seconds(2, 3600).default(60),
        reconnectSeconds: z
          .strictObject({
            minimum: z.number().min(0.05).max(3600).default(1),
            maximum: z.number().min(0.05).max(3600).default(300),
          })
          .prefault({})
          .refine((pause) => pause.minimum <= pause.maximum, 'minimum is above maximum'),
      })
      .prefault({}),
    clock: z.strictObject({ step: z.boolean().default(false) }).prefault({}),
    firmware: absolutePath.default('/usr/lib/husk/firmware.json'),
    hardwareId: z
      .string()
      .regex(/^[\x21-\x7e]{4,128}$/, 'must be 4 to 128 printable characters without spaces')
      .nullable()
      .default(null),
    join: z
      .string()
      .max(4096)
      .refine(
        (join) => join.startsWith('husk-join:') || join.startsWith('/'),
        'must begin with husk-join: or /',
      )
      .nullable()
      .default(null),
    log: z.strictObject({ level: z.enum(logLevels).default('info') }).prefault({}),
  })
  .describe('husk-agent configuration');

/** Reads and checks a file; throws ConfigError. Without a file at the default path, the defaults hold. */
export function readConfig(files: Files, path: string | undefined): Config {
  const from = path ?? configPath;
  let bytes: Uint8Array | null;
  try {
    bytes = files.readBounded(from, configBytesMax);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    throw new ConfigError(from, [error.message]);
  }
  if (bytes === null) {
    if (path !== undefined) throw new ConfigError(from, ['there is no such file']);
    return parseConfig({}, from);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new ConfigError(from, [`not JSON: ${messageOf(error)}`]);
  }
  return parseConfig(value, from);
}

export function parseConfig(value: unknown, from: string): Config {
  const result = configSchema.safeParse(value);
  if (result.success) return result.data;
  throw new ConfigError(
    from,
    result.error.issues.flatMap((issue) => {
      const at = issue.path.map(String).join('.');
      if (issue.code === 'unrecognized_keys') {
        return issue.keys.map((key) => `${at === '' ? '' : `${at}.`}${key}: there is no such field`);
      }
      return [`${at === '' ? '(whole file)' : at}: ${issue.message}`];
    }),
  );
}
