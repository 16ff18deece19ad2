/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets. What is sent leaves by the loopback interface or not at all: a peer is an address that it was
 * given. */
#define _GNU_SOURCE
#include "verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_NOTHING 0

union peer {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Bytes of the address, or 0 where the words are none. */
static socklen_t peer_of(const char *address, const char *port, union peer *peer)
{
    long number = number_of(port);

    memset(peer, 0, sizeof(*peer));
    if (number < 0 || number > 65535)
        return 0;
    if (inet_pton(AF_INET, address, &peer->v4.sin_addr) == 1) {
        peer->v4.sin_family = AF_INET;
        peer->v4.sin_port = htons((uint16_t)number);
        return sizeof(peer->v4);
    }
    if (inet_pton(AF_INET6, address, &peer->v6.sin6_addr) != 1)
        return 0;
    peer->v6.sin6_family = AF_INET6;
    peer->v6.sin6_port = htons((uint16_t)number);
    return sizeof(peer->v6);
}

/* A socket that reaches nothing but this machine. */
static int local_socket(int family, int type)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0), code;

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2)) {
        code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

static int with_peer(char **words, int type, int (*act)(int fd, const struct sockaddr *peer, socklen_t size))
{
    union peer peer;
    socklen_t size = peer_of(words[1], words[2], &peer);
    int fd, outcome;

    if (!size)
        return EINVAL;
    fd = local_socket(peer.any.sa_family, type);
    if (fd < 0)
        return errno;
    outcome = act(fd, &peer.any, size) ? errno : 0;
    close(fd);
    return outcome;
}

/* Who refuses was reached. */
static int connect_to(int fd, const struct sockaddr *peer, socklen_t size)
{
    return connect(fd, peer, size) && errno != ECONNREFUSED ? -1 : 0;
}

static int send_to(int fd, const struct sockaddr *peer, socklen_t size)
{
    return sendto(fd, "", 0, 0, peer, size) < 0 ? -1 : 0;
}

static int listen_at(int fd, const struct sockaddr *own, socklen_t size)
{
    int yes = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    return bind(fd, own, size) || listen(fd, 1) ? -1 : 0;
}

static int bind_to(int fd, const struct sockaddr *own, socklen_t size)
{
    return bind(fd, own, size);
}

/* connect ADDRESS PORT: TCP */
static int connect_peer(int count, char **words)
{
    return with_peer(words, SOCK_STREAM, connect_to);
}

/* send ADDRESS PORT: an empty datagram */
static int send_peer(int count, char **words)
{
    return with_peer(words, SOCK_DGRAM, send_to);
}

/* listen ADDRESS PORT: TCP, on the loopback interface */
static int listen_own(int count, char **words)
{
    return with_peer(words, SOCK_STREAM, listen_at);
}

/* bind ADDRESS PORT: UDP, on the loopback interface */
static int bind_own(int count, char **words)
{
    return with_peer(words, SOCK_DGRAM, bind_to);
}

/* raw: a raw IPv4 socket, with nothing sent */
static int raw_socket(int count, char **words)
{
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

    return fd < 0 ? errno : close(fd);
}

/* packet: a packet socket of no protocol, with a filter that takes nothing */
static int packet_socket(int count, char **words)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, ACCEPT_NOTHING);
    struct sock_fprog program = {.len = 1, .filter = &nothing};
    int outcome, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    outcome = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? errno : 0;
    close(fd);
    return outcome;
}

const struct verb socket_verbs[] = {
    {"connect", 2, connect_peer},
    {"send", 2, send_peer},
    {"listen", 2, listen_own},
    {"bind", 2, bind_own},
    {"raw", 0, raw_socket},
    {"packet", 0, packet_socket},
    {NULL, 0, NULL},
};
