// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * connect, bind and socket of subjects that are more than a cgroup: by hooks that know the task, over the
 * same list of rules that cgroup hooks walk for the rest. Every kind of socket comes by here: raw, packet and
 * ping sockets, and sends to an address of sockets that are not connected.
 */
#include "include/guard.h"

/* The operation that a call is, as events name it. */
static __always_inline husk_u16 operation_of_call(const struct call *call)
{
    return call->call == HUSK_CALL_TASK_CONNECT ? HUSK_OPERATION_CONNECT
           : call->call == HUSK_CALL_TASK_BIND  ? HUSK_OPERATION_BIND
                                                : HUSK_OPERATION_SOCKET;
}

static __attribute__((noinline)) int report_task_call(const struct finding *finding, const struct call *call,
                                                      husk_u64 cgroup)
{
    struct husk_alike alike = {
        .target = {call->addr.halves[0], call->addr.halves[1],
                   call->port | (husk_u64)call->socket_type << 16 | (husk_u64)call->ip_proto << 32},
        .operation = operation_of_call(call),
        .socket_family = call->socket_family,
        .flags = HUSK_OPERATION_TARGET,
    };
    struct husk_repeats fresh;
    struct husk_task *task = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);
    tell_operation(finding, &alike, &fresh, NULL, task);
    return 0;
}

#define REPORT_CALL report_task_call
#include "include/judge_call.h"

struct socket_address {
    husk_u16 family;
    husk_u16 port; /* network order */
    husk_u32 addr4;
    husk_u8 addr6[16];
    husk_u32 scope;
};

/* Allowed, where a policy wants to see it: addresses alone. */
static __always_inline void observe_call(const struct call *call, const struct judge *judge,
                                         const struct husk_tried *result)
{
    struct finding finding = {
        .serial = judge->serial,
        .rule = result->rule,
        .hook = call->hook,
        .verdict = HUSK_VERDICT_ALLOW,
        .mode = HUSK_MODE_ENFORCE,
        .reason = result->reason,
    };
    report_task_call(&finding, call, 0);
}

static __always_inline int judge_task_call(struct call *call, husk_u32 operation)
{
    struct judge judge = {};
    int answer;
    /* What differs between the families meets here as one. */
    call->addr.halves[0] = husk_unknown(call->addr.halves[0]);
    call->addr.halves[1] = husk_unknown(call->addr.halves[1]);
    call->family = husk_unknown(call->family);
    call->ip_proto = husk_unknown(call->ip_proto);
    call->port = husk_unknown(call->port);
    call->socket_family = husk_unknown(call->socket_family);
    const struct husk_operations *all = open_judge(&judge, operation, &answer);
    if (!all && !judge.is_shadowed)
        return answer;
    call->subjects = husk_unknown(judge.subjects);
    if (!call->subjects && !judge.is_shadowed)
        return answer;
    struct caller caller = {
        .cgroup = bpf_get_current_cgroup_id(), .slot = judge.slot, .is_canary = judge.is_canary};
    struct husk_tried result = {
        .verdict = HUSK_VERDICT_ALLOW,
        .reason = HUSK_REASON_NO_SUBJECT,
        .rule = HUSK_RULE_NONE,
        .monitored = HUSK_RULE_NONE,
        .last_noted = HUSK_RULE_NONE,
    };
    if (call->subjects)
        judge_by_rules(&caller, call, &result);
    if (judge.is_canary)
        record_tried(&result);
    else if (all && call->subjects) {
        learn_call(call, call->subjects, judge.slot, false);
        if (result.verdict == HUSK_VERDICT_ALLOW && call->family &&
            (all->observed[operation] & judge.subjects))
            observe_call(call, &judge, &result);
    }
    if (judge.is_shadowed && judge.task)
        judge_call_in_shadow(call, judge.slot, husk_shadow_subjects(judge.task, judge.slot ^ 1), &result);
    return result.verdict == HUSK_VERDICT_DENY ? -EPERM : answer;
}

/* What the call is about; a family without such an address has none. */
static __always_inline void take_address(struct call *call, struct sockaddr *address, int length)
{
    struct socket_address found = {};
    husk_u64 bytes = (husk_u32)length < sizeof(found) ? (husk_u32)length : sizeof(found);
    FORGET(bytes); /* or the bound is checked on a copy */
    bytes &= 31;
    if (bpf_probe_read_kernel(&found, bytes, address))
        return;
    call->socket_family = found.family;
    call->port = bpf_ntohs(found.port);
    if (found.family == AF_INET) {
        /* Linux takes "any" as a destination for this host. */
        husk_u32 ip = found.addr4;
        if (call->call == HUSK_CALL_TASK_CONNECT && !ip)
            ip = bpf_htonl(0x7f000001);
        address_from_ipv4(&call->addr, ip);
        call->family = HUSK_FAMILY_IPV4;
    } else if (found.family == AF_INET6) {
        __builtin_memcpy(&call->addr, found.addr6, sizeof(call->addr));
        bool is_mapped = call->addr.halves[0] == 0 && call->addr.words[2] == bpf_htonl(0x0000ffff);
        if (call->call == HUSK_CALL_TASK_CONNECT && call->addr.halves[0] == 0 && call->addr.words[3] == 0)
            call->addr.words[3] = is_mapped ? bpf_htonl(0x7f000001) : call->addr.words[2] ? 0 : bpf_htonl(1);
        call->family = is_mapped ? HUSK_FAMILY_IPV4 : HUSK_FAMILY_IPV6;
    }
}

static __always_inline void take_socket(struct call *call, struct socket *socket)
{
    call->socket_type = socket->type;
    struct sock *sock = socket->sk;
    FORGET(sock); /* or it is read twice, and checked once */
    call->ip_proto = sock ? sock->sk_protocol : 0;
}

GUARD(socket_create, socket_create, int family, int type, int protocol, int kern)
{
    struct call call = {
        .call = HUSK_CALL_TASK_SOCKET,
        .hook = HUSK_HOOK_SOCKET,
        .socket_family = family,
        .socket_type = type & 15,
        .ip_proto = protocol,
    };
    return kern ? 0 : judge_task_call(&call, HUSK_OPERATION_SOCKET);
}

GUARD(socket_bind, socket_bind, struct socket *socket, struct sockaddr *address, int length)
{
    struct call call = {.call = HUSK_CALL_TASK_BIND, .hook = HUSK_HOOK_BIND};
    take_socket(&call, socket);
    take_address(&call, address, length);
    return judge_task_call(&call, HUSK_OPERATION_BIND);
}

GUARD(socket_connect, socket_connect, struct socket *socket, struct sockaddr *address, int length)
{
    struct call call = {.call = HUSK_CALL_TASK_CONNECT, .hook = HUSK_HOOK_CONNECT};
    take_socket(&call, socket);
    take_address(&call, address, length);
    return judge_task_call(&call, HUSK_OPERATION_CONNECT);
}

/* Sends that name their peer. */
GUARD(socket_sendmsg, socket_sendmsg, struct socket *socket, struct msghdr *message)
{
    struct call call = {.call = HUSK_CALL_TASK_CONNECT, .hook = HUSK_HOOK_SENDMSG};
    struct sockaddr *address = message->msg_name;
    if (!address)
        return 0;
    take_socket(&call, socket);
    take_address(&call, address, message->msg_namelen);
    return judge_task_call(&call, HUSK_OPERATION_CONNECT);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
