/* SPDX-License-Identifier: Apache-2.0 */
/* The list of interfaces, and whether IPsec passes by them, as JavaScript values. The JavaScript thread. */
#include "binding.h"

#include "ipsec.h"
#include "netif.h"

static napi_value to_addresses(napi_env env, const struct netif *netif)
{
    napi_value array = NULL;

    if (napi_create_array_with_length(env, netif->address_count, &array) != napi_ok)
        return throw_status(env);
    for (size_t i = 0; i < netif->address_count; i++) {
        napi_value text = to_string(env, netif->addresses[i]);

        if (!text || napi_set_element(env, array, (uint32_t)i, text) != napi_ok)
            return throw_status(env);
    }
    return array;
}

static napi_value to_interface(napi_env env, const struct netif *netif)
{
    struct record record = record_open(env);

    record_set(&record, "name", to_string(env, netif->name));
    record_set(&record, "index", to_u32(env, netif->index));
    record_set(&record, "up", to_bool(env, netif->up));
    record_set(&record, "hardwareType", to_u32(env, netif->hardware_type));
    record_set(&record, "mac", to_string(env, netif->mac));
    record_set(&record, "addresses", to_addresses(env, netif));
    record_set(&record, "kind", to_string(env, netif->link.kind));
    record_set(&record, "parent", to_u32(env, netif->link.parent));
    record_set(&record, "master", to_u32(env, netif->link.master));
    record_set(&record, "vlan", to_u32(env, netif->link.vlan));
    record_set(&record, "stripsTags", to_bool(env, netif->strips_tags));
    return record_close(&record);
}

static napi_value to_list(napi_env env, const struct netif_list *list)
{
    napi_value array = NULL;

    if (napi_create_array_with_length(env, list->count, &array) != napi_ok)
        return throw_status(env);
    for (size_t i = 0; i < list->count; i++) {
        napi_value one = to_interface(env, &list->items[i]);

        if (!one || napi_set_element(env, array, (uint32_t)i, one) != napi_ok)
            return throw_status(env);
    }
    return array;
}

static napi_value interfaces(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    struct netif_list list;
    napi_value array;

    (void)info;
    if (netif_list_open(&list, &error))
        return throw_error(env, &error);
    array = to_list(env, &list);
    netif_list_release(&list);
    return array;
}

static napi_value ipsec_by_policy(napi_env env, napi_callback_info info)
{
    struct error error = {0};
    int result = ipsec_is_by_policy(&error);

    (void)info;
    return result < 0 ? throw_error(env, &error) : to_bool(env, result);
}

bool binding_netif_define(napi_env env, napi_value addon)
{
    static const napi_property_descriptor functions[] = {
        METHOD("interfaces", interfaces),
        METHOD("ipsecByPolicy", ipsec_by_policy),
    };

    return napi_define_properties(env, addon, COUNT_OF(functions), functions) == napi_ok;
}
