/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes as openais.conf: the result is a checked configuration, or one line
 * of error text. */
#include "config/config.h"
#include "daemon/base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What config.h promises of a configuration that is accepted. */
static void check_config(const struct config *c)
{
    const struct config_timeout *t = &c->timeout;
    CHECK(c->totem.bindnetaddr.s_addr != 0);
    CHECK(c->totem.mcastport > 0 && c->totem.mcastport < 65535);
    CHECK(c->totem.transport == CONFIG_UNICAST ? c->totem.node_count > 0
                                               : c->totem.mcastaddr.s_addr);
    CHECK(c->totem.node_count <= c->totem.node_max);
    CHECK(c->totem.window_packets >= 8 && c->totem.window_packets <= 8192);
    CHECK(c->totem.keyfile != NULL && c->totem.statedir != NULL);
    CHECK(!c->logging.to_file || c->logging.logfile != NULL);
    CHECK(t->hold_ns > 0 && t->hold_ns < t->token_retransmit_ns);
    CHECK(t->token_retransmit_ns < t->token_ns);
    CHECK(t->join_ns > 0 && t->join_ns <= t->consensus_ns);
    CHECK((c->ipc.submit_ring_bytes & (c->ipc.submit_ring_bytes - 1)) == 0);
    CHECK((c->ipc.event_ring_bytes & (c->ipc.event_ring_bytes - 1)) == 0);
    CHECK(c->ipc.group != NULL);
    CHECK(c->event.delivery_queue_resume <= c->event.delivery_queue_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE] = "";
    int r =
        config_parse("f", (const char *)data, size, &c, error, sizeof error);
    if (r == 0)
        check_config(&c);
    else
        CHECK(memcmp(error, "f:", 2) == 0 && strchr(error, '\n') == NULL);
    config_free(&c);
    return 0;
}
