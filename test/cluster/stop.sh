#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A daemon stands still for five seconds, as on a machine that is migrated.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3
load_all
sleep 1

since=$EPOCHREALTIME
kill -STOP "${daemon[3]}"
for i in 1 2; do
    saw "$i" "$since" 'regular members 1,2 ' &&
        ok "node $i's client was told after $after ms"
done
sleep 5
since=$EPOCHREALTIME
kill -CONT "${daemon[3]}"
for i in 1 2 3; do
    saw "$i" "$since" 'regular members 1,2,3 ' &&
        ok "node $i: one ring $after ms after it went on"
done
check "node 3's client kept its connection" \
    sh -c "! grep -q ' lost ' $S/client3.log"
sleep 1
load_stop
compare --final 3
finish
