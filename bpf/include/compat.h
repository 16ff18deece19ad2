/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What every program includes first: the kernel's and libbpf's headers, and what compilers and kernels of
 * the supported range want said differently. No program reads a kernel struct, so there is no vmlinux.h and
 * nothing to relocate: the same object loads on 5.10 and later.
 */
#ifndef HUSK_COMPAT_H
#define HUSK_COMPAT_H

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../abi/layout.h"

#define AF_INET 2
#define AF_INET6 10

/* One load or store that the compiler neither repeats nor tears: words shared with user space by mmap. */
#define READ_ONCE(WORD) (*(const volatile __typeof__(WORD) *)&(WORD))
#define WRITE_ONCE(WORD, VALUE) (*(volatile __typeof__(WORD) *)&(WORD) = (VALUE))

/* Tells clang nothing is known of VARIABLE, so that arithmetic is not turned back into branches. */
#define FORGET(VARIABLE) asm volatile("" : "+r"(VARIABLE))

/* A function the verifier looks at once, knowing nothing of its callers, and not again at every call. On 5.10
 * it takes numbers and the context only, no pointers. */
#define GLOBAL __attribute__((noinline)) int

/* The same number, of which the verifier now knows nothing either: what differs between the paths that led
 * here meets again as one. FORGET keeps clang from seeing through. */
__attribute__((noinline)) husk_u64 husk_unknown(husk_u64 number)
{
    FORGET(number);
    return number;
}

/* An address of either family, in network order, IPv4 as ::ffff:a.b.c.d. */
union address {
    husk_u8 bytes[16];
    husk_u32 words[4];
    husk_u64 halves[2];
};

static __always_inline void address_from_ipv4(union address *address, husk_u32 network_order)
{
    address->halves[0] = 0;
    address->words[2] = bpf_htonl(0x0000ffff);
    address->words[3] = network_order;
}

#endif
