#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Breaks the core, or the replication of services, in one place at a time and
# demands that the simulator notices within COUNT scenarios. Each mutant is a
# file, an expression for sed that must change it, and what it breaks. `make
# mutants`; ONLY=name runs one.
set -u
cd "$(dirname "$0")/.."
COUNT=${COUNT:-4000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

mutant() {
    local name=$1 file=$2 expression=$3 start=$SECONDS tree=$work/$1
    [ -z "${ONLY:-}" ] || [ "$ONLY" = "$name" ] || return 0
    mkdir -p "$tree"
    cp -r Makefile daemon ipc config api keys perf test "$tree"
    sed -i -E "$expression" "$tree/$file"
    if cmp -s "$file" "$tree/$file"; then
        echo "FAILED  $name: the expression changes nothing in $file"
        failed=$((failed + 1))
        return
    fi
    if ! make -s -C "$tree" -j"$(nproc)" QUIET=1 B=build \
        CFLAGS='-O2 -Wno-error' build/sim >"$work/log" 2>&1; then
        echo "FAILED  $name: does not build"
        tail -n 5 "$work/log"
        failed=$((failed + 1))
        return
    fi
    if "$tree/build/sim" --count "$COUNT" --first >"$work/log" 2>&1; then
        echo "FAILED  $name: not noticed in $COUNT scenarios"
        failed=$((failed + 1))
    else
        printf 'ok      %-26s %3d s  %s\n' "$name" $((SECONDS - start)) \
            "$(grep -m1 -oE 'seed [0-9]+: [a-z -]+' "$work/log" ||
                grep -m1 -o 'check failed.*' "$work/log")"
        passed=$((passed + 1))
    fi
    rm -rf "$tree"
}

core=daemon/totem
mutant gap-ignored $core/deliver.c \
    's/\(!gap \|\| obliged\(t, slot->sender\)\)/(gap || !gap)/'
mutant obligations-forgotten $core/recovery.c 's/^    oblige\(t\);//'
mutant safe-at-once $core/deliver.c \
    's/if \(slot->safe && slot->seq > safe\)/if (slot->safe \&\& slot->seq > r->store.aru)/'
mutant safe-one-rotation-early $core/operational.c \
    's/uint64_t both = r->aru_sent < t->token.aru \? r->aru_sent : t->token.aru;/uint64_t both = t->token.aru;/'
mutant trans-is-everybody-known $core/deliver.c \
    's/list\(c->members, &c->member_count, &t->recovery.trans\)/list(c->members, \&c->member_count, \&t->ring.members)/'
mutant left-forgotten $core/deliver.c \
    's/^    list\(c->left, &c->left_count, &left\);//'
mutant fail-set-forgotten $core/gather.c \
    's/CHECK\(set_add\(&t->fail, silent.ids\[i\]\)\);//'
mutant accusers-believed $core/gather.c \
    's/if \(!member && accuses_member\(t, join\)\)/if (0 \&\& accuses_member(t, join))/'
mutant retransmission-skipped $core/operational.c \
    's/bool here = store_find\(&r->store, k->rtr\[i\]\) != NULL;/bool here = store_find(\&r->store, k->rtr[i]) != NULL \&\& k->rtr[i] % 7 != 0;/'
mutant asked-too-early $core/operational.c \
    's/end > r->seq_sent/end > k->seq/; s/end = r->seq_sent/end = k->seq/'
mutant recovery-off-by-one $core/recovery.c \
    's/v->next <= t->ring.store.high;/v->next < t->ring.store.high;/'
mutant recovery-one-quiet-visit $core/recovery.c \
    's/\(v->quiet_visits < 2 \|\|/(v->quiet_visits < 1 ||/; s/v->quiet_visits < 3\)/v->quiet_visits < 1)/'
mutant recovery-two-quiet-visits $core/recovery.c \
    's/v->quiet_visits < 3\)/v->quiet_visits < 2)/'
mutant token-duplicates-taken $core/operational.c \
    's/if \(token->token_seq <= r->token_seq\)/if (token->token_seq < r->token_seq)/'
mutant ring-nonce-forgotten $core/commit.c \
    's/\.nonce = t->config.incarnation,/.nonce = 0,/'
mutant delivered-before-aru $core/deliver.c \
    's/while \(r->delivered < r->store.aru\) \{/while (r->delivered < r->store.high) { if (!store_find(\&r->store, r->delivered + 1)) { r->delivered++; continue; }/'
mutant put-offset-kept daemon/group/group.c \
    's/^    g->put_offset = 0;\n    memcpy\(g->members/    memcpy(g->members/; /CHECK\(g->room == NULL\);/{n;d}'
mutant aru-never-lowered $core/operational.c \
    's/if \(aru < k->aru \|\| k->aru_id/if (k->aru_id/'

service=daemon/service
mutant joiner-applies-at-once $service/replica.c \
    's/^( +)replica_queue_add\(&r->kept, sender, data\);/\1apply(r, sender, data);\n\1replica_queue_add(\&r->kept, sender, (struct bytes){0});/'
mutant results-ignored $service/replica.c \
    's/if \(result_of\(p, r->applied\)\)/if (result_of(p, r->applied) || true)/'
mutant path-not-mixed $service/replica.c \
    's/^( +)r->path = ring_id_mix\(r->path, &r->conf.ring_id\);/\1r->path += 0;/'
mutant part-is-history $service/replica.c \
    's/a->birth == b->birth && a->path == b->path &&/a->birth == b->birth \&\&/'
mutant change-not-kept $service/replica.c \
    's/replica_queue_add_change\(&r->kept, c\);/replica_queue_add(\&r->kept, 0, (struct bytes){0});/'
mutant donor-from-the-furthest $service/replica.c \
    's/is_before\(&cursor, &r->write_from\)/is_before(\&r->write_from, \&cursor)/'
mutant members-are-operations $service/replica.c \
    's/\.operations = r->stats.operations,/.operations = r->index,/'
mutant parts-counted-too $service/replica.c \
    's/size \+= r->info\[i\]\.holds == HOLDS_WHOLE &&/size += r->info[i].holds != HOLDS_NONE \&\&/'
mutant rest-not-applied $service/replica.c \
    's/^( +)for \(; r->kept.first != NULL; replica_queue_drop\(&r->kept\)\)/\1if (0) {}\n\1for (uint32_t i = 0; r->kept.first != NULL; i++, replica_queue_drop(\&r->kept)) if (i > 0)/'
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
