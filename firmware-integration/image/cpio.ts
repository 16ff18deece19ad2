// Archives in cpio's "newc" format, as the kernel unpacks them into its first root file system
// (Documentation/driver-api/early-userspace/buffer-format.rst). Archives may follow one another.

/** One entry. Parents come before what is in them. */
export type CpioEntry =
  | { readonly path: string; readonly kind: 'folder' }
  | { readonly path: string; readonly kind: 'link'; readonly target: string }
  | { readonly path: string; readonly kind: 'file'; readonly bytes: Uint8Array; readonly mode: number };

const modes = { folder: 0o040755, link: 0o120777, file: 0o100000 } as const;
/** Every header, name and content starts at a multiple of this. */
const alignment = 4;

/** An archive, with its trailer, of a length that lets another follow. */
export function packCpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => packEntry(entry, index + 1));
  // The trailer's mode is 0 and its inode too, so that it is taken for no hard link.
  parts.push(...packFields('TRAILER!!!', 0, 0, new Uint8Array()));
  return Buffer.concat(parts);
}

function packEntry(entry: CpioEntry, inode: number): Uint8Array[] {
  switch (entry.kind) {
    case 'folder':
      return packFields(entry.path, inode, modes.folder, new Uint8Array());
    case 'link':
      return packFields(entry.path, inode, modes.link, Buffer.from(entry.target));
    case 'file':
      return packFields(entry.path, inode, modes.file | entry.mode, entry.bytes);
  }
}

function packFields(path: string, inode: number, mode: number, content: Uint8Array): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  // ino, mode, uid, gid, nlink, mtime, filesize, four device numbers, namesize, check
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, padding(header.length + name.length), content, padding(content.length)];
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & (alignment - 1));
}

/** The folders above each path, once, outermost first. */
export function foldersAbove(paths: readonly string[]): CpioEntry[] {
  const folders = new Set<string>();
  for (const path of paths) {
    const names = path.split('/').slice(0, -1);
    for (let depth = 1; depth <= names.length; depth++) folders.add(names.slice(0, depth).join('/'));
  }
  return [...folders].sort().map((path) => ({ path, kind: 'folder' }));
}
