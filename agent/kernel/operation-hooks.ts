// Which hooks judge an operation: HARDENING.md §6 as data, which a test holds against that table.

import type { OperationName } from '../policy/operation-words.ts';

/** All that are needed for a rule about it to be called enforced; the hooks of tier A, whose functions are those of tier B. */
export const operationHooks: Readonly<Record<OperationName, readonly string[]>> = {
  exec: ['bprm_check_security'],
  load: ['mmap_file', 'file_mprotect'],
  read: ['file_open'],
  write: ['file_open', 'path_truncate'],
  create: ['inode_create', 'inode_mkdir', 'inode_mknod', 'inode_symlink', 'inode_link', 'inode_rename'],
  delete: ['inode_unlink', 'inode_rmdir', 'inode_rename'],
  rename: ['inode_rename'],
  link: ['inode_link'],
  chmod: ['path_chmod', 'path_chown'],
  mount: ['sb_mount', 'move_mount', 'sb_umount'],
  setuid: ['task_fix_setuid', 'task_fix_setgid', 'task_fix_setgroups'],
  capability: ['capable'],
  ptrace: ['ptrace_access_check', 'ptrace_traceme'],
  userns: ['userns_create'],
  module: ['kernel_read_file', 'kernel_load_data', 'kernel_module_request'],
  bpf: ['bpf'],
  kexec: ['kernel_read_file', 'kernel_load_data'],
  perf: ['perf_event_open'],
  lockdown: ['locked_down'],
  writeExecute: ['mmap_file', 'file_mprotect'],
};

/** Of calls of subjects that are more than a cgroup. */
export const callHooks = {
  connect: ['socket_connect', 'socket_sendmsg'],
  bind: ['socket_bind', 'socket_listen'],
  socket: ['socket_create'],
} as const;
