/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See ipsec.h. */
#define _GNU_SOURCE
#include "ipsec.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <sys/socket.h>
#include <sys/time.h>

/* As in netlink.c: what the kernel fills at most for each read, and how long it may take to answer. */
#define IPSEC_READ_BYTES 32768
#define IPSEC_WAIT_S 5

/* A policy that lets pass what it transforms (XFRMA_TMPL), and that no interface has (XFRMA_IF_ID). */
static bool is_by_policy(const struct nlmsghdr *message)
{
    const size_t head = NLMSG_SPACE(sizeof(struct xfrm_userpolicy_info));
    const struct xfrm_userpolicy_info *policy = NLMSG_DATA(message);
    bool transforms = false, has_interface = false;
    size_t left;

    if (message->nlmsg_type != XFRM_MSG_NEWPOLICY || message->nlmsg_len < head ||
        policy->action != XFRM_POLICY_ALLOW)
        return false;
    left = message->nlmsg_len - head;
    for (const uint8_t *at = (const uint8_t *)message + head; left >= sizeof(struct rtattr);) {
        const struct rtattr *attribute = (const struct rtattr *)at;
        size_t step = RTA_ALIGN(attribute->rta_len);

        if (attribute->rta_len < sizeof(*attribute) || attribute->rta_len > left)
            break;
        if (attribute->rta_type == XFRMA_TMPL)
            transforms = true;
        else if (attribute->rta_type == XFRMA_IF_ID)
            has_interface = true;
        if (step >= left)
            break;
        at += step;
        left -= step;
    }
    return transforms && !has_interface;
}

/* One read of an answer. 0: more to come; 1: that was all; 2: found; negative errno. */
static int ipsec_read(int fd, uint8_t *buffer)
{
    ssize_t got = recv(fd, buffer, IPSEC_READ_BYTES, MSG_TRUNC);
    size_t left;

    if (got < 0)
        return errno == EINTR ? 0 : -errno;
    if (got > IPSEC_READ_BYTES)
        return -EMSGSIZE;
    left = (size_t)got;
    for (const uint8_t *at = buffer; left >= sizeof(struct nlmsghdr);) {
        const struct nlmsghdr *message = (const struct nlmsghdr *)at;
        size_t step = NLMSG_ALIGN(message->nlmsg_len);

        if (message->nlmsg_len < sizeof(*message) || message->nlmsg_len > left)
            return -EBADMSG;
        if (message->nlmsg_type == NLMSG_DONE)
            return 1;
        if (message->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *failure = NLMSG_DATA(message);

            return message->nlmsg_len < NLMSG_LENGTH(sizeof(*failure)) || !failure->error ? -EBADMSG
                                                                                          : failure->error;
        }
        if (is_by_policy(message))
            return 2;
        if (step >= left)
            break;
        at += step;
        left -= step;
    }
    return 0;
}

static int ipsec_ask(int fd, uint8_t *buffer)
{
    struct nlmsghdr request = {.nlmsg_len = sizeof(request),
                               .nlmsg_type = XFRM_MSG_GETPOLICY,
                               .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                               .nlmsg_seq = 1};
    struct timeval wait = {.tv_sec = IPSEC_WAIT_S};
    int result = 0;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) ||
        send(fd, &request, sizeof(request), 0) != (ssize_t)sizeof(request))
        return -errno;
    while (!result)
        result = ipsec_read(fd, buffer);
    return result;
}

int ipsec_is_by_policy(struct error *error)
{
    uint8_t *buffer = malloc(IPSEC_READ_BYTES);
    int fd = -1, result = -ENOMEM;

    error_log_clear();
    if (buffer) {
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM);
        result = fd < 0 ? -errno : ipsec_ask(fd, buffer);
    }
    if (fd >= 0)
        close(fd);
    free(buffer);
    /* A kernel without it does none. */
    if (result == -EPROTONOSUPPORT)
        return 0;
    return result < 0 ? error_set(error, result, "list", "IPsec policies") : result == 2;
}
