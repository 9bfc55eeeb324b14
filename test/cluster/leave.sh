#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A daemon that is asked to end takes leave: with a token timeout of five
# seconds the others know long before it could have run out.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3 timeout.token=5000
load_all
sleep 1

for gone in 3 1; do
    since=$EPOCHREALTIME
    kill -TERM "${daemon[$gone]}"
    for i in 1 2 3; do
        [ $i = $gone ] && continue
        saw $i "$since" "regular members $([ $gone = 3 ] && echo 1,2 || echo 2,3) " &&
            check "node $i was told $after ms after node $gone was asked to end" \
                [ "$after" -lt 2500 ]
    done
    ended "${daemon[$gone]}" 10
    check "daemon of node $gone ends with status 0" [ "$status" = 0 ]
    saw $gone "$since" lost && ok "its client was told after $after ms"
    since=$EPOCHREALTIME
    start $gone
    for i in 1 2 3; do saw $i "$since" 'regular members 1,2,3 '; done
    sleep 0.5
done
load_stop
compare --final 3
finish
