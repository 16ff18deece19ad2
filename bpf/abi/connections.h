/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Connections, as programs keep them and user space reads them (map `connections`).
 *
 * The table is an array of buckets with HUSK_CONNECTION_WAYS places each. Programs read it without a lock and
 * write it under the bucket's. So that a reader never takes the word of one connection for another's, every
 * word that changes carries the *tenancy* in its upper half, a mark of the connection that it was written
 * for:
 *
 *     63                 40 39          32 31                             0
 *   +----------------------+--------------+--------------------------------+
 *   | bits 40-63 of the    | counts tenants | state, or seen, judged, made,  |
 *   | key's hash           | of this place  | or what was decided            |
 *   +----------------------+--------------+--------------------------------+
 *
 * A row whose words don't agree in it is being written at this moment: it is skipped.
 */
#ifndef HUSK_ABI_CONNECTIONS_H
#define HUSK_ABI_CONNECTIONS_H

#include "abi.h"

/* Places in a bucket: half a cache line of tags. */
#define HUSK_CONNECTION_WAYS 8
/* Buckets where the loader sets nothing else; a power of two. 2,048 of 1,128 bytes: 2.3 MB for 16,384. */
#define HUSK_CONNECTION_BUCKETS 2048
/* Packets in fragments, whose first fragment is remembered. */
#define HUSK_CONNECTION_FRAGMENTS 1024
/* RFC 791 and RFC 8200 §4.5 reassemble for 60 s at the most; what comes after 30 s is of nothing. */
#define HUSK_CONNECTION_FRAGMENT_SECONDS 30

/* What a rule's `state` asks for. */
enum husk_connection_state {
    HUSK_CONNECTION_NONE = 0, /* not IP, or connections are not followed */
    HUSK_CONNECTION_NEW = 1,
    HUSK_CONNECTION_ESTABLISHED = 2,
    HUSK_CONNECTION_RELATED = 3,
    HUSK_CONNECTION_INVALID = 4,
};

/* Indexes into husk_connection_settings.timeouts. */
enum husk_connection_timeout {
    HUSK_TIMEOUT_TCP_OPENING = 0,
    HUSK_TIMEOUT_TCP_ESTABLISHED = 1,
    HUSK_TIMEOUT_TCP_CLOSING = 2,
    HUSK_TIMEOUT_UDP_ONE_WAY = 3,
    HUSK_TIMEOUT_UDP = 4,
    HUSK_TIMEOUT_ICMP = 5,
    HUSK_TIMEOUT_OTHER = 6,
    HUSK_TIMEOUT_COUNT = 8, /* a power of two: the index is masked */
};

/* How a generation follows connections; part of its table. */
struct husk_connection_settings {
    husk_u32 timeouts[HUSK_TIMEOUT_COUNT]; /* seconds */
    husk_u8 is_followed;
    husk_u8 is_loose;
    husk_u8 pad[6];
};
_Static_assert(sizeof(struct husk_connection_settings) == 40, "husk_connection_settings");

/* Map `connection_setup`, array of one: written once, when the table is made and before a program runs. */
struct husk_connection_setup {
    husk_u64 seed[7];     /* random; bpf/include/keyed_hash.h */
    husk_u32 bucket_mask; /* entries of `connections`, less one */
    husk_u32 rate_mask;   /* entries of `rates`, less one */
};
_Static_assert(sizeof(struct husk_connection_setup) == 64, "husk_connection_setup");

/* What the ports of a key are. */
#define HUSK_CONNECTION_PLAIN 0 /* ports, or 0 for protocols that have none */
#define HUSK_CONNECTION_ECHO 1  /* ICMP echo: the identifier, twice */
#define HUSK_CONNECTION_QUERY 2 /* ICMP 13-18: 0 */

/* Both ends, the lesser first (as two little-endian u64 and the port), so that both directions give one key.
 * Requests of ICMP that both sides send are two connections. */
struct husk_connection_key {
    husk_u8 low[16]; /* network order, IPv4 as ::ffff:a.b.c.d */
    husk_u8 high[16];
    husk_u16 low_port; /* host order */
    husk_u16 high_port;
    husk_u8 ip_proto;
    husk_u8 family; /* HUSK_FAMILY_ */
    husk_u8 kind;
    husk_u8 is_high_asking; /* ICMP: the requests are from high to low; else from low to high */
};
_Static_assert(sizeof(struct husk_connection_key) == 40, "husk_connection_key");

/* Bits 0-15 of husk_connection.state; bits 16-18 are an enum husk_connection_timeout. */
#define HUSK_CONNECTION_REPLIED 1    /* a packet came against the original direction */
#define HUSK_CONNECTION_REVERSED 2   /* the original direction is from high to low */
#define HUSK_CONNECTION_FORWARDED 4  /* a packet of it came in by one interface and went out by another */
#define HUSK_CONNECTION_DEVICE 8     /* opened by the device itself */
#define HUSK_CONNECTION_SERVICE 16   /* by the device, to what the configuration never drops replies of */
#define HUSK_CONNECTION_TO_DEVICE 32 /* the packet that opened it was to the device */
#define HUSK_CONNECTION_EGRESS 64    /* opened on its way out */
#define HUSK_CONNECTION_ENDED 128    /* TCP: a FIN or RST of it was allowed, whether it counts or not */
#define HUSK_CONNECTION_SENT 256     /* TCP: other than a SYN along the original direction, */
#define HUSK_CONNECTION_ANSWERED 512 /* and against it */
#define HUSK_CONNECTION_FIN_SENT 1024
#define HUSK_CONNECTION_FIN_ANSWERED 2048
#define HUSK_CONNECTION_CLOSED 4096   /* RST, or FIN of both sides */
#define HUSK_CONNECTION_FRAGMENT 8192 /* the packet that opened it was a first fragment */
/* TCP: RST along the original direction, or against it, and nothing else from that side since. */
#define HUSK_CONNECTION_RESET_SENT 16384
#define HUSK_CONNECTION_RESET_ANSWERED 32768
#define HUSK_CONNECTION_TIMEOUT_SHIFT 16

/*
 * What was decided of a packet of the connection, one word each for (against the original direction, on the
 * way out), index 2 * against + out; below the tenancy:
 *
 *   bits 16-31  dense index of the rule, 0xffff none     bits 4-7  zone
 *   bits 8-15   low byte of the generation's id          bits 0-3  enum husk_verdict; 0: nothing
 */
#define HUSK_CONNECTION_VERDICTS 4
#define HUSK_CONNECTION_RULE_NONE 0xffff

struct husk_connection {
    husk_u64 verdicts[HUSK_CONNECTION_VERDICTS];
    husk_u64 state;  /* flags and timeout */
    husk_u64 seen;   /* second of boot time in which it was last renewed */
    husk_u64 judged; /* id of the generation by which it stands */
    struct husk_connection_key key;
    husk_u64
        made; /* id of the generation by which it was opened: above the one in force, the entry is void */
    /* The packet that opened it, from which it is judged again. */
    husk_u32 ifindex;
    husk_u32 came_by; /* egress: the interface by which it came in; 0: made by the device */
    husk_u16 smac[3]; /* the 48 bits, lowest first */
    husk_u16 dmac[3];
    husk_u16 outer_vlan;
    husk_u16 inner_vlan;
    husk_u16 length;
    husk_u8 dscp;
    husk_u8 first; /* TCP flags, or ICMP type */
    husk_u32 pad;
};
_Static_assert(sizeof(struct husk_connection) == 136, "husk_connection");

/* A value of `connections`. To the programs `lock` is a struct bpf_spin_lock; user space reads 0. */
struct husk_connection_bucket {
    husk_u32 tags[HUSK_CONNECTION_WAYS]; /* lower half of the hash; 0: free */
    husk_u32 lock;
    husk_u32 pad;
    struct husk_connection entries[HUSK_CONNECTION_WAYS];
};
_Static_assert(sizeof(struct husk_connection_bucket) == 1128, "husk_connection_bucket");

/* Map `connection_fragments`, LRU hash. IPv6: the protocol is 0, since a later fragment need not know it (RFC
 * 8200 §4.5: source, destination and identification name the packet). */
struct husk_fragment_key {
    husk_u8 saddr[16];
    husk_u8 daddr[16];
    husk_u32 id;
    husk_u8 ip_proto;
    husk_u8 family;
    husk_u8 pad[2];
};
_Static_assert(sizeof(struct husk_fragment_key) == 40, "husk_fragment_key");
struct husk_fragment {
    husk_u32 seen;  /* second of boot time */
    husk_u16 flags; /* of its connection, 0: none */
    husk_u8 state;  /* enum husk_connection_state */
    husk_u8 is_reply;
};
_Static_assert(sizeof(struct husk_fragment) == 8, "husk_fragment");

/* Indexes into the per-CPU array `connection_counts` (u64 each). */
enum husk_connection_count {
    HUSK_COUNT_OPENED = 0,
    HUSK_COUNT_EVICTED_ONE_WAY = 1, /* living ones, that made room: nothing had come back, */
    HUSK_COUNT_EVICTED = 2,         /* or something had */
    HUSK_COUNT_UNFOLLOWED = 3,      /* allowed in state new and not remembered: there is no table */
    HUSK_COUNT_VOIDED = 4,          /* judged again and not allowed */
    HUSK_COUNT_RATES_EVICTED = 5,   /* token buckets that made room before they were full again */
    HUSK_COUNT_COUNT = 8,
};

#endif
