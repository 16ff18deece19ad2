/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What Husk guards of its own: files and pins by their place, kernel objects by their id, the agent's
 * process.
 */
#ifndef HUSK_ABI_SELF_H
#define HUSK_ABI_SELF_H

#include "abi.h"

/* husk_self_place: flags of a place, which is a path's number as everywhere (hardening.h). */
#define HUSK_SELF_FILE 1    /* this object is not written, removed, renamed, linked, nor its mode changed */
#define HUSK_SELF_FOLDER 2  /* nor anything in it */
#define HUSK_SELF_ABOVE 4   /* a folder on the way: not renamed, removed, nor mounted over */
#define HUSK_SELF_PROGRAM 8 /* who runs it is the agent, or a command of its */
#define HUSK_SELF_SECRET 16 /* what is in it is not read by shielded services either */

/* Guarded places, of all kinds. */
#define HUSK_SELF_PLACES_MAX 256
/* File systems that they are on. */
#define HUSK_SELF_DEVICES_MAX 8
/* Maps, programs and links. */
#define HUSK_SELF_OBJECTS_MAX 8192
/* Interfaces whose filters are held by a clsact. */
#define HUSK_SELF_INTERFACES_MAX 256

enum husk_self_open {
    HUSK_SELF_SHUT = 0,
    HUSK_SELF_OPEN_LOGINS = 1, /* for tasks outside every shielded service */
    HUSK_SELF_OPEN_ALL = 2,
};

enum husk_self_kind {
    HUSK_SELF_MAP = 1,
    HUSK_SELF_BPF_PROGRAM = 2,
    HUSK_SELF_LINK = 3,
};

struct husk_self_object {
    husk_u32 kind; /* enum husk_self_kind */
    husk_u32 id;
};
_Static_assert(sizeof(struct husk_self_object) == 8, "husk_self_object");

/* Array of one. Writer: the agent, when it starts, and when somebody lets go of the guard for a while. */
struct husk_self {
    husk_u64 control_inode; /* the socket for commands */
    husk_u32 control_device;
    husk_u32 agent;          /* process id of the running agent; 0: none yet */
    husk_u32 mount_space;    /* the agent's mount namespace; mounts of others hide nothing from it */
    husk_u32 open_until;     /* seconds of boot time */
    husk_u32 open_to;        /* enum husk_self_open */
    husk_u32 bpffs;          /* device of the bpf file system */
    husk_u32 interfaces;     /* entries of self_interfaces */
    husk_u32 devices_length; /* of `devices` */
    husk_u32 devices[HUSK_SELF_DEVICES_MAX];
};
_Static_assert(sizeof(struct husk_self) == 72, "husk_self");

#endif
