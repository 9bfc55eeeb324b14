#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A node's interface goes down and comes up again.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3
load_all
sleep 1

since=$EPOCHREALTIME
at 3 ip link set eth0 down
for i in 1 2; do
    saw "$i" "$since" 'regular members 1,2 ' &&
        ok "node $i's client was told after $after ms"
done
saw 3 "$since" 'regular members 3 ' &&
    ok "node 3 goes on alone after $after ms"
sleep 2
since=$EPOCHREALTIME
at 3 ip link set eth0 up
for i in 1 2 3; do
    saw "$i" "$since" 'regular members 1,2,3 ' &&
        ok "node $i: one ring $after ms after the interface came up"
done

# On the far side, so that the node's own interface only loses its carrier.
since=$EPOCHREALTIME
at 0 ip link set p2 down
saw 1 "$since" 'regular members 1,3 ' &&
    ok "node 1's client was told of a lost carrier after $after ms"
since=$EPOCHREALTIME
at 0 ip link set p2 up
for i in 1 2 3; do
    saw "$i" "$since" 'regular members 1,2,3 ' &&
        ok "node $i: one ring $after ms after the carrier was back"
done
sleep 1
load_stop
compare --final 3
finish
