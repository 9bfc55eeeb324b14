#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# One daemon is restarted many times in a row, killed and asked by turns.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
rounds=20
[ -n "$SAN" ] && rounds=8
cluster 3
load_all
sleep 0.5
done_rounds=0
for round in $(seq $rounds); do
    since=$EPOCHREALTIME
    stop $((round % 3 + 1)) "$([ $((round % 2)) = 0 ] && echo TERM || echo KILL)"
    start $((round % 3 + 1))
    for i in 1 2 3; do
        saw $i "$since" 'regular members 1,2,3 ' || break 2
    done
    done_rounds=$round
done
check "$done_rounds restarts, one ring after each" [ "$done_rounds" = $rounds ]
sleep 0.5
load_stop
compare --final 3
finish
