#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Every node sends as much as it can, small and large, while a node is lost,
# one is stopped and the network falls apart and heals.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3
load_all --rate 0 --window $([ -n "$SAN" ] && echo 4 || echo 64) --size 60-20000
sleep 1

# one_ring WHAT: all clients are told of the ring of three.
one_ring() {
    local i
    for i in 1 2 3; do
        saw $i "$since" 'regular members 1,2,3 ' 40 || return
    done
    ok "$1: one ring again after $after ms"
}

since=$EPOCHREALTIME
stop 2 KILL
saw 1 "$since" 'regular members 1,3 ' &&
    ok "a daemon killed: node 1's client was told after $after ms"
since=$EPOCHREALTIME
start 2
one_ring "started again"
sleep 0.3

since=$EPOCHREALTIME
split 1
saw 2 "$since" 'regular members 2,3 ' &&
    ok "a partition: node 2's client was told after $after ms"
sleep 0.3
since=$EPOCHREALTIME
heal
one_ring "healed"
sleep 0.3

since=$EPOCHREALTIME
kill -STOP "${daemon[3]}"
saw 1 "$since" 'regular members 1,2 ' &&
    ok "a daemon stopped: node 1's client was told after $after ms"
sleep 1
since=$EPOCHREALTIME
kill -CONT "${daemon[3]}"
one_ring "it went on"
sleep 0.5
load_stop
compare --final 3
finish
