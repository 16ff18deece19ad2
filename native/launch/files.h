/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on files, and TCP ports, that are allowed only where the rules say, by Landlock: EACCES
 * elsewhere, for this process and all that come from it, for good.
 *
 * Landlock knows lists of what is allowed and no others. Who is under such a list of file operations can't
 * mount, and can't trace processes that are not.
 */
#ifndef HUSK_LAUNCH_FILES_H
#define HUSK_LAUNCH_FILES_H

#include "rules.h"

/* 0, or an errno: ENOSYS, EOPNOTSUPP where the kernel has not (enough of) Landlock. Nothing is asked for: 0.
 */
int launch_files(const struct launch_rules *rules);

#endif
