/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether IPsec is done to packets of this network namespace by policy alone: what is inside then never
 * passes an interface of its own, where it could be judged. Any thread.
 */
#ifndef HUSK_NATIVE_IPSEC_H
#define HUSK_NATIVE_IPSEC_H

#include "error.h"

/* 1: there is a policy that transforms and is of no xfrm interface; 0: there is none, or no IPsec. -1:
 * `error`. */
int ipsec_is_by_policy(struct error *error);

#endif
