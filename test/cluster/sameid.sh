#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Two daemons were given one node id: their logs, and the others', say so.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
network 3
for i in 1 2 3; do configure $i; done
conf_set "$S/node3.conf" totem nodeid 2
for i in 1 2 3; do start $i; done
for i in 1 2 3; do
    check "node $i's log names the node id, and the remedy" \
        logged $i 'node id 2.*nodeid' 15
done
for i in 1 2 3; do
    lines=$(grep -c 'node id 2' "$S/daemon$i.log")
    check "node $i says so seldom: $lines lines" [ "$lines" -le 5 ]
done
kill -USR1 "${daemon[1]}"
check "the statistics count it" logged 1 'node id in two processes: [1-9]'
check "and what was dropped, by reason" logged 1 'dropped: [0-9]+ malformed'

stop 3
since=$EPOCHREALTIME
conf_set "$S/node3.conf" totem nodeid 3
start 3
all_members 3 && ok "with an id of its own node 3 joins"
finish
