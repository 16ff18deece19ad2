/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded program: what the kernel knows of it, and a run of it over a packet. Any thread. */
#ifndef HUSK_NATIVE_PROGRAM_H
#define HUSK_NATIVE_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct program_info {
    uint32_t id;
    uint32_t type;
    uint32_t verified_instructions;
    uint32_t map_count;
    uint32_t *map_ids; /* owned; program_info_release() */
    uint64_t recursion_misses;
    uint8_t tag[8];
    char name[16];
};

int program_info(int fd, struct program_info *info, struct error *error);
void program_info_release(struct program_info *info);

/* Room for what a program adds in front of a packet or behind it. */
#define PROGRAM_PACKET_GROWTH 4096
/* What the kernel takes for a packet at the most: 64 KiB and its headers. */
#define PROGRAM_PACKET_BYTES_MAX (66 * 1024)

struct program_run {
    uint32_t verdict;
    uint32_t duration_ns;
    uint32_t packet_bytes;
    uint8_t *packet; /* owned by the caller: free() */
};

/* `ifindex` 0: the kernel's choice, the loopback interface. */
int program_test_run(int fd, const void *packet, size_t packet_bytes, uint32_t repeat, uint32_t ifindex,
                     uint32_t came_by, struct program_run *run, struct error *error);

#endif
