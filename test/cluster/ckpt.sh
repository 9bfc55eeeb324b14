#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Checkpoints are the same on all nodes: after writes, the death of a node under
# load, a partition, a late joiner. And the quickstart's programs do what it
# says. ckptbenchth reads all that it writes back, as it writes.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"

bench() { # NODE OPTION...
    local node=$1
    shift
    client "$node" "$B/ckptbenchth" --json "$@" 2>&1
}

# writer NODE OPTION...: in the background until writers_end.
declare -A writer
phase=1
writer_log() { echo "$S/writer$1.phase$phase.log"; }
writer() {
    local node=$1
    shift
    OPENAIS_RUNDIR=$S/run$node spawn "$node" "$(writer_log "$node")" \
        "$B/ckptbenchth" --json --seconds 0 --verify 8 --size 700 --every 0.1 \
        "$@"
    writer[$node]=$pid
}

# Until all of them have begun.
writers_write() {
    local i steps
    for i in "${!writer[@]}"; do
        steps=$((20 * 50))
        until grep -qs '"time"' "$(writer_log "$i")"; do
            [ $((steps -= 1)) -gt 0 ] || { bad "node $i writes not"; return; }
            sleep 0.02
        done
    done
}

# Each must have written something, and found all of it. TEXT: of the checks.
# $longest: that of all writes, us; with the time that they were refused.
writers_end() {
    local i count
    for i in "${!writer[@]}"; do kill -TERM "${writer[$i]}"; done
    for i in "${!writer[@]}"; do
        ended "${writer[$i]}" 20 || status="none yet"
        count=$(tail -n 1 "$(writer_log "$i")" |
            sed -n 's/.*"writes": \([0-9]*\).*/\1/p')
        if [ "$status" = 0 ] && [ "${count:-0}" -gt 0 ]; then
            ok "node $i's writer, $1: all $count writes are there"
        else
            bad "node $i's writer, $1: $(tail -n 2 "$(writer_log "$i")")"
        fi
    done
    longest=$(cat "$S"/writer?.phase$phase.log |
        sed -n 's/.*"write_max_us": \([0-9]*\).*/\1/p' | sort -n | tail -n 1)
    writer=()
    phase=$((phase + 1))
}

# hash NODE NAME: in $hash, with the numbers of sections and bytes.
hash() {
    hash=$(bench "$1" --hash "$2" --wait 10 |
        sed -n 's/{\("hash".*\), "waited.*/\1/p')
    [ -n "$hash" ] || hash="node $1 has none"
}

# same NAME TEXT [HASH]: all nodes have the same in it; that of HASH, if given.
same() {
    local i first=${3:-}
    for i in 1 2 3; do
        hash "$i" "$1"
        first=${first:-$hash}
        if [ "$hash" != "$first" ]; then
            bad "$2: node $i: $hash, not $first"
            return
        fi
    done
    ok "$2: $hash"
}

# exists NODE NAME; gone NODE NAME: soon.
exists() { bench "$1" --status "$2" --wait 5 >/dev/null; }
gone() {
    local steps=100
    while bench "$1" --status "$2" >"$S/status.log"; do
        [ $((steps -= 1)) -gt 0 ] || return 1
        sleep 0.02
    done
    grep -q SA_AIS_ERR_NOT_EXIST "$S/status.log"
}

# --- the quickstart -----------------------------------------------------------

OPENAIS_RUNDIR=$S/none "$B/testckpt" >"$S/none.log" 2>&1
check "testckpt without a daemon fails" [ $? = 1 ]
check "and says what to do" grep -q 'is aisexec running' "$S/none.log"
cluster 3
# A ring of one with nothing to do but the tour: a daemon that sleeps must wake
# when something expires.
NETWORK=127.0.0.1 configure 4 totem.transport=unicast \
    totem.nodes='{127.0.0.1}' totem.mcastport=5500
spawn 0 "$S/daemon4.log" "$B/aisexec" -f -c "$S/node4.conf" -r "$S/run4"
daemon[4]=$pid
logged 4 'regular configuration' || bad "no ring of one"
OPENAIS_RUNDIR=$S/run4 spawn 0 "$S/idle.log" "$B/testckpt"
idle=$pid
OPENAIS_RUNDIR=$S/run2 spawn 2 "$S/testckpt.log" "$B/testckpt"
testckpt=$pid
for program in ckptbench ckptbenchth; do
    client 1 "$B/$program" --seconds 0.02 --size 1,100,1001,49001 \
        >"$S/$program.log" 2>&1
    check "$program has a line for each size" \
        [ "$? $(grep -c 'writes/s .* MB/s' "$S/$program.log")" = "0 4" ]
done
bench 3 --mixed --threads 2 --seconds 0.3 --size 20000 >"$S/mixed.log"
check "readers see whole writes only" [ $? = 0 ]

# --- the same everywhere ------------------------------------------------------

bench 1 --name one --threads 2 --sections 5 --verify 4 --size 1000 \
    --writes 100 >"$S/one.log" || bad "node 1 cannot write: $(cat "$S/one.log")"
same one "what node 1 wrote is on all nodes"

writer 1 --name mortal --retention 0
check "a checkpoint that a program has open is there" exists 2 mortal
kill -KILL "${writer[1]}"
ended "${writer[1]}" 5
writer=()
phase=$((phase + 1))
for i in 2 3; do
    check "node $i: it is gone when the program was killed" gone $i mortal
done
# toured PID LOG TEXT: testckpt has ended, and everything was as it expects.
toured() {
    check "testckpt ends, $3" ended "$1" 20
    check "all is as it expects" [ "$status" = 0 ]
    check "$(tail -n 1 "$2")" grep -qE '^[0-9]{3} passed, 0 failed' "$2"
}
toured $testckpt "$S/testckpt.log" "three nodes"
toured $idle "$S/idle.log" "alone, at rest"
stop 4

# --- a node is killed under load ----------------------------------------------

for i in 1 2; do writer $i --name kill --id "from $i"; done
writers_write
sleep 0.3
stop 3 KILL
sleep 0.6
start 3
members 3 3 || bad "node 3 does not come back"
sleep 0.3
writers_end "node 3 was killed"
same kill "the same after a kill and a restart"
same one "also what was there before"

# --- a partition --------------------------------------------------------------

split 3
members 1 2 || bad "no ring of 2"
members 3 1 || bad "no ring of 1"
# The smaller side writes more, and something that the larger has not got.
bench 1 --name part --id large --threads 1 --size 5000 --writes 20 >/dev/null
bench 1 --name one --threads 1 --size 1000 --writes 3 >/dev/null
bench 3 --name part --id small --threads 1 --size 5000 --writes 200 >/dev/null
bench 3 --name one --threads 2 --size 1000 --writes 100 >/dev/null
bench 3 --name small --threads 1 --size 10 --writes 10 >/dev/null
hash 3 one
small=$hash
hash 1 one
one=$hash
hash 1 part
part=$hash
check "the sides differ" [ "$one" != "$small" ]
heal
all_members 3
same one "healed: as on the larger side" "$one"
same part "the same of what both made" "$part"
check "what only the smaller side had is gone" gone 3 small

# --- a joiner -----------------------------------------------------------------

stop 3
bench 1 --name many --fill 20000000 --sections 2000 >"$S/fill.log" ||
    bad "filling: $(cat "$S/fill.log")"
for i in 1 2; do
    writer $i --name many --id "$([ $i = 1 ] && echo section || echo new)" \
        --sections 500
done
writers_write
start 3
since=$EPOCHREALTIME
exists 3 many || bad "node 3 did not get it"
took=$(awk -v a="$since" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
writers_end "a joiner came"
[ -n "$SAN" ] || check "the longest write took $((longest / 1000)) ms" \
    [ "${longest:-1000000}" -lt 1000000 ]
same many "a joiner has all after $took s"

# --- a reader of a daemon that is killed --------------------------------------

# What it reads stays in its memory; it must be told all the same.
OPENAIS_RUNDIR=$S/run3 spawn 3 "$S/reader.log" "$B/ckptbenchth" --json --read \
    --threads 1 --size 64 --seconds 60 --every 0.1
reader=$pid
until grep -qs '"time"' "$S/reader.log" || ! kill -0 "$reader"; do
    sleep 0.02
done
stop 3 KILL
check "a reader ends when its daemon is killed" ended "$reader" 10
check "and names the error" grep -q LIBRARY "$S/reader.log"
finish
