// The disk of the reference device: an MBR and four partitions, written here; nothing is mounted to make it.
//
//   1  boot    16 MiB   left to the device's own boot loader (an emulator loads the kernel itself)
//   2  slot a  96 MiB   squashfs
//   3  slot b  96 MiB   squashfs
//   4  data   128 MiB   ext4: what may change
//
// The file is sparse: what nobody wrote takes no room.

import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';

const sectorBytes = 512;
const mib = 1024 * 1024;
/** Everything begins at a multiple of it, as flash likes it. */
const alignBytes = mib;

const sizesMib = { boot: 16, slotA: 96, slotB: 96, data: 128 } as const;
type PartitionName = keyof typeof sizesMib;

export interface Partition {
  readonly name: PartitionName;
  readonly offset: number;
  readonly bytes: number;
}

/** Where each partition lies, in bytes. */
function layOutDisk(): Partition[] {
  let offset = alignBytes;
  return Object.entries(sizesMib).map(([name, size]) => {
    const partition = { name: name as PartitionName, offset, bytes: size * mib };
    offset += partition.bytes;
    return partition;
  });
}

/** Writes a disk with the same squashfs in both slots and an empty data partition. Throws where it does not fit. */
export function writeDisk(path: string, squashfs: string): void {
  const partitions = layOutDisk();
  const content = readFileSync(squashfs);
  const disk = openSync(path, 'w');
  try {
    const last = partitions.at(-1);
    ftruncateSync(disk, last === undefined ? 0 : last.offset + last.bytes);
    writeSync(disk, masterBootRecord(partitions), 0, sectorBytes, 0);
    for (const { name, offset, bytes } of partitions) {
      if (name !== 'slotA' && name !== 'slotB') continue;
      if (content.length > bytes)
        throw new Error(`the root of ${content.length} bytes does not fit into ${name} of ${bytes}`);
      writeSync(disk, content, 0, content.length, offset);
    }
  } finally {
    closeSync(disk);
  }
  for (const { name, offset, bytes } of partitions) if (name === 'data') makeExt4(path, offset, bytes);
}

/** `orphan_file` is unknown to kernels before 5.15. */
function makeExt4(path: string, offset: number, bytes: number): void {
  const extended = `offset=${offset},lazy_itable_init=1,lazy_journal_init=1`;
  const options = ['-q', '-F', '-m', '0', '-L', 'husk-data', '-O', '^orphan_file', '-E', extended];
  execFileSync('mkfs.ext4', [...options, path, `${bytes / 1024}k`], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/**
 * The first sector: four entries of 16 bytes from byte 446 on, `55 aa` at the end. Addresses by cylinder, head and sector
 * are the largest there are, which says: go by sector numbers.
 */
function masterBootRecord(partitions: readonly Partition[]): Buffer {
  const record = Buffer.alloc(sectorBytes);
  const linux = 0x83;
  partitions.forEach(({ offset, bytes }, index) => {
    const at = 446 + 16 * index;
    record.set([0x00, 0xfe, 0xff, 0xff, linux, 0xfe, 0xff, 0xff], at);
    record.writeUInt32LE(offset / sectorBytes, at + 8);
    record.writeUInt32LE(bytes / sectorBytes, at + 12);
  });
  record.set([0x55, 0xaa], 510);
  return record;
}
