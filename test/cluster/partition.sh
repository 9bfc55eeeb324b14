#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The network falls apart, in two ways, and heals; both sides go on.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3
load_all
sleep 1

part() { # ALONE OTHERS
    local since=$EPOCHREALTIME i
    split "$1"
    saw "$1" "$since" "regular members $1 " &&
        ok "node $1 goes on alone after $after ms"
    for i in ${2/,/ }; do
        saw "$i" "$since" "regular members $2 " &&
            ok "node $i: the others go on after $after ms"
    done
    sleep 1
    since=$EPOCHREALTIME
    heal
    for i in 1 2 3; do
        saw "$i" "$since" 'regular members 1,2,3 ' &&
            ok "node $i: one ring $after ms after healing"
    done
    sleep 0.5
}

part 3 1,2
part 1 2,3
load_stop
compare --final 3
finish
