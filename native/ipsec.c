/* SPDX-License-Identifier: Apache-2.0 */
/* Any thread. See ipsec.h. */
#define _GNU_SOURCE
#include "ipsec.h"

#include <errno.h>
#include <stdbool.h>

#include <linux/xfrm.h>

#include "netlink_dump.h"

/* A policy that lets pass what it transforms (XFRMA_TMPL), and that no interface has (XFRMA_IF_ID). */
static int is_by_policy(void *context, const struct nlmsghdr *message)
{
    const struct xfrm_userpolicy_info *policy = NLMSG_DATA(message);
    size_t left = attributes_size(message, sizeof(*policy));
    bool transforms = false, has_interface = false;

    (void)context;
    if (message->nlmsg_type != XFRM_MSG_NEWPOLICY || !left || policy->action != XFRM_POLICY_ALLOW)
        return 0;
    EACH_ATTRIBUTE(attribute, attributes_of(message, sizeof(*policy)), left)
    {
        if (attribute->rta_type == XFRMA_TMPL)
            transforms = true;
        else if (attribute->rta_type == XFRMA_IF_ID)
            has_interface = true;
    }
    return transforms && !has_interface;
}

int ipsec_is_by_policy(struct error *error)
{
    const struct nlmsghdr request = {.nlmsg_len = sizeof(request),
                                     .nlmsg_type = XFRM_MSG_GETPOLICY,
                                     .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                                     .nlmsg_seq = 1};
    int result;

    error_log_clear();
    result = netlink_dump(NETLINK_XFRM, &request, is_by_policy, NULL);
    /* A kernel without it does none. */
    if (result == -EPROTONOSUPPORT)
        return 0;
    return result < 0 ? error_set(error, result, "list", "IPsec policies") : result;
}
