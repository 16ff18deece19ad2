/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of links that getifaddrs leaves out (rtnetlink, RTM_GETLINK), and word of changes
 * (its multicast groups). Any thread.
 */
#ifndef HUSK_NATIVE_NETLINK_H
#define HUSK_NATIVE_NETLINK_H

#include <stdint.h>

#include "error.h"

#define NETLINK_KIND_BYTES 16

struct netlink_link {
    char name[16]; /* IFNAMSIZ */
    uint32_t index;
    uint16_t hardware_type;        /* ARPHRD_ */
    char kind[NETLINK_KIND_BYTES]; /* IFLA_INFO_KIND, cut; "" where the driver is no rtnetlink one */
    uint32_t parent;               /* IFLA_LINK, where it is of this namespace; 0: none */
    uint32_t master;               /* bridge, bond, VRF that it is a port of; 0: none */
    uint16_t vlan;                 /* kind vlan: its id */
};

/* Calls `each` for every link. Stops, with its result, where that is not 0 (a negative errno). */
int netlink_each_link(int (*each)(void *context, const struct netlink_link *link), void *context,
                      struct error *error);

/* A socket that hears of links and addresses of both families. Returns a descriptor the caller closes. */
int netlink_listen(struct error *error);
/* Takes all that waits on it. Returns how many messages, or a negative errno; ENOBUFS counts as one. */
int netlink_drain(int fd);

#endif
