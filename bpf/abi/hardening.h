/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What system calls are judged by in tiers A and B: tasks that know which programs they come from, and
 * decisions found by subject, operation and object.
 *
 * A decision is found and never searched for: its key is made from what the task asks, so ten thousand rules
 * cost what ten do. A path is asked for once for each folder above it, which is how `under` is said.
 */
#ifndef HUSK_ABI_HARDENING_H
#define HUSK_ABI_HARDENING_H

#include "abi.h"
#include "event.h"

/* What a task wants to do. Numbers are bits of husk_operations, so below 64. */
enum husk_operation {
    HUSK_OPERATION_EXEC = 1, /* execve, and the interpreter that it leads to */
    HUSK_OPERATION_LOAD = 2, /* a file mapped executable: libraries, `ld.so FILE` */
    HUSK_OPERATION_READ = 3,
    HUSK_OPERATION_WRITE = 4,  /* opened for writing, truncated */
    HUSK_OPERATION_CREATE = 5, /* a name that was not there: file, folder, link, device */
    HUSK_OPERATION_DELETE = 6,
    HUSK_OPERATION_RENAME = 7,
    HUSK_OPERATION_LINK = 8,   /* a second name for a file */
    HUSK_OPERATION_CHMOD = 9,  /* mode and owner */
    HUSK_OPERATION_MOUNT = 10, /* mounted on, moved to, remounted, unmounted */
    HUSK_OPERATION_SETUID = 11,
    HUSK_OPERATION_CAPABILITY = 12,
    HUSK_OPERATION_PTRACE = 13,
    HUSK_OPERATION_USERNS = 14,
    HUSK_OPERATION_MODULE = 15,
    HUSK_OPERATION_BPF = 16,
    HUSK_OPERATION_KEXEC = 17,
    HUSK_OPERATION_PERF = 18,
    HUSK_OPERATION_LOCKDOWN = 19,
    HUSK_OPERATION_WRITE_EXECUTE = 20, /* memory that is both */
    HUSK_OPERATION_SOCKET = 21,
    HUSK_OPERATION_BIND = 22,
    HUSK_OPERATION_LISTEN = 23,
    HUSK_OPERATION_CONNECT = 24,
    HUSK_OPERATION_COUNT = 32,
};

/* What is asked about an object. */
enum husk_object_kind {
    HUSK_OBJECT_ANY = 1,   /* every object of the operation; value 0 */
    HUSK_OBJECT_PATH = 2,  /* this very path */
    HUSK_OBJECT_UNDER = 3, /* this folder is above the path, or is it */
    HUSK_OBJECT_APPLET = 4,
    HUSK_OBJECT_TRAIT = 5,   /* enum husk_trait */
    HUSK_OBJECT_NUMBER = 6,  /* capability, lockdown reason, socket family << 16 | type */
    HUSK_OBJECT_DEFAULT = 7, /* what holds where nothing else does; value 0 */
};

enum husk_trait {
    HUSK_TRAIT_MEMFD = 1,
    HUSK_TRAIT_DELETED = 2, /* no name leads to it; a memfd is that too */
    HUSK_TRAIT_SETUID = 3,
    HUSK_TRAIT_UNRESOLVED = 4,      /* too deep, or unreadable */
    HUSK_TRAIT_UNLISTED_APPLET = 5, /* a program of many applets, by a name that is none of them */
};

/* HUSK_TABLE_DECISIONS: hash of these. */
struct husk_object {
    husk_u32 subject; /* number, below HUSK_SUBJECTS_MAX */
    husk_u16 operation;
    husk_u16 kind;
    husk_u64 value;
};
_Static_assert(sizeof(struct husk_object) == 16, "husk_object");

/* HUSK_RULE_NONE where there is no such rule. Of several rules for one object the first of each sort stands
 * here; deny wins over exception, exception over allow, allow over the default. */
struct husk_decision {
    husk_u32 denied_by;
    husk_u32 would_deny; /* in monitor mode */
    husk_u32 allowed_by;
    husk_u32 lifts;       /* the rule whose denial, or would-be denial, does not hold for this object */
    husk_u32 would_allow; /* in monitor mode: a default in that mode would not deny */
    husk_u8 kills;        /* the denial also ends the process, outside trials */
    husk_u8 pad[3];
};
_Static_assert(sizeof(struct husk_decision) == 24, "husk_decision");

/* HUSK_TABLE_OPERATIONS: array of one. Which subjects have decisions at all, by operation. */
struct husk_operations {
    husk_u64 subjects[HUSK_OPERATION_COUNT];
    husk_u64 with_paths[HUSK_OPERATION_COUNT];
    husk_u64 observed[HUSK_OPERATION_COUNT]; /* subjects whose allowed operations are told of, too */
    husk_u64 any_program;                    /* subjects that ask for no executable */
    husk_u64 any_user;
    husk_u64 any_cgroup;
    husk_u64 unknown;                        /* subjects of tasks whose lineage is not known */
    husk_u64 learning[HUSK_OPERATION_COUNT]; /* subjects of which all of this operation is kept (sight.h) */
    husk_u32 learners[HUSK_SUBJECTS_MAX];    /* by subject: the counter index that stands for it there */
};
_Static_assert(sizeof(struct husk_operations) == 8 * (4 * HUSK_OPERATION_COUNT + 4) + 4 * HUSK_SUBJECTS_MAX,
               "husk_operations");

/* HUSK_TABLE_PROGRAMS: hash from husk_program to the subjects it makes. */
struct husk_program {
    husk_u64 path;   /* of the executable, by its file system and its path in that */
    husk_u64 applet; /* of the name it was started by; 0 in a key: any */
};
_Static_assert(sizeof(struct husk_program) == 16, "husk_program");

struct husk_program_subjects {
    husk_u64 own;     /* of a task that runs it */
    husk_u64 lineage; /* and of all that come from such a task */
};

/* HUSK_TABLE_PROGRAMS: entries. */
#define HUSK_PROGRAMS_MAX 1024
/* HUSK_TABLE_USERS: hash from user id to subjects. */
#define HUSK_USERS_MAX 256
/* HUSK_TABLE_APPLETS: hash of names that a program of many applets may be started by; applet 0: it is one. */
#define HUSK_APPLETS_MAX 2048
/* HUSK_TABLE_DECISIONS: entries. */
#define HUSK_DECISIONS_MAX 65536

/* Different programs that a task came from, itself included; more make its lineage unknown. */
#define HUSK_LINEAGE_MAX 16
/* Folders in a path; a deeper one is unresolved. */
#define HUSK_PATH_DEPTH_MAX 32
/* Bytes of a name in a path (NAME_MAX, and the terminator). */
#define HUSK_NAME_BYTES 256

/* husk_task.flags */
#define HUSK_TASK_LINEAGE_FULL 1 /* more programs than it has room for */

/* Kept with each task by the kernel, from before it first runs: independent of any policy. */
struct husk_task {
    struct husk_program lineage[HUSK_LINEAGE_MAX]; /* [0]: what it runs */
    husk_u32 programs;                             /* of `lineage` */
    husk_u32 flags;
    /* What a generation made of it; made anew when that differs. */
    husk_u32 generation;
    husk_u32 pad;
    husk_u64 subjects;
    husk_u32 uid; /* that `subjects` were made for */
    husk_u32 pad2;
    /* Room for one path at a time, since 512 bytes of stack hold none: the task waits for its own calls. */
    husk_u64 rest[HUSK_PATH_DEPTH_MAX + 1];
    husk_u8 name[HUSK_NAME_BYTES];
    /* Of what it is about to do, for those who look on (learn.h, shadow.h). */
    husk_u64 dentry; /* address; 0: the object has no path */
    husk_u64 typed;  /* EXEC: address of the name it is started by */
    husk_u64 typed_number;
};

/* What the canary's operation is judged about, whatever it does it to: no file has to be made for it. */
struct husk_canary_object {
    husk_u64 number;
    husk_u64 applet;
    husk_u64 whole;
    husk_u64
        rest[HUSK_PATH_DEPTH_MAX]; /* as bpf/include/object_path.h leaves them, that of the last name first */
    husk_u32 depth;
    husk_u32 device;
    husk_u8 has_path;
    husk_u8 traits; /* a bit for each enum husk_trait */
    husk_u8 pad[6];
};

/* Random, made with the maps: who can make files must not be able to make two paths one. */
struct husk_path_key {
    husk_u64 mix[4];
};

#endif
