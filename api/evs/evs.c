/* SPDX-License-Identifier: BSD-3-Clause */
/* evs.c - libevs: the EVS interface over a connection to the daemon. */
#include "api/evs/internal.h"

#include <string.h>

enum { IOVECS_MAX = 62 };

_Static_assert(sizeof(struct evs_group) == IPC_GROUP_KEY_SIZE, "keys");
_Static_assert(sizeof(struct evs_ring_id) == 16, "as in corosync");

/* --- handle --------------------------------------------------------------- */

static void header_begin(struct evs_header *h, uint32_t count)
{
    h->bytes[0] = (uint8_t)count;
    h->size = 1;
}

static void init(void *instance, const void *given)
{
    struct evs_instance *e = instance;
    const evs_callbacks_t *callbacks = given;

    if (callbacks != NULL)
        e->callbacks = *callbacks;
    pthread_mutex_init(&e->groups_lock, NULL);
    pthread_mutex_init(&e->joined_lock, NULL);
    header_begin(&e->header, 0);
}

static void deinit(void *instance)
{
    struct evs_instance *e = instance;

    pthread_mutex_destroy(&e->groups_lock);
    pthread_mutex_destroy(&e->joined_lock);
}

static void deliver(void *context, uint32_t type, const uint8_t *body,
                    uint32_t size);

const struct library evs_library = {.service = IPC_SERVICE_EVS,
                                    .instance_size =
                                        sizeof(struct evs_instance),
                                    .init = init,
                                    .deinit = deinit,
                                    .deliver = deliver};

/* The handle's instance, to be HELD; NULL: no such handle. */
static struct evs_instance *instance_get(evs_handle_t handle)
{
    return handle_get(handle, &evs_library);
}

static cs_error_t initialize(evs_handle_t *handle, evs_callbacks_t *callbacks,
                             struct conn_rings rings)
{
    return handle == NULL
               ? CS_ERR_INVALID_PARAM
               : library_open(&evs_library, rings, callbacks, handle);
}

PUBLIC cs_error_t evs_initialize(evs_handle_t *handle,
                                 evs_callbacks_t *callbacks)
{
    return initialize(handle, callbacks,
                      (struct conn_rings){.submit_bytes = 0});
}

static uint32_t wish(size_t bytes)
{
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

PUBLIC cs_error_t evs_initialize_rings(evs_handle_t *handle,
                                       evs_callbacks_t *callbacks,
                                       size_t submit_bytes, size_t event_bytes)
{
    struct conn_rings rings = {wish(submit_bytes), wish(event_bytes)};

    return initialize(handle, callbacks, rings);
}

PUBLIC cs_error_t evs_finalize(evs_handle_t handle)
{
    return library_finalize(&evs_library, handle);
}

PUBLIC cs_error_t evs_fd_get(evs_handle_t handle, int *fd)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    if (fd == NULL)
        return CS_ERR_INVALID_PARAM;
    *fd = e->conn.socket;
    return CS_OK;
}

PUBLIC cs_error_t evs_context_get(evs_handle_t handle, void **context)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    if (context == NULL)
        return CS_ERR_INVALID_PARAM;
    /* Acquire, and release below: what the pointer names goes with it. */
    *context = atomic_load_explicit(&e->context, memory_order_acquire);
    return CS_OK;
}

PUBLIC cs_error_t evs_context_set(evs_handle_t handle, void *context)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    atomic_store_explicit(&e->context, context, memory_order_release);
    return CS_OK;
}

/* --- events --------------------------------------------------------------- */

static void deliver_message(struct evs_instance *e, const uint8_t *body,
                            uint32_t size)
{
    struct ipc_evs_message m;

    if (size < sizeof m || e->callbacks.evs_deliver_fn == NULL)
        return;
    memcpy(&m, body, sizeof m);
    e->callbacks.evs_deliver_fn(e->conn.handle, m.node_id, body + sizeof m,
                                size - sizeof m);
}

static void deliver_configuration(struct evs_instance *e, const uint8_t *body,
                                  uint32_t size)
{
    struct ipc_evs_configuration c;
    unsigned int ids[3 * IPC_NODES_MAX];

    if (size < sizeof c || e->callbacks.evs_confchg_fn == NULL)
        return;
    memcpy(&c, body, sizeof c);
    if (c.member_count > IPC_NODES_MAX || c.left_count > IPC_NODES_MAX ||
        c.joined_count > IPC_NODES_MAX)
        return;
    size_t count = c.member_count + c.left_count + c.joined_count;
    if (size != sizeof c + count * sizeof *ids)
        return;
    memcpy(ids, body + sizeof c, count * sizeof *ids);
    struct evs_ring_id ring_id = {.nodeid = c.ring_node_id, .seq = c.ring_seq};
    const unsigned int *left = ids + c.member_count;
    e->callbacks.evs_confchg_fn(e->conn.handle, ids, c.member_count, left,
                                c.left_count, left + c.left_count,
                                c.joined_count, &ring_id);
}

static void deliver(void *context, uint32_t type, const uint8_t *body,
                    uint32_t size)
{
    /* Types that this library does not know are a newer daemon's. */
    if (type == IPC_EVENT_EVS_MESSAGE)
        deliver_message(context, body, size);
    else if (type == IPC_EVENT_EVS_CONFIGURATION)
        deliver_configuration(context, body, size);
}

PUBLIC cs_error_t evs_dispatch(evs_handle_t handle,
                               cs_dispatch_flags_t dispatch)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    if (dispatch != CS_DISPATCH_ONE && dispatch != CS_DISPATCH_ALL &&
        dispatch != CS_DISPATCH_BLOCKING &&
        dispatch != CS_DISPATCH_ONE_NONBLOCKING)
        return CS_ERR_INVALID_PARAM;
    return library_dispatch(e, dispatch);
}

/* --- groups --------------------------------------------------------------- */

/* Appends a group: its length without the zeroes at its end, its bytes. */
static void header_add(struct evs_header *h, const struct evs_group *group)
{
    uint8_t length = sizeof group->key;

    while (length > 0 && group->key[length - 1] == 0)
        length--;
    h->bytes[h->size++] = length;
    memcpy(h->bytes + h->size, group->key, length);
    h->size += length;
}

static uint32_t joined_find(const struct evs_instance *e,
                            const struct evs_group *group)
{
    uint32_t i = 0;

    while (i < e->joined_count &&
           memcmp(&e->joined[i], group, sizeof *group) != 0)
        i++;
    return i;
}

/* Takes over what the daemon has done with the first `count` groups. */
static void joined_change(struct evs_instance *e, uint32_t type,
                          const struct evs_group *groups, uint32_t count)
{
    pthread_mutex_lock(&e->joined_lock);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = joined_find(e, &groups[i]);
        if (type == IPC_SUBMIT_EVS_JOIN && at == e->joined_count &&
            at < IPC_GROUPS_MAX)
            e->joined[e->joined_count++] = groups[i];
        else if (type == IPC_SUBMIT_EVS_LEAVE && at < e->joined_count)
            e->joined[at] = e->joined[--e->joined_count];
    }
    header_begin(&e->header, e->joined_count);
    for (uint32_t i = 0; i < e->joined_count; i++)
        header_add(&e->header, &e->joined[i]);
    pthread_mutex_unlock(&e->joined_lock);
}

static cs_error_t change_groups(struct evs_instance *e, uint32_t type,
                                const struct evs_group *groups, size_t count)
{
    struct ipc_evs_groups head = {.count = (uint32_t)count};
    const struct iovec keys = CONN_PART(groups, count * sizeof *groups);
    struct ipc_reply reply = {.result = 0};
    struct conn_call call = {.type = type,
                             .head = CONN_PART(&head, sizeof head),
                             .parts = &keys,
                             .part_count = 1,
                             .answer = {{&reply, sizeof reply}}};
    cs_error_t error;

    if (groups == NULL && count > 0)
        return CS_ERR_INVALID_PARAM;
    if (count > IPC_GROUPS_PER_CALL_MAX)
        return CS_ERR_TOO_MANY_GROUPS;
    if (count == 0)
        return CS_OK;
    pthread_mutex_lock(&e->groups_lock);
    error = conn_request(&e->conn, &call);
    if (error == CS_OK &&
        (call.answer_size != sizeof reply || reply.done > count))
        error = CS_ERR_LIBRARY;
    if (error == CS_OK) {
        error = conn_error(reply.result);
        joined_change(e, type, groups, reply.done);
    }
    pthread_mutex_unlock(&e->groups_lock);
    return error;
}

PUBLIC cs_error_t evs_join(evs_handle_t handle, const struct evs_group *groups,
                           size_t group_entries)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    return change_groups(e, IPC_SUBMIT_EVS_JOIN, groups, group_entries);
}

PUBLIC cs_error_t evs_leave(evs_handle_t handle, const struct evs_group *groups,
                            size_t group_entries)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    return change_groups(e, IPC_SUBMIT_EVS_LEAVE, groups, group_entries);
}

/* --- multicast ------------------------------------------------------------ */

static cs_error_t check_message(const struct evs_instance *e,
                                evs_guarantee_t guarantee,
                                const struct iovec *iovec, unsigned int iov_len,
                                uint32_t *size)
{
    size_t sum = 0;

    if ((unsigned int)guarantee > EVS_TYPE_SAFE || iov_len > IOVECS_MAX ||
        (iovec == NULL && iov_len > 0))
        return CS_ERR_INVALID_PARAM;
    for (unsigned int i = 0; i < iov_len; i++) {
        /* Each is compared before it is added: no sum can wrap. */
        if (iovec[i].iov_len > e->conn.message_size_max - sum)
            return CS_ERR_TOO_BIG;
        sum += iovec[i].iov_len;
    }
    *size = (uint32_t)sum;
    return CS_OK;
}

/* Writes the record in place in the ring: the one copy on this side. */
static cs_error_t send_message(struct evs_instance *e,
                               evs_guarantee_t guarantee,
                               const struct evs_header *h,
                               const struct iovec *iovec, unsigned int iov_len,
                               uint32_t payload_size)
{
    const struct ipc_evs_mcast head = {.guarantee = guarantee,
                                       .groups_size = h->size};
    uint32_t size = (uint32_t)sizeof head + h->size + payload_size;
    cs_error_t error = CS_OK;
    uint8_t *at = conn_claim(&e->conn, size, &error);

    if (at == NULL)
        return error;
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    memcpy(at, h->bytes, h->size);
    at += h->size;
    for (unsigned int i = 0; i < iov_len; i++) {
        if (iovec[i].iov_len > 0)
            memcpy(at, iovec[i].iov_base, iovec[i].iov_len);
        at += iovec[i].iov_len;
    }
    return conn_commit(&e->conn, IPC_SUBMIT_EVS_MCAST, size);
}

static cs_error_t mcast_joined(struct evs_instance *e,
                               evs_guarantee_t guarantee,
                               const struct iovec *iovec, unsigned int iov_len)
{
    struct evs_header h;
    uint32_t size, count;
    cs_error_t error = check_message(e, guarantee, iovec, iov_len, &size);

    if (error != CS_OK)
        return error;
    /* A copy: the send may wait for room, and nobody else is to wait for it. */
    pthread_mutex_lock(&e->joined_lock);
    count = e->joined_count;
    h.size = e->header.size;
    memcpy(h.bytes, e->header.bytes, h.size);
    pthread_mutex_unlock(&e->joined_lock);
    if (count == 0) /* it is for nobody */
        return CS_OK;
    return send_message(e, guarantee, &h, iovec, iov_len, size);
}

static cs_error_t mcast_groups(struct evs_instance *e,
                               evs_guarantee_t guarantee,
                               const struct evs_group *groups, size_t count,
                               const struct iovec *iovec, unsigned int iov_len)
{
    struct evs_header h;
    uint32_t size;
    cs_error_t error = check_message(e, guarantee, iovec, iov_len, &size);

    if (error != CS_OK)
        return error;
    if (groups == NULL && count > 0)
        return CS_ERR_INVALID_PARAM;
    if (count > IPC_GROUPS_MAX)
        return CS_ERR_TOO_MANY_GROUPS;
    if (count == 0)
        return CS_OK;
    header_begin(&h, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        header_add(&h, &groups[i]);
    return send_message(e, guarantee, &h, iovec, iov_len, size);
}

PUBLIC cs_error_t evs_mcast_joined(evs_handle_t handle,
                                   evs_guarantee_t guarantee,
                                   const struct iovec *iovec,
                                   unsigned int iov_len)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    return mcast_joined(e, guarantee, iovec, iov_len);
}

PUBLIC cs_error_t evs_mcast_groups(evs_handle_t handle,
                                   evs_guarantee_t guarantee,
                                   const struct evs_group *groups,
                                   size_t group_entries,
                                   const struct iovec *iovec,
                                   unsigned int iov_len)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    return mcast_groups(e, guarantee, groups, group_entries, iovec, iov_len);
}

/* --- membership ----------------------------------------------------------- */

static cs_error_t membership(struct evs_instance *e, unsigned int *local,
                             unsigned int *list, size_t *entries)
{
    struct {
        struct ipc_evs_members head;
        uint32_t ids[IPC_NODES_MAX];
    } answer;
    struct conn_call call = {.type = IPC_QUERY_EVS_MEMBERS,
                             .answer = {{&answer, sizeof answer}}};
    cs_error_t error = conn_query(&e->conn, &call);

    if (error != CS_OK)
        return error;
    if (call.answer_size < sizeof answer.head ||
        answer.head.reply.done > IPC_NODES_MAX ||
        call.answer_size !=
            sizeof answer.head + answer.head.reply.done * sizeof *list)
        return CS_ERR_LIBRARY;
    if (*entries > answer.head.reply.done)
        *entries = answer.head.reply.done;
    if (local != NULL)
        *local = answer.head.node_id;
    if (list != NULL)
        memcpy(list, answer.ids, *entries * sizeof *list);
    return CS_OK;
}

PUBLIC cs_error_t evs_membership_get(evs_handle_t handle,
                                     unsigned int *local_nodeid,
                                     unsigned int *member_list,
                                     size_t *member_list_entries)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    if (member_list_entries == NULL)
        return CS_ERR_INVALID_PARAM;
    return membership(e, local_nodeid, member_list, member_list_entries);
}

/* --- groups of this node -------------------------------------------------- */

/* One piece of the list, from *from on; *from becomes where the next begins. */
static cs_error_t group_piece(struct evs_instance *e, uint32_t *from,
                              struct ipc_evs_group_info *infos, uint32_t *count)
{
    struct ipc_evs_groups_from query = {.from = *from};
    struct {
        struct ipc_evs_group_list head;
        struct ipc_evs_group_info infos[IPC_GROUP_INFOS_MAX];
    } answer;
    struct conn_call call = {.type = IPC_QUERY_EVS_GROUPS,
                             .head = CONN_PART(&query, sizeof query),
                             .answer = {{&answer, sizeof answer}}};
    cs_error_t error = conn_query(&e->conn, &call);

    if (error != CS_OK)
        return error;
    if (call.answer_size < sizeof answer.head ||
        answer.head.reply.done > IPC_GROUP_INFOS_MAX ||
        call.answer_size !=
            sizeof answer.head + answer.head.reply.done * sizeof *infos)
        return CS_ERR_LIBRARY;
    *count = answer.head.reply.done;
    *from = answer.head.next;
    memcpy(infos, answer.infos, *count * sizeof *infos);
    return CS_OK;
}

static cs_error_t group_list(struct evs_instance *e,
                             struct evs_group_info *list, size_t *entries)
{
    struct ipc_evs_group_info infos[IPC_GROUP_INFOS_MAX];
    size_t done = 0;
    uint32_t from = 0, count = 0;

    do {
        cs_error_t error = group_piece(e, &from, infos, &count);
        if (error != CS_OK)
            return error;
        for (uint32_t i = 0; i < count && done < *entries; i++, done++) {
            if (list == NULL)
                continue;
            memcpy(list[done].group.key, infos[i].key, sizeof infos[i].key);
            list[done].handles = infos[i].handles;
        }
    } while (from != 0 && done < *entries);
    *entries = done;
    return CS_OK;
}

PUBLIC cs_error_t evs_group_list_get(evs_handle_t handle,
                                     struct evs_group_info *list,
                                     size_t *entries)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    if (entries == NULL)
        return CS_ERR_INVALID_PARAM;
    return group_list(e, list, entries);
}

/* --- flow control --------------------------------------------------------- */

PUBLIC cs_error_t evs_send_timeout_set(evs_handle_t handle, int64_t timeout_ns)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    atomic_store_explicit(&e->conn.send_timeout_ns, timeout_ns,
                          memory_order_relaxed);
    return CS_OK;
}

PUBLIC cs_error_t evs_room_get(evs_handle_t handle, size_t *bytes)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    if (bytes == NULL)
        return CS_ERR_INVALID_PARAM;
    pthread_mutex_lock(&e->joined_lock);
    size_t head = sizeof(struct ipc_evs_mcast) + e->header.size;
    pthread_mutex_unlock(&e->joined_lock);
    size_t room = conn_room(&e->conn);
    room = room > head ? room - head : 0;
    *bytes = room < e->conn.message_size_max ? room : e->conn.message_size_max;
    return CS_OK;
}

PUBLIC cs_error_t evs_room_fd_get(evs_handle_t handle, int *fd)
{
    HELD struct evs_instance *e = instance_get(handle);

    if (e == NULL)
        return CS_ERR_BAD_HANDLE;
    if (fd == NULL)
        return CS_ERR_INVALID_PARAM;
    *fd = conn_room_fd(&e->conn);
    return CS_OK;
}
