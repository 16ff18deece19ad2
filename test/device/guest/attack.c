// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What root might do to Husk, one try a run. Says `done`, or the name of the errno.
 *
 *   attack maps|programs|links      every one there is, opened by its id: how many were, of how many
 *   attack own-map                  one made here, opened by its id
 *   attack pin PATH                 a pin opened
 *   attack trace PID                attached to as a tracer
 *   attack memory PID               its memory opened for writing
 *   attack traced PROGRAM           run by who traces it already
 *   attack limit PID                a limit of its CPU time
 *   attack filters NAME             clsact of an interface removed
 *   attack filters-behind NAME      the same, behind a hundred messages that do nothing
 *   attack own-filters NAME         a clsact made and removed
 *   attack connect PATH             to a socket
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static long bpf(int command, union bpf_attr *attributes)
{
    return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static int say(long result)
{
    printf("%s\n", result < 0 ? strerrorname_np(errno) : "done");
    return 0;
}

static int open_all(int next, int open_by_id)
{
    unsigned int opened = 0, count = 0;
    union bpf_attr found = {};
    while (bpf(next, &found) == 0) {
        union bpf_attr wanted = {.map_id = found.next_id};
        count++;
        opened += bpf(open_by_id, &wanted) >= 0;
        found.start_id = found.next_id;
    }
    printf("%u of %u\n", opened, count);
    return 0;
}

static int open_own(void)
{
    union bpf_attr made = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    long map = bpf(BPF_MAP_CREATE, &made);
    struct bpf_map_info told = {};
    union bpf_attr asked = {.info = {.bpf_fd = map, .info_len = sizeof(told), .info = (unsigned long)&told}};
    if (map < 0 || bpf(BPF_OBJ_GET_INFO_BY_FD, &asked))
        return say(-1);
    union bpf_attr wanted = {.map_id = told.id};
    return say(bpf(BPF_MAP_GET_FD_BY_ID, &wanted));
}

static int open_pin(const char *path)
{
    union bpf_attr wanted = {.pathname = (unsigned long)path};
    return say(bpf(BPF_OBJ_GET, &wanted));
}

static int run_traced(char *program)
{
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = {program, NULL};
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(program, arguments);
        say(-1);
        fflush(stdout);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFSTOPPED(status)) {
        ptrace(PTRACE_KILL, child, 0, 0);
        waitpid(child, &status, 0);
        return say(0);
    }
    return 0;
}

struct order {
    struct nlmsghdr head;
    struct tcmsg tc;
    struct rtattr kind;
    char name[8];
};

static struct order filters(int type, int flags, const char *interface)
{
    struct order order = {
        .head = {.nlmsg_len = sizeof(order),
                 .nlmsg_type = type,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags},
        .tc = {.tcm_ifindex = if_nametoindex(interface),
               .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
               .tcm_parent = TC_H_CLSACT},
        .kind = {.rta_len = RTA_LENGTH(7), .rta_type = TCA_KIND},
        .name = "clsact",
    };
    return order;
}

/* The errno of the last message in it, positive. */
static int send_orders(const void *bytes, size_t length)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char more[4096];
    } answer;
    int netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct timeval patience = {.tv_sec = 5};
    setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (send(netlink, bytes, length, 0) < 0)
        return errno;
    if (recv(netlink, &answer, sizeof(answer), 0) < 0)
        return errno;
    close(netlink);
    return answer.head.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EPROTO;
}

static int say_error(int error)
{
    errno = error;
    return say(error ? -1 : 0);
}

static int remove_filters(const char *interface, int nothings)
{
    static struct {
        struct nlmsghdr nothing[100];
        struct order order;
    } batch;
    for (int at = 0; at < 100; at++)
        batch.nothing[at] = (struct nlmsghdr){.nlmsg_len = sizeof(struct nlmsghdr), .nlmsg_type = NLMSG_NOOP};
    batch.order = filters(RTM_DELQDISC, 0, interface);
    if (!nothings)
        return say_error(send_orders(&batch.order, sizeof(batch.order)));
    return say_error(send_orders(&batch, sizeof(batch)));
}

static int own_filters(const char *interface)
{
    struct order made = filters(RTM_NEWQDISC, NLM_F_CREATE, interface);
    int error = send_orders(&made, sizeof(made));
    return error ? say_error(error) : remove_filters(interface, 0);
}

static int reach(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    return say(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof(address)));
}

static int open_memory(const char *process)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%s/mem", process);
    return say(open(path, O_RDWR));
}

static int limit(pid_t process)
{
    struct rlimit seconds = {.rlim_cur = 1, .rlim_max = 1};
    return say(prlimit(process, RLIMIT_CPU, &seconds, NULL));
}

static long trace(pid_t process)
{
    long result = ptrace(PTRACE_ATTACH, process, 0, 0);
    if (result == 0) {
        waitpid(process, NULL, 0);
        ptrace(PTRACE_DETACH, process, 0, 0);
    }
    return result;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    char *with = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "maps"))
        return open_all(BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID);
    if (!strcmp(what, "programs"))
        return open_all(BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID);
    if (!strcmp(what, "links"))
        return open_all(BPF_LINK_GET_NEXT_ID, BPF_LINK_GET_FD_BY_ID);
    if (!strcmp(what, "own-map"))
        return open_own();
    if (!strcmp(what, "pin"))
        return open_pin(with);
    if (!strcmp(what, "trace"))
        return say(trace(atoi(with)));
    if (!strcmp(what, "memory"))
        return open_memory(with);
    if (!strcmp(what, "traced"))
        return run_traced(with);
    if (!strcmp(what, "limit"))
        return limit(atoi(with));
    if (!strcmp(what, "filters"))
        return remove_filters(with, 0);
    if (!strcmp(what, "filters-behind"))
        return remove_filters(with, 1);
    if (!strcmp(what, "own-filters"))
        return own_filters(with);
    if (!strcmp(what, "connect"))
        return reach(with);
    fprintf(stderr, "attack: unknown: %s\n", what);
    return 2;
}
