#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A daemon is killed under load; it comes back.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3
load_all
sleep 1

since=$EPOCHREALTIME
stop 3 KILL
for i in 1 2; do
    saw "$i" "$since" 'transitional members 1,2 left 3' &&
        saw "$i" "$since" 'regular members 1,2 left - joined -' &&
        ok "node $i's client was told of the loss after $after ms"
done
saw 3 "$since" 'lost' && ok "node 3's client saw its daemon die after $after ms"
sleep 0.5

since=$EPOCHREALTIME
start 3
for i in 1 2 3; do
    saw "$i" "$since" 'regular members 1,2,3 ' &&
        ok "node $i's client was told of the return after $after ms"
done
sleep 0.5

# The representative, the lowest node, too.
since=$EPOCHREALTIME
stop 1 KILL
start 1
for i in 1 2 3; do
    saw "$i" "$since" 'regular members 1,2,3 ' &&
        ok "node $i: one ring again $after ms after node 1 was killed"
done
sleep 0.5
load_stop
compare --final 3
finish
