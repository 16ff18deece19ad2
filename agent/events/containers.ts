// Containers by the paths of their cgroups: each runtime names those in a way of its own.

export interface Container {
  readonly uid: string;
  readonly runtime: string;
}

const id = '(?<uid>[0-9a-f]{12,64})';
/** By systemd's scopes and by plain folders. */
const patterns: readonly (readonly [runtime: string, pattern: RegExp])[] = [
  ['docker', new RegExp(`/docker[-/]${id}(?:\\.scope)?(?:/|$)`)],
  ['podman', new RegExp(`/libpod-${id}(?:\\.scope)?(?:/|$)`)],
  ['containerd', new RegExp(`/cri-containerd-${id}(?:\\.scope)?(?:/|$)`)],
  ['crio', new RegExp(`/crio-${id}(?:\\.scope)?(?:/|$)`)],
  ['lxc', /\/lxc(?:\.payload)?[./](?<uid>[A-Za-z0-9._-]{1,64})(?:\/|$)/],
  [
    'systemd-nspawn',
    /\/machine\.slice\/(?:systemd-nspawn@|machine-)(?<uid>[^/]{1,64}?)\.(?:service|scope)(?:\/|$)/,
  ],
];

/** null: nothing in the path says that it is one. */
export function containerOf(cgroup: string): Container | null {
  for (const [runtime, pattern] of patterns) {
    const uid = pattern.exec(cgroup)?.groups?.uid;
    if (uid !== undefined) return { uid, runtime };
  }
  return null;
}
