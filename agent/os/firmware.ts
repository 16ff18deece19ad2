// The firmware's own word for what it is: a file that the image was built with.
//
// A shield may end by it, so that whoever breaks into the device must not be able to write it: it counts where it lies on
// a file system that is read-only as a whole. A read-only bind mount of a writable one does not do, nor an overlay with an
// upper layer, nor memory. What is shown of the image below an overlay, as OpenWrt does at /rom, is looked at first.

import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import type { FirmwareFacts } from '../contract/firmware.ts';
import { messageOf } from '../contract/thrown.ts';
import type { Files } from './files.ts';

/** Where images show what is below their overlay. */
const imageRoot = '/rom';
const bytesMax = 16 * 1024;
const lengthMax = 128;

/** null: it is no such facts. Other keys are the firmware's own business. */
function readFacts(value: unknown): Pick<FirmwareFacts, 'vendor' | 'model' | 'version'> | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const facts = value as Readonly<Record<string, unknown>>;
  const isText = (one: unknown): one is string =>
    typeof one === 'string' && one.length > 0 && one.length <= lengthMax;
  const [vendor, model, version] = ['vendor', 'model', 'version'].map((key) => facts[key] ?? null);
  const isSound = [vendor, model, version].every((one) => one === null || isText(one));
  if (!isSound) return null;
  return {
    vendor: isText(vendor) ? vendor : null,
    model: isText(model) ? model : null,
    version: isText(version) ? version : null,
  };
}

/** File systems on a disk, whose being read-only is the disk's image's. */
const imageTypes: ReadonlySet<string> = new Set([
  ...['squashfs', 'erofs', 'cramfs', 'romfs', 'iso9660', 'ext2', 'ext3', 'ext4'],
  ...['f2fs', 'btrfs', 'xfs', 'ubifs', 'overlay'],
]);

/** Facts that are not there, or not readable, are unknown, and said to be. Does not throw. */
export function readFirmware(files: Files, path: string): FirmwareFacts {
  const unknown = (why: string): FirmwareFacts => ({
    vendor: null,
    model: null,
    version: null,
    untrusted: why,
  });
  const from = existsSync(imageRoot + path) ? imageRoot + path : path;
  try {
    const bytes = files.readBounded(from, bytesMax);
    if (bytes === null) return unknown(`there is no ${path}`);
    const facts = readFacts(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    if (facts === null) return unknown(`${from} does not say vendor, model and version as text`);
    return { ...facts, untrusted: isInImage(from) ? null : `${from} is on a writable mount` };
  } catch (error) {
    return unknown(`${from} is not readable: ${messageOf(error)}`);
  }
}

/** Whether what is written at the path came with the image, and nobody has changed it. False where that is not certain. */
export function isInImage(
  path: string,
  mounts: () => string = () => readFileSync('/proc/self/mountinfo', 'utf8'),
): boolean {
  try {
    const real = realpathSync(path);
    const device = statSync(real).dev;
    // Of those that are above it, the last made one hides the others; the device tells which of them is seen.
    const seen = readLines(mounts())
      .filter(({ at, dev }) => dev === device && (at === '/' || real === at || real.startsWith(`${at}/`)))
      .at(-1);
    return seen !== undefined && imageTypes.has(seen.type) && seen.superOptions.includes('ro');
  } catch {
    return false;
  }
}

interface MountLine {
  readonly at: string;
  /** As stat() gives it. */
  readonly dev: number;
  readonly type: string;
  readonly superOptions: readonly string[];
}

/** Lines of proc_pid_mountinfo(5): what is behind the hyphen is of the file system, not of the mount. */
function readLines(mountinfo: string): readonly MountLine[] {
  return mountinfo.split('\n').flatMap((line): readonly MountLine[] => {
    const fields = line.split(' ');
    const [, , device = '', , at = ''] = fields;
    const [type = '', , superOptions = ''] = fields.slice(fields.indexOf('-') + 1);
    const [major, minor] = device.split(':').map(Number);
    if (major === undefined || minor === undefined || Number.isNaN(major + minor)) return [];
    const place = at.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return [{ at: place, dev: deviceNumber(major, minor), type, superOptions: superOptions.split(',') }];
  });
}

/** glibc's makedev(), which is what stat() is given in. */
const deviceNumber = (major: number, minor: number) =>
  Number(
    (BigInt(minor) & 0xffn) |
      ((BigInt(major) & 0xfffn) << 8n) |
      ((BigInt(minor) & ~0xffn) << 12n) |
      ((BigInt(major) & ~0xfffn) << 32n),
  );
