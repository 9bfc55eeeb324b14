#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The memory that clients of CKPT share with their daemon: nothing of it comes
# into being because a client locks its memory, looks through all of it or dumps
# core; what was freed is given back; and a memory_max that is more than there is
# gives a warning.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"

# What the arena of node 1 takes, MiB.
arena_mib() {
    local fd
    for fd in /proc/"${daemon[1]}"/fd/*; do
        case $(readlink "$fd") in
        *memfd:openais-checkpoints*)
            echo $(($(stat -L -c %b "$fd") / 2048))
            return
            ;;
        esac
    done
    echo 1000000
}

# takes TEXT MOST: no more than so many MiB, soon.
takes() {
    local steps=100 mib
    while mib=$(arena_mib) && [ "$mib" -gt "$2" ] && [ $((steps -= 1)) -gt 0 ]; do
        sleep 0.1
    done
    check "$1: $mib MiB, at most $2" [ "$mib" -le "$2" ]
}

probe() { client 1 "$B/ckptprobe" "$@" >/dev/null 2>>"$S/probe.log"; }
bench() { client 1 "$B/ckptbenchth" --json "$@" >"$S/bench.log" 2>&1; }

# Cores land in the folder where the program ran, if the kernel says so.
core_pattern=$(cat /proc/sys/kernel/core_pattern)
# core_mib FOLDER: what the one in there takes; nothing: there is none.
core_mib() {
    local file
    file=$(find "$1" -type f | head -n 1)
    [ -n "$file" ] && echo $(($(stat -c %b "$file") / 2048))
}

cluster 1
takes "a daemon at rest" 2
probe lock
check "a client may lock its memory" [ $? = 0 ]
takes "a client with locked memory" 2
probe look
check "a client may read all its memory" [ $? = 0 ]
takes "a client that has read all its memory" 2

# Something to be shared, which a client has read.
bench --name big --fill 300000000 --sections 300
check "300 MB are filled in" [ $? = 0 ]
full=$(arena_mib)
check "they take $full MiB" [ "$full" -ge 280 ]
OPENAIS_RUNDIR=$S/run1 spawn 1 "$S/reader.log" "$B/ckptbenchth" --json --read \
    --name big --threads 1 --size 64 --seconds 30 --every 0.1
reader=$pid
sleep 0.5
bench --name big --hash big
check "and are read" [ $? = 0 ]
bench --remove big
kill "$reader"
ended "$reader" 10
takes "what was removed is given back" 24
bench --name big --fill 200000000 --sections 200
check "and used again" [ $? = 0 ]
full=$(arena_mib)
check "200 MB take $full MiB" [ "$full" -le 240 ]

# --- cores --------------------------------------------------------------------

ulimit -c unlimited 2>/dev/null
mkdir "$S/core" "$S/daemoncore"
if [ "${core_pattern#[|/]}" != "$core_pattern" ]; then
    skip "cores do not come into the folder: $core_pattern"
else
    before=$(arena_mib)
    (cd "$S/core" && probe crash)
    size=$(core_mib "$S/core")
    if [ -z "$size" ]; then
        skip "no core of a client: $(ulimit -c) blocks are allowed"
    else
        check "the core of a client has $size MiB" [ "$size" -le 16 ]
        takes "a client that dumped core" $((before + 2))
    fi
    stop 1
    (cd "$S/daemoncore" && exec_at 1 "$B/aisexec" -f -c "$S/node1.conf" \
        -r "$S/run1" >>"$S/daemon1.log" 2>&1) &
    members 1 1 || bad "the daemon does not start again"
    daemon[1]=$(pgrep -f "^$B/aisexec -f -c $S/node1.conf" | head -n 1)
    bench --name big --fill 200000000 --sections 200
    kill -ABRT "${daemon[1]}"
    wait
    size=$(core_mib "$S/daemoncore")
    if [ -z "$size" ]; then
        skip "the daemon leaves no core"
    else
        check "the core of a daemon with 200 MB has $size MiB" \
            [ "$size" -le 60 ]
    fi
fi

# --- more than there is -------------------------------------------------------

configure 1 ckpt.memory_max=1048576
start 1
check "a memory_max of 1 TiB gives a warning" \
    logged 1 'checkpoints may come to take 2306[0-9]* MiB .* memory_max } of 1048576'
members 1 1 || bad "and the daemon does not start"
finish
