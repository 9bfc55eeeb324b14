#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Three nodes by node list, on a network that forwards no multicast.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
network 3
for i in 1 2 3; do
    at 0 bridge link set dev p$i mcast_flood off || bad "mcast_flood off"
    configure $i totem.transport=unicast \
        totem.nodes='{10.77.0.1, 10.77.0.2, 10.77.0.3}'
done
start 1
check "a node alone says that nothing comes, and what to look at" \
    logged 1 'nothing came from any of the 2 other nodes.*5405 and 5406' 15
start 2
start 3
all_members 3 && ok "3 nodes form one ring without multicast"
load_all
sleep 1
since=$EPOCHREALTIME
stop 2 KILL
for i in 1 3; do
    saw $i "$since" 'regular members 1,3 ' &&
        ok "node $i's client was told of a loss after $after ms"
done
since=$EPOCHREALTIME
start 2
for i in 1 2 3; do
    saw $i "$since" 'regular members 1,2,3 ' &&
        ok "node $i: one ring again after $after ms"
done
sleep 0.5
load_stop
compare --final 3
finish
