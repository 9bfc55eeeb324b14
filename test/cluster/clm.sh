#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# testclm, as in the quickstart: it prints each change as nodes are killed,
# added and asked to leave, in the same views on all nodes; and error codes when
# its own daemon is killed.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3

declare -A testclm
follow() {
    spawn "$1" "$S/clm$1.log" env OPENAIS_RUNDIR="$S/run$1" "$B/testclm" --json
    testclm[$1]=$pid
    told "$1" '"view":.*"members":3' || bad "node $1: no first list"
}

# told N PATTERN: node N's testclm prints such a line.
told() {
    local steps=$((20 * 50))
    until grep -qsE -- "$2" "$S/clm$1.log"; do
        [ $((steps -= 1)) -gt 0 ] || return 1
        sleep 0.02
    done
}

# node_is ID CHANGE: a node in a list, in that state.
node_is() { echo "\"id\":$1,[^}]*\"change\":\"$2\""; }

for i in 1 2; do follow $i; done
first=$(head -n 1 "$S/clm1.log")
check "the first list has the local node first" \
    grep -q '"nodes":\[{"id":1,' <<<"$first"
check "each node has its address" \
    grep -q '"id":3,.*"address":"10.77.0.3"' <<<"$first"

stop 3 KILL
for i in 1 2; do
    check "node $i is told that node 3 left" \
        told $i "\"members\":2,.*$(node_is 3 left)"
done
start 3
for i in 1 2; do
    check "node $i is told that node 3 joined" \
        told $i "\"members\":3,.*$(node_is 3 joined)"
done
stop 3 TERM
sleep 0.3
start 3
for i in 1 2; do
    check "node $i is told of a graceful leave and the return" \
        [ "$(sleep 1; grep -cE "$(node_is 3 joined)" "$S/clm$i.log")" = 2 ]
done
# From the change on, both saw the same views with the same members.
views() { sed -n 's/.*"view":\([0-9]*\),"members":\([0-9]*\),.*/\1 \2/p' \
    "$S/clm$1.log" | tail -n +2; }
check "the same views on both nodes ($(views 1 | tr '\n' ',' ))" \
    [ "$(views 1)" = "$(views 2)" ]
check "view numbers grow" \
    [ "$(views 1)" = "$(views 1 | sort -n -s -k1,1 | uniq)" ]

stop 1 KILL
wait "${testclm[1]}"
status=$?
check "testclm ends when its own daemon is killed" [ $status = 1 ]
check "and names the error" grep -q LIBRARY "$S/clm1.log"
check "node 2 is told that node 1 left" told 2 "$(node_is 1 left)"
start 1
check "node 2 is told that node 1 is back" told 2 "$(node_is 1 joined)"
kill -INT "${testclm[2]}"
wait "${testclm[2]}"
check "SIGINT ends testclm" [ $? = 0 ]
finish
