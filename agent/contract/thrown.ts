// What to say of something that was thrown, whatever it is.

/** Its message. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);

/** What the system answers about files, as people say it. */
const systemWords: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EISDIR: 'is a folder, not a file',
  ENOTDIR: 'a part of its path is no folder',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOSPC: 'there is no space left',
  EROFS: 'lies on a file system that is read only',
  ELOOP: 'its links lead in a circle',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'too many files are open',
  ENXIO: 'there is nobody at its other end',
};

/** The same, without the system's own way of putting it: as in `is a folder, not a file`. */
export function systemMessageOf(thrown: unknown): string {
  const code = (thrown as { readonly code?: unknown } | null)?.code;
  return (typeof code === 'string' ? systemWords[code] : undefined) ?? messageOf(thrown);
}
