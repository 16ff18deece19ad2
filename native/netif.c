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
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

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

static int netif_take_link(void *context, const struct netlink_link *link)
{
    struct netif_list *list = context;

    for (size_t i = 0; i < list->count; i++) {
        struct netif *netif = &list->items[i];

        if (strcmp(netif->name, link->name))
            continue;
        /* getifaddrs knows neither where a link has no address of its own, as tun. */
        netif->index = link->index;
        netif->hardware_type = link->hardware_type;
        netif->link = *link;
    }
    return 0;
}

/* Names of all features there are, by their bits; the same for every interface of a kernel. */
#define ETHTOOL_FEATURES_MAX 256

struct ethtool_names {
    struct ethtool_gstrings head;
    char names[ETHTOOL_FEATURES_MAX][ETH_GSTRING_LEN];
};

struct ethtool_states {
    struct ethtool_gfeatures head;
    struct ethtool_get_features_block blocks[ETHTOOL_FEATURES_MAX / 32];
};

/* Bits of what takes tags off: C-tags and S-tags. */
struct tag_bits {
    uint32_t bit[2];
    size_t count;
};

static int ethtool_call(int fd, const char *name, void *command)
{
    struct ifreq request = {0};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    request.ifr_data = command;
    return ioctl(fd, SIOCETHTOOL, &request);
}

/* Asked of the first interface that answers; the loopback interface does. */
static bool ethtool_find_tag_bits(int fd, const char *name, struct tag_bits *bits)
{
    struct {
        struct ethtool_sset_info head;
        uint32_t count;
    } sizes = {.head = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES}};
    struct ethtool_names *names;

    if (ethtool_call(fd, name, &sizes) || !sizes.head.sset_mask || sizes.count > ETHTOOL_FEATURES_MAX)
        return false;
    names = calloc(1, sizeof(*names));
    if (!names)
        return false;
    names->head.cmd = ETHTOOL_GSTRINGS;
    names->head.string_set = ETH_SS_FEATURES;
    names->head.len = sizes.count;
    if (!ethtool_call(fd, name, names)) {
        for (uint32_t i = 0; i < sizes.count && i < names->head.len && bits->count < 2; i++) {
            const char *one = names->names[i];

            if (!strncmp(one, "rx-vlan-hw-parse", ETH_GSTRING_LEN) ||
                !strncmp(one, "rx-vlan-stag-hw-parse", ETH_GSTRING_LEN))
                bits->bit[bits->count++] = i;
        }
    }
    free(names);
    return bits->count > 0;
}

static bool ethtool_strips_tags(int fd, const char *name, const struct tag_bits *bits)
{
    struct ethtool_states states = {
        .head = {.cmd = ETHTOOL_GFEATURES, .size = ETHTOOL_FEATURES_MAX / 32},
    };

    if (ethtool_call(fd, name, &states))
        return false;
    for (size_t i = 0; i < bits->count; i++) {
        uint32_t block = bits->bit[i] / 32;

        if (block < states.head.size && block < ETHTOOL_FEATURES_MAX / 32 &&
            states.blocks[block].active & 1u << bits->bit[i] % 32)
            return true;
    }
    return false;
}

/* What cannot be asked takes none off: drivers without ethtool have no such feature. */
static void netif_ask_ethtool(struct netif_list *list)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct tag_bits bits = {0};

    if (fd < 0)
        return;
    for (size_t i = 0; i < list->count && !bits.count; i++)
        ethtool_find_tag_bits(fd, list->items[i].name, &bits);
    for (size_t i = 0; i < list->count && bits.count; i++)
        list->items[i].strips_tags = ethtool_strips_tags(fd, list->items[i].name, &bits);
    close(fd);
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
    if (netlink_each_link(netif_take_link, list, error)) {
        netif_list_release(list);
        return -1;
    }
    netif_ask_ethtool(list);
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
