#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Three daemons with almost nothing to do (each has a client that sends one
# message a second): what a daemon takes of a processor, at most 2 % (a build with
# sanitizers five times that, since they slow the daemon itself).
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3
for i in 1 2 3; do
    OPENAIS_RUNDIR=$S/run$i spawn $i /dev/null \
        "$B/evscheck" --rate 1 --seconds 30
    waiting[i]=$pid
done
sleep 1

ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

limit=$((${SAN:+5 *} 20))
hertz=$(getconf CLK_TCK)
for i in 1 2 3; do before[i]=$(ticks "${daemon[$i]}"); done
sleep 10
for i in 1 2 3; do
    # Ticks in ten seconds, of 10 * hertz: in thousandths of a processor.
    used=$((($(ticks "${daemon[$i]}") - before[i]) * 100 / hertz))
    check "node $i takes $used of 1000 parts of a processor, at most $limit" \
        [ "$used" -le "$limit" ]
done
kill "${waiting[@]}"
all_members 3
finish
