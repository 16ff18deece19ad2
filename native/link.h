/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs bound to hooks: BPF links, the older clsact filters, and pins of all three kinds of descriptor.
 *
 * Any thread. A link lives as long as a descriptor or a pin of it; a clsact filter as long as its interface.
 */
#ifndef HUSK_NATIVE_LINK_H
#define HUSK_NATIVE_LINK_H

#include <stdint.h>

#include "error.h"

struct link_info {
    uint32_t id;
    uint32_t type;
    uint32_t program_id;
    uint32_t ifindex;
    uint32_t attach_type;
    uint64_t cgroup_id;
};

enum link_direction {
    LINK_INGRESS,
    LINK_EGRESS,
};

/* A filter of clsact, by what names it. */
struct link_clsact {
    uint32_t ifindex;
    uint32_t handle;
    uint32_t priority;
    enum link_direction direction;
};

/* Return a link's descriptor, which the caller closes. */
int link_attach_xdp(int program_fd, uint32_t ifindex, int generic, struct error *error);
int link_attach_tcx(int program_fd, uint32_t ifindex, enum link_direction direction, struct error *error);
/* `family`: 4 or 6; `hook`: enum nf_inet_hooks. Kernel 6.4 and later. */
int link_attach_netfilter(int program_fd, uint32_t family, uint32_t hook, int32_t priority,
                          struct error *error);
int link_attach_cgroup(int program_fd, const char *path, uint32_t attach_type, struct error *error);

/* LSM programs, and those on kernel functions and BTF tracepoints: each knows its hook. */
int link_attach_tracing(int program_fd, struct error *error);
/* Runs an iterator program over all there is; what it writes is read and dropped. */
int link_iterate(int program_fd, struct error *error);

/* Off its hook at once; the descriptor and the pins stay. What was detached before is no failure. */
int link_detach(int link_fd, struct error *error);
int link_update(int link_fd, int program_fd, struct error *error);
int link_info_of(int link_fd, struct link_info *info, struct error *error);

/* Replaces a filter that bears the same name. */
int link_attach_clsact(const struct link_clsact *clsact, int program_fd, struct error *error);
/* The program's id; 0 where there is no such filter. */
int link_query_clsact(const struct link_clsact *clsact, uint32_t *program_id, struct error *error);
int link_detach_clsact(const struct link_clsact *clsact, struct error *error);

enum link_pin {
    LINK_PIN_MAP,
    LINK_PIN_PROGRAM,
    LINK_PIN_LINK,
};

int link_pin(int fd, const char *path, struct error *error);
/* Returns a descriptor that the caller closes. A pin of another kind is EINVAL. */
int link_open_pin(const char *path, enum link_pin kind, struct error *error);

#endif
