#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# `make perf`: three nodes on this machine; throughput and latency, medians of
# RUNS runs, as a table and in $B/perf.json, at real-time priority (RR, the
# default) and without. Beside them what plain UDP multicast does and, where it
# is installed, corosync, encrypted too, by the same benchmark.
LIMIT=${LIMIT:-1800}
. "$(dirname "$0")/../test/lib.sh"
. "$(dirname "$0")/corosync.sh"
cluster_enter "$@"
RUNS=${RUNS:-3} SECONDS_EACH=${SECONDS_EACH:-3}
export json=$B/perf.json
: >"$json"

# SYSTEMS="openais corosync" by default; one of them alone if it says so.
wanted() { [[ " ${SYSTEMS:-openais corosync} " = *" $1 "* ]]; }

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

field() { sed -n "s/.*\"$2\": \([0-9.]*\).*/\1/p" "$1" | tail -n 1; }

# The window, own messages under way, that suits a size.
window() {
    if [ "$1" -le 256 ]; then echo 2000
    elif [ "$1" -le 4096 ]; then echo 1000
    else echo 64; fi
}

# Runs the benchmark on all nodes at once; results in $S/out1 .. 3.
# bench SENDERS OPTION...: node 1 sends, the others too if SENDERS is `all`.
bench() {
    local senders=$1 i pids= listen pid status
    shift
    for i in 1 2 3; do
        listen=
        [ "$senders" = one ] && [ $i != 1 ] && listen=--listen
        rm -f "$S/out$i"
        # shellcheck disable=SC2086
        bench_spawn $i "$S/out$i" --json --members 3 $listen "$@"
        pids="$pids $pid"
    done
    for pid in $pids; do
        if ! ended "$pid" 200; then
            bad "a benchmark hangs"
            kill -KILL "$pid"
            return 1
        fi
        [ "$status" = 0 ] || { bad "a benchmark failed: $(cat "$S"/out?)"
            return 1; }
    done
}

# measure SYSTEM: all cases of one system, one line and one object each.
measure() {
    local system=$1 senders size run rate mb p50 p99
    for size in 200 1400 65536; do
        for senders in one all; do
            rm -f "$S"/rates "$S"/mbs
            for run in $(seq "$RUNS"); do
                bench $senders --size $size --seconds "$SECONDS_EACH" \
                    --window "$(window $size)" || return
                field "$S/out1" all_per_s >>"$S/rates"
                field "$S/out1" all_mb_per_s >>"$S/mbs"
            done
            rate=$(median <"$S/rates") mb=$(median <"$S/mbs")
            printf '%-16s %6d B  %-3s %12.0f msg/s %9.1f MB/s\n' \
                "$system" $size $senders "$rate" "$mb"
            echo "{\"system\": \"$system\", \"size\": $size, \"senders\":" \
                "\"$senders\", \"msg_per_s\": $rate, \"mb_per_s\": $mb}" \
                >>"$json"
        done
    done
    rm -f "$S"/p50 "$S"/p99
    for run in $(seq "$RUNS"); do
        bench one --size 200 --seconds 1 --latency || return
        field "$S/out1" p50_us >>"$S/p50"
        field "$S/out1" p99_us >>"$S/p99"
    done
    p50=$(median <"$S/p50") p99=$(median <"$S/p99")
    printf '%-16s %6d B  one at a time: p50 %.0f us, p99 %.0f us\n' \
        "$system" 200 "$p50" "$p99"
    echo "{\"system\": \"$system\", \"size\": 200, \"p50_us\": $p50," \
        "\"p99_us\": $p99}" >>"$json"
    ok "$system measured"
}

# --- openais ------------------------------------------------------------------

bench_spawn() {
    local node=$1 out=$2
    shift 2
    OPENAIS_RUNDIR=$S/run$node spawn "$node" "$out" "$B/evsbench" "$@"
}

echo "Three nodes on $(nproc) processors, $(uname -r); messages delivered at"
echo "every node, by one sender or by all three; medians of $RUNS runs."
network 3
if wanted openais; then
    for policy in rr other; do
        for i in 1 2 3; do
            configure $i runtime.policy=$policy
            start $i
        done
        all_members 3 || finish
        measure "openais$([ $policy = rr ] && echo ' RR' || echo ' no RR')"
        for i in 1 2 3; do stop $i; done
    done
fi

# --- plain UDP ------------------------------------------------------------------

udp_limit() { # HOW NAME
    local i pids=
    rm -f "$S"/udp?
    for i in 2 3; do
        spawn $i "$S/udp$i" "$B/udplimit" "10.77.0.$i" 2 receive
        pids="$pids $pid"
    done
    sleep 0.3
    at 1 "$B/udplimit" 10.77.0.1 1 "$1" >"$S/udp1" 2>&1
    for i in $pids; do ended "$i" 10; done
    printf '%-16s %6d B  one %12.0f pkt/s %8.1f MB/s, at node 2\n' "$2" 1472 \
        "$(field "$S/udp2" packets_per_s)" "$(field "$S/udp2" mb_per_s)"
    echo "{\"system\": \"$2\", \"size\": 1472, \"senders\": \"one\"," \
        "\"msg_per_s\": $(field "$S/udp2" packets_per_s)," \
        "\"mb_per_s\": $(field "$S/udp2" mb_per_s)}" >>"$json"
}

if ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -I"$top" -I"$top/api" \
    -o "$B/udplimit" "$top/perf/udplimit.c"; then
    udp_limit send "UDP sendmmsg"
    udp_limit segment "UDP segmented"
else
    bad "udplimit does not compile"
fi

# --- corosync -----------------------------------------------------------------

bench_corosync() {
    local rr=$1 system=$2
    corosync_start 3 knet "$rr" || return
    bench_spawn() {
        local node=$1 out=$2
        shift 2
        in_mount "$node" "$B/cpgbench" "$@" >>"$out" 2>&1 </dev/null &
        pid=$!
    }
    measure "$system"
    corosync_stop
}

if wanted corosync && corosync_build; then
    bench_corosync yes "corosync RR"
    bench_corosync no "corosync no RR"
fi

echo "JSON: $json"
finish
