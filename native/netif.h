/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interfaces of this network namespace, as the kernel lists them over netlink (getifaddrs), what each is
 * made of (netlink.h), and whether its driver takes VLAN tags off (ethtool).
 *
 * /sys/class/net shows those of the namespace that was current when /sys was mounted, and Node lists only
 * interfaces that are up and have an address: neither is where packet programs can be attached. Any thread.
 */
#ifndef HUSK_NATIVE_NETIF_H
#define HUSK_NATIVE_NETIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <net/if.h>

#include "error.h"
#include "netlink.h"

/* "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128" and its NUL. */
#define NETIF_ADDRESS_BYTES 56
#define NETIF_MAC_BYTES 18

struct netif {
    char name[IFNAMSIZ];
    uint32_t index;         /* 0: gone while we looked */
    uint16_t hardware_type; /* ARPHRD_ */
    bool up;
    char mac[NETIF_MAC_BYTES]; /* "" where there are not six bytes */
    char (*addresses)[NETIF_ADDRESS_BYTES];
    size_t address_count;
    struct netlink_link link; /* index 0: gone before it could be asked about */
    bool strips_tags;         /* rx-vlan-hw-parse or rx-vlan-stag-hw-parse is on */
};

struct netif_list {
    struct netif *items;
    size_t count;
};

/* The caller releases the list. */
int netif_list_open(struct netif_list *list, struct error *error);
void netif_list_release(struct netif_list *list);

#endif
