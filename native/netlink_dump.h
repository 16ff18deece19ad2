/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all who ask by netlink share: a dump message by message, and a walk over the attributes of one, in
 * which nothing outside a message is read. Any thread.
 */
#ifndef HUSK_NATIVE_NETLINK_DUMP_H
#define HUSK_NATIVE_NETLINK_DUMP_H

#include <stddef.h>
#include <stdint.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

/* A socket of NETLINK_ROUTE, NETLINK_XFRM …, that waits no longer than a few seconds for an answer. Returns a
 * descriptor the caller closes, or a negative errno. */
int netlink_open(int protocol, uint32_t groups, int flags);

/*
 * Sends `request`, which has NLM_F_DUMP, and calls `each` for every message of the answer: its length is
 * known to lie in what was read, that of what is behind its header is not looked at. Stops, with its result,
 * where that is not 0. Else 0, or a negative errno; -EINTR where things came and went each time it was tried:
 * `each` has had all that stayed, some of it more than once.
 */
int netlink_dump(int protocol, const struct nlmsghdr *request,
                 int (*each)(void *context, const struct nlmsghdr *message), void *context);

/* What of a message lies behind its header and `head_bytes` of its own: its attributes. 0: none. */
static inline size_t attributes_size(const struct nlmsghdr *message, size_t head_bytes)
{
    return message->nlmsg_len > NLMSG_SPACE(head_bytes) ? message->nlmsg_len - NLMSG_SPACE(head_bytes) : 0;
}

static inline const void *attributes_of(const struct nlmsghdr *message, size_t head_bytes)
{
    return (const uint8_t *)message + NLMSG_SPACE(head_bytes);
}

/* An attribute, checked: its bytes lie inside what is left. NULL: no more. */
static inline const struct rtattr *attribute_first(const void *data, size_t size)
{
    const struct rtattr *attribute = data;

    return size >= sizeof(*attribute) && attribute->rta_len >= sizeof(*attribute) &&
                   attribute->rta_len <= size
               ? attribute
               : NULL;
}

static inline const struct rtattr *attribute_next(const struct rtattr *attribute, size_t *left)
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

static inline size_t attribute_size(const struct rtattr *attribute)
{
    return attribute->rta_len - RTA_LENGTH(0);
}

#endif
