/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See netlink_dump.h. */
#define _GNU_SOURCE
#include "netlink_dump.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/time.h>

/* The kernel fills at most 32 KiB for each read (netlink_dump), and a single message is never cut. */
#define DUMP_READ_BYTES 32768
/* A kernel that does not answer must not hold up whoever asks. */
#define DUMP_WAIT_S 5
/* A dump that things came and went in is begun anew so many times. */
#define DUMP_TRIES 4

int netlink_open(int protocol, uint32_t groups, int flags)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    struct timeval wait = {.tv_sec = DUMP_WAIT_S};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, protocol);
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

struct dump {
    int fd;
    uint8_t *buffer;
    bool is_done, is_torn;
    int (*each)(void *context, const struct nlmsghdr *message);
    void *context;
};

/* What NLMSG_ERROR and NLMSG_DONE begin with: 0 or a negative errno. */
static int message_code(const struct nlmsghdr *message)
{
    int code = 0;

    if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(code)))
        memcpy(&code, NLMSG_DATA(message), sizeof(code));
    return code;
}

static int take_message(struct dump *dump, const struct nlmsghdr *message)
{
    int code;

    if (message->nlmsg_flags & NLM_F_DUMP_INTR)
        dump->is_torn = true;
    switch (message->nlmsg_type) {
    case NLMSG_DONE:
        /* Below 0: the kernel gave up in the middle. */
        code = message_code(message);
        dump->is_done = true;
        return code < 0 ? code : 0;
    case NLMSG_ERROR:
        code = message_code(message);
        return code < 0 ? code : -EBADMSG;
    default:
        return dump->each(dump->context, message);
    }
}

static int take_read(struct dump *dump)
{
    ssize_t got = recv(dump->fd, dump->buffer, DUMP_READ_BYTES, MSG_TRUNC);
    size_t left;

    if (got < 0 && errno == EINTR)
        return 0;
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
    if (got > DUMP_READ_BYTES)
        return -EMSGSIZE;
    left = (size_t)got;
    for (const uint8_t *at = dump->buffer; left >= sizeof(struct nlmsghdr) && !dump->is_done;) {
        const struct nlmsghdr *message = (const struct nlmsghdr *)at;
        size_t step = NLMSG_ALIGN(message->nlmsg_len);
        int result;

        if (message->nlmsg_len < sizeof(*message) || message->nlmsg_len > left)
            return -EBADMSG;
        result = take_message(dump, message);
        if (result)
            return result;
        if (step >= left)
            break;
        at += step;
        left -= step;
    }
    return 0;
}

static int dump_once(struct dump *dump, int protocol, const struct nlmsghdr *request)
{
    int result = 0;

    dump->fd = netlink_open(protocol, 0, 0);
    if (dump->fd < 0)
        return dump->fd;
    dump->is_done = dump->is_torn = false;
    if (send(dump->fd, request, request->nlmsg_len, 0) != (ssize_t)request->nlmsg_len)
        result = -errno;
    while (!result && !dump->is_done)
        result = take_read(dump);
    close(dump->fd);
    return !result && dump->is_torn ? -EINTR : result;
}

int netlink_dump(int protocol, const struct nlmsghdr *request,
                 int (*each)(void *context, const struct nlmsghdr *message), void *context)
{
    struct dump dump = {.buffer = malloc(DUMP_READ_BYTES), .each = each, .context = context};
    int result = -ENOMEM;

    for (int tries = 0; dump.buffer && tries < DUMP_TRIES; tries++) {
        result = dump_once(&dump, protocol, request);
        if (result != -EINTR)
            break;
    }
    free(dump.buffer);
    return result;
}
