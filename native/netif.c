/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See netif.h. */
#define _GNU_SOURCE
#include "netif.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>

static struct netif *netif_find(struct netif_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!strcmp(list->items[i].name, name))
            return &list->items[i];
    }
    return NULL;
}

/* The interface of that name, made where it is new; NULL without memory. */
static struct netif *netif_take(struct netif_list *list, const char *name)
{
    struct netif *found = netif_find(list, name);
    struct netif *items;

    if (found)
        return found;
    items = realloc(list->items, (list->count + 1) * sizeof(*items));
    if (!items)
        return NULL;
    list->items = items;
    found = &items[list->count++];
    memset(found, 0, sizeof(*found));
    snprintf(found->name, sizeof(found->name), "%s", name);
    return found;
}

static void netif_set_link(struct netif *netif, const struct sockaddr_ll *link)
{
    const unsigned char *mac = link->sll_addr;

    netif->index = (uint32_t)link->sll_ifindex;
    netif->hardware_type = link->sll_hatype;
    if (link->sll_halen != 6)
        return;
    snprintf(netif->mac, sizeof(netif->mac), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
}

static unsigned int prefix_length(const uint8_t *mask, size_t size)
{
    unsigned int length = 0;

    for (size_t i = 0; i < size; i++)
        length += (unsigned int)__builtin_popcount(mask[i]);
    return length;
}

static int netif_add_address(struct netif *netif, const struct ifaddrs *one)
{
    int family = one->ifa_addr->sa_family;
    const struct sockaddr *mask_of = one->ifa_netmask;
    char text[INET6_ADDRSTRLEN];
    char(*addresses)[NETIF_ADDRESS_BYTES];
    const uint8_t *address;
    const uint8_t *mask = NULL;
    size_t size;

    if (family == AF_INET) {
        address = (const uint8_t *)&((const struct sockaddr_in *)one->ifa_addr)->sin_addr;
        mask = mask_of ? (const uint8_t *)&((const struct sockaddr_in *)mask_of)->sin_addr : NULL;
        size = 4;
    } else {
        address = (const uint8_t *)&((const struct sockaddr_in6 *)one->ifa_addr)->sin6_addr;
        mask = mask_of ? (const uint8_t *)&((const struct sockaddr_in6 *)mask_of)->sin6_addr : NULL;
        size = 16;
    }
    if (!inet_ntop(family, address, text, sizeof(text)))
        return -1;
    addresses = realloc(netif->addresses, (netif->address_count + 1) * sizeof(*addresses));
    if (!addresses)
        return -1;
    netif->addresses = addresses;
    snprintf(addresses[netif->address_count++], sizeof(*addresses), "%s/%u", text,
             mask ? prefix_length(mask, size) : (unsigned int)size * 8);
    return 0;
}

int netif_list_open(struct netif_list *list, struct error *error)
{
    struct ifaddrs *all;

    error_log_clear();
    memset(list, 0, sizeof(*list));
    if (getifaddrs(&all))
        return error_set(error, errno, "list", "interfaces");
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        /* A label ("eth0:1") is an address of the interface before the colon. */
        char name[IFNAMSIZ];
        struct netif *netif;

        snprintf(name, sizeof(name), "%.*s", (int)strcspn(one->ifa_name, ":"), one->ifa_name);
        netif = netif_take(list, name);
        if (!netif)
            goto out_of_memory;
        netif->up = one->ifa_flags & IFF_UP;
        if (!one->ifa_addr)
            continue;
        if (one->ifa_addr->sa_family == AF_PACKET)
            netif_set_link(netif, (const struct sockaddr_ll *)one->ifa_addr);
        else if (one->ifa_addr->sa_family == AF_INET || one->ifa_addr->sa_family == AF_INET6) {
            if (netif_add_address(netif, one))
                goto out_of_memory;
        }
    }
    freeifaddrs(all);
    return 0;

out_of_memory:
    freeifaddrs(all);
    netif_list_release(list);
    return error_set(error, ENOMEM, "list", "interfaces");
}

void netif_list_release(struct netif_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].addresses);
    free(list->items);
    memset(list, 0, sizeof(*list));
}
