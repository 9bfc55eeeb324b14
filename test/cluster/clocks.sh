#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Wall clocks that are wrong, or are set while all is under way: how long
# checkpoints are kept is nobody's wall clock's business, and a clock that is far
# from the others' does not expire sections. Each daemon's is what $S/wall<node>
# says (test/wallclock.c).
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
if [ -n "$SAN" ]; then
    skip "a sanitizer's library and a preloaded one do not go together"
    finish
fi

# set_clock NODE SECONDS: off by so many.
set_clock() { echo "$2" >"$S/wall$1"; }
start_at() { WALLCLOCK=$S/wall$1 LD_PRELOAD=$B/wallclock.so start "$1"; }
probe() { # NODE ...
    local node=$1
    shift
    client "$node" "$B/ckptprobe" "$@" 2>>"$S/probe.log"
}
# gone NODE NAME [ID]: who looks opens it, and its time begins anew.
gone() {
    probe "$1" there "${@:2}"
    [ $? = 1 ]
}

network 4
for i in 1 2 3 4; do
    configure $i
    set_clock $i 0
done
for i in 1 2 3; do start_at $i; done
for i in 1 2 3; do members $i 3 || bad "node $i has no ring of 3"; done

probe 1 keep long 600
probe 1 keep short 2
for i in 1 2 3; do set_clock $i 7200; done
sleep 1
check "all clocks 2 h ahead: what is kept for 600 s is there" \
    probe 2 there long
for i in 1 2 3; do set_clock $i -3600; done
sleep 1.2
check "all clocks 1 h behind: what was kept for 2 s is gone" gone 2 short
for i in 1 2 3; do set_clock $i 0; done
check "what is kept for 600 s is still there" probe 3 there long

sleep 1.2
probe 1 expire some later 1800
probe 1 expire some soon 2
set_clock 1 7200 # the node that sends the ticks
check "a clock that is set 2 h ahead is named by others" \
    logged 3 'the clock of node 1 is 7[0-9]*\.[0-9] s ahead'
check "and by its own node" logged 1 'the clock of node 1 \(this one\)'
sleep 2
check "and expires no section" probe 2 there some later
check "nor keeps one" gone 2 some soon
set_clock 1 0
check "when it is right again that is said" \
    logged 2 'the clock of node 1 agrees'

set_clock 4 -36000
start_at 4
all_members 4
check "a node that comes 10 h late is named" \
    logged 2 'the clock of node 4 is 36[0-9]*\.[0-9] s behind'
probe 4 keep joined 1
sleep 1.2
check "its checkpoints are kept as long as others" gone 4 joined
check "and it has what the others have" probe 4 there some later
stop 1
stop 2
members 3 2 || bad "no ring of 2"
check "also when the others have gone" probe 4 there long
finish
