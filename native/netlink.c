/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See netlink.h. */
#define _GNU_SOURCE
#include "netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <linux/if_link.h>
#include <sys/socket.h>

#include "netlink_dump.h"

static uint32_t attribute_u32(const struct rtattr *attribute)
{
    uint32_t number = 0;

    if (attribute_size(attribute) >= sizeof(number))
        memcpy(&number, RTA_DATA(attribute), sizeof(number));
    return number;
}

static uint16_t attribute_u16(const struct rtattr *attribute)
{
    uint16_t number = 0;

    if (attribute_size(attribute) >= sizeof(number))
        memcpy(&number, RTA_DATA(attribute), sizeof(number));
    return number;
}

static void attribute_text(const struct rtattr *attribute, char *text, size_t room)
{
    size_t length = strnlen(RTA_DATA(attribute), attribute_size(attribute));

    if (length >= room)
        length = room - 1;
    memcpy(text, RTA_DATA(attribute), length);
    text[length] = '\0';
}

static void read_vlan(const struct rtattr *data, struct netlink_link *link)
{
    size_t left = attribute_size(data);

    EACH_ATTRIBUTE(attribute, RTA_DATA(data), left)
    {
        if (attribute->rta_type == IFLA_VLAN_ID)
            link->vlan = attribute_u16(attribute);
    }
}

static void read_info(const struct rtattr *info, struct netlink_link *link)
{
    const struct rtattr *data = NULL;
    size_t left = attribute_size(info);

    EACH_ATTRIBUTE(attribute, RTA_DATA(info), left)
    {
        if (attribute->rta_type == IFLA_INFO_KIND)
            attribute_text(attribute, link->kind, sizeof(link->kind));
        else if ((attribute->rta_type & NLA_TYPE_MASK) == IFLA_INFO_DATA)
            data = attribute;
    }
    if (data && !strcmp(link->kind, "vlan"))
        read_vlan(data, link);
}

/* False: too short to be one. */
static bool read_link(const struct nlmsghdr *message, struct netlink_link *link)
{
    const struct ifinfomsg *about = NLMSG_DATA(message);
    bool is_elsewhere = false;
    size_t left;

    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*about)))
        return false;
    memset(link, 0, sizeof(*link));
    link->index = (uint32_t)about->ifi_index;
    link->hardware_type = about->ifi_type;
    left = attributes_size(message, sizeof(*about));
    EACH_ATTRIBUTE(attribute, attributes_of(message, sizeof(*about)), left)
    {
        switch (attribute->rta_type & NLA_TYPE_MASK) {
        case IFLA_IFNAME:
            attribute_text(attribute, link->name, sizeof(link->name));
            break;
        case IFLA_LINK:
            link->parent = attribute_u32(attribute);
            break;
        case IFLA_LINK_NETNSID:
            is_elsewhere = true;
            break;
        case IFLA_MASTER:
            link->master = attribute_u32(attribute);
            break;
        case IFLA_LINKINFO:
            read_info(attribute, link);
            break;
        default:
            break;
        }
    }
    /* The index is another namespace's: here it may be that of anything. */
    if (is_elsewhere)
        link->parent = 0;
    return true;
}

struct each_link {
    int (*each)(void *context, const struct netlink_link *link);
    void *context;
};

static int netlink_take_link(void *context, const struct nlmsghdr *message)
{
    struct each_link *links = context;
    struct netlink_link link;

    return message->nlmsg_type == RTM_NEWLINK && read_link(message, &link)
               ? links->each(links->context, &link)
               : 0;
}

int netlink_each_link(int (*each)(void *context, const struct netlink_link *link), void *context,
                      struct error *error)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg about;
    } request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = RTM_GETLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                   .nlmsg_seq = 1},
        .about = {.ifi_family = AF_UNSPEC},
    };
    struct each_link links = {.each = each, .context = context};
    int result;

    error_log_clear();
    result = netlink_dump(NETLINK_ROUTE, &request.header, netlink_take_link, &links);
    /* What came and went meanwhile is left: the next look is a second away. */
    return result && result != -EINTR ? error_set(error, result, "list", "links") : 0;
}

int netlink_listen(struct error *error)
{
    int fd;

    error_log_clear();
    fd = netlink_open(NETLINK_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, SOCK_NONBLOCK);
    return fd < 0 ? error_set(error, fd, "listen", "links and addresses") : fd;
}

int netlink_drain(int fd)
{
    uint8_t buffer[8192];
    int count = 0;

    for (;;) {
        /* Read for the news that there is some; what it says is asked for anew. Cut ones are news as well. */
        if (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) >= 0 || errno == ENOBUFS) {
            count++;
            continue;
        }
        if (errno == EINTR)
            continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? count : -errno;
    }
}
