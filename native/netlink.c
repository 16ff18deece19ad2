/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See netlink.h. */
#define _GNU_SOURCE
#include "netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

/* The kernel fills at most 32 KiB for each read (netlink_dump), and a single link is never cut. */
#define NETLINK_READ_BYTES 32768
/* A kernel that does not answer must not hold up whoever asks. */
#define NETLINK_WAIT_S 5
/* A dump that links came and went in is begun anew so many times. */
#define NETLINK_TRIES 4

static int netlink_open(uint32_t groups, int flags)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    struct timeval wait = {.tv_sec = NETLINK_WAIT_S};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);
    int code;

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address))) {
        code = -errno;
        close(fd);
        return code;
    }
    return fd;
}

/* An attribute, checked: its bytes lie inside what is left. NULL: no more. */
static const struct rtattr *attribute_first(const void *data, size_t size)
{
    const struct rtattr *attribute = data;

    return size >= sizeof(*attribute) && attribute->rta_len >= sizeof(*attribute) &&
                   attribute->rta_len <= size
               ? attribute
               : NULL;
}

static const struct rtattr *attribute_next(const struct rtattr *attribute, size_t *left)
{
    size_t step = RTA_ALIGN(attribute->rta_len);

    if (step >= *left)
        return NULL;
    *left -= step;
    return attribute_first((const uint8_t *)attribute + step, *left);
}

#define EACH_ATTRIBUTE(ATTRIBUTE, DATA, LEFT)                                                                \
    for (const struct rtattr *ATTRIBUTE = attribute_first(DATA, LEFT); ATTRIBUTE;                            \
         ATTRIBUTE = attribute_next(ATTRIBUTE, &(LEFT)))

static size_t attribute_size(const struct rtattr *attribute)
{
    return attribute->rta_len - RTA_LENGTH(0);
}

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
    left = message->nlmsg_len - NLMSG_SPACE(sizeof(*about));
    if (message->nlmsg_len < NLMSG_SPACE(sizeof(*about)))
        return true;
    EACH_ATTRIBUTE(attribute, (const uint8_t *)message + NLMSG_SPACE(sizeof(*about)), left)
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

static int netlink_ask(int fd)
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

    return send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request) ? 0 : -errno;
}

/* One read of an answer. 0: more to come; 1: that was all; negative errno. -EINTR: links changed meanwhile.
 */
static int netlink_read(int fd, uint8_t *buffer, int (*each)(void *context, const struct netlink_link *link),
                        void *context)
{
    ssize_t got = recv(fd, buffer, NETLINK_READ_BYTES, MSG_TRUNC);
    bool is_torn = false;
    size_t left;

    if (got < 0)
        return errno == EINTR ? 0 : -errno;
    if (got > NETLINK_READ_BYTES)
        return -EMSGSIZE;
    left = (size_t)got;
    for (const uint8_t *at = buffer; left >= sizeof(struct nlmsghdr);) {
        const struct nlmsghdr *message = (const struct nlmsghdr *)at;
        size_t step = NLMSG_ALIGN(message->nlmsg_len);
        struct netlink_link link;
        int result;

        if (message->nlmsg_len < sizeof(*message) || message->nlmsg_len > left)
            return -EBADMSG;
        if (message->nlmsg_flags & NLM_F_DUMP_INTR)
            is_torn = true;
        if (message->nlmsg_type == NLMSG_DONE)
            return is_torn ? -EAGAIN : 1;
        if (message->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *failure = NLMSG_DATA(message);

            return message->nlmsg_len < NLMSG_LENGTH(sizeof(*failure)) || !failure->error ? -EBADMSG
                                                                                          : failure->error;
        }
        if (message->nlmsg_type == RTM_NEWLINK && read_link(message, &link)) {
            result = each(context, &link);
            if (result)
                return result;
        }
        if (step >= left)
            break;
        at += step;
        left -= step;
    }
    return is_torn ? -EAGAIN : 0;
}

static int netlink_dump(uint8_t *buffer, int (*each)(void *context, const struct netlink_link *link),
                        void *context)
{
    int fd = netlink_open(0, 0);
    int result;

    if (fd < 0)
        return fd;
    result = netlink_ask(fd);
    while (!result)
        result = netlink_read(fd, buffer, each, context);
    close(fd);
    return result < 0 ? result : 0;
}

int netlink_each_link(int (*each)(void *context, const struct netlink_link *link), void *context,
                      struct error *error)
{
    uint8_t *buffer = malloc(NETLINK_READ_BYTES);
    int result = -ENOMEM;

    error_log_clear();
    /* The last answer is taken as it is: the next look is a second away. */
    for (int tries = 0; buffer && tries < NETLINK_TRIES; tries++) {
        result = netlink_dump(buffer, each, context);
        if (result != -EAGAIN)
            break;
    }
    free(buffer);
    return result && result != -EAGAIN ? error_set(error, result, "list", "links") : 0;
}

int netlink_listen(struct error *error)
{
    int fd;

    error_log_clear();
    fd = netlink_open(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, SOCK_NONBLOCK);
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
