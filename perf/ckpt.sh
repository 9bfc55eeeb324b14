#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# `make ckptperf`: checkpoints of real daemons, nodes in network namespaces of
# this machine; medians of RUNS runs of SECONDS_EACH, as tables and in
# $B/ckpt.json. ONLY=sync,shaped,reads,exchange chooses. Status 1: a limit was
# missed. FILL and FILL_SECTIONS: how much a joiner has to get (1 GiB, 10,000).
#
#   sync      one thread's synchronous writes, beside openais 2005, beside one
#             ordered message at a time of the same size, and beside corosync's
#   shaped    two nodes over links of 100 Mbit/s, beside what they can carry
#   reads     of 64 B, on a node that is at rest, and while writes flood it
#   exchange  a node joins that has all to get, while others write
LIMIT=${LIMIT:-3000}
. "$(dirname "$0")/../test/lib.sh"
. "$(dirname "$0")/corosync.sh"
cluster_enter "$@"
RUNS=${RUNS:-3} SECONDS_EACH=${SECONDS_EACH:-2}
FILL=${FILL:-1073741824} FILL_SECTIONS=${FILL_SECTIONS:-10000}
sizes="100 1001 10001 49001"
json=$B/ckpt.json
: >"$json"

wanted() { [[ ",${ONLY:-sync,shaped,reads,exchange}," = *,$1,* ]]; }

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# fields FILE NAME: its values, one a line.
fields() { sed -n "s/.*\"$2\": \([0-9.]*\).*/\1/p" "$1"; }
field() { fields "$1" "$2" | tail -n 1; }

calc() { awk "BEGIN { printf(\"$1\", $2) }"; }

# limit TEXT VALUE at-least|at-most BOUND
limit() {
    local sign='>='
    [ "$3" = at-most ] && sign='<='
    if awk "BEGIN { exit !($2 $sign $4) }"; then
        ok "$1: $2, $3 $4"
    else
        bad "$1: $2, not $3 $4"
        missed=$((missed + 1))
    fi
}
missed=0

# On which processors programs run from here on; empty: on all.
processors=
on() { echo ${processors:+taskset -c "$processors"}; }

# run_bench NODE FILE PROGRAM OPTION...: appends to FILE.
run_bench() {
    local node=$1 file=$2 program=$3
    shift 3
    # shellcheck disable=SC2046
    if ! client "$node" $(on) "$B/$program" --json "$@" >>"$file" \
        2>"$S/bench.log"; then
        bad "$program $*: $(tail -n 2 "$S/bench.log")"
        return 1
    fi
}

# background NODE PROGRAM OPTION...: until background_end; its lines, each with
# the time it came, in $S/back.K.
back=()
background() {
    local node=$1 program=$2
    shift 2
    # shellcheck disable=SC2046
    OPENAIS_RUNDIR=$S/run$node spawn "$node" "$S/back.${#back[@]}" \
        $(on) "$B/$program" --json "$@"
    back+=("$pid")
}

background_end() {
    local i
    for i in "${!back[@]}"; do kill -TERM "${back[$i]}" 2>/dev/null; done
    for i in "${!back[@]}"; do
        if ! ended "${back[$i]}" 60 || [ "$status" != 0 ]; then
            bad "in the background: $(tail -n 2 "$S/back.$i")"
        fi
    done
    back=()
}

# nodes_up K: daemons of nodes 1 .. K run, in one ring.
nodes_up() {
    local i
    for i in 1 2 3; do
        if [ "$i" -le "$1" ] && [ -z "${up[$i]:-}" ]; then
            start "$i"
            up[$i]=yes
        elif [ "$i" -gt "$1" ] && [ -n "${up[$i]:-}" ]; then
            stop "$i"
            unset "up[$i]"
        fi
    done
    for i in $(seq "$1"); do
        members "$i" "$1" || { bad "node $i has no ring of $1"; finish; }
    done
    sleep 0.5
}
declare -A up

# --- synchronous writes -------------------------------------------------------

# openais 2005 on such a machine, writes a second by nodes and bytes.
declare -A seed=(
    [1,100]=7400 [1,1001]=5900 [1,10001]=3000 [1,49001]=780
    [2,100]=6600 [2,1001]=5900 [2,10001]=2500 [2,49001]=650
    [3,100]=4500 [3,1001]=3900 [3,10001]=2000 [3,49001]=500)

# How fast this machine is today. Where openais 2005 made its writes, one ordered
# message of 200 B at a time took corosync (over udp, plain, as its descendant)
# these us until its sender had it back; the most of what was seen there.
declare -A corosync_then=([1]=49 [2]=98 [3]=164)

# yardstick: into $slower, by nodes, how many times as long it takes here, now.
declare -A slower=([1]=1 [2]=1 [3]=1) corosync_now=([1]=0 [2]=0 [3]=0)
yardstick() {
    local n run i pids pid status
    corosync_build || return
    for n in 1 2 3; do
        corosync_start $n udp yes || return
        for run in $(seq "$RUNS"); do
            pids=
            for i in $(seq $n); do
                in_mount "$i" "$B/cpgbench" --json --members $n --latency \
                    --size 200 --seconds 1 $([ "$i" = 1 ] || echo --listen) \
                    >>"$S/yard.$n.$i" 2>&1 </dev/null &
                pids="$pids $!"
            done
            for pid in $pids; do
                ended "$pid" 20 && [ "$status" = 0 ] && continue
                kill -KILL "$pid" 2>/dev/null
                skip "corosync with $n nodes: $(tail -n 1 "$S/yard.$n.1")"
                corosync_stop
                return
            done
        done
        corosync_stop
        corosync_now[$n]=$(fields "$S/yard.$n.1" p50_us | median)
        slower[$n]=$(calc %.2f "${corosync_now[$n]} / ${corosync_then[$n]}")
    done
    cat <<END

corosync (udp, neither encrypted nor authenticated), one message of 200 B at a
time, p50 with 1, 2, 3 nodes: ${corosync_now[1]}, ${corosync_now[2]}, ${corosync_now[3]} us here and now; ${corosync_then[1]}, ${corosync_then[2]}, ${corosync_then[3]} where
openais 2005 was measured. So this machine takes ${slower[1]}, ${slower[2]}, ${slower[3]} times as long.
END
}

sync_row() { # NODES SIZE
    local n=$1 size=$2 dir=$S/sync.$1.$2 rate p50 p99 ping plain
    rate=$(fields "$dir.write" writes_per_s | median)
    p50=$(fields "$dir.write" write_p50_us | median)
    p99=$(fields "$dir.write" write_p99_us | median)
    ping=$(fields "$dir.ping" own_per_s | median)
    plain=$(calc %.1f "$rate / ${seed[$n,$size]}")
    ratio=$(calc %.1f "$rate * ${slower[$n]} / ${seed[$n,$size]}")
    printf '%5d %7d %7.0f/s %6.1f MB/s %5.0f %5.0f  %5d/s %5sx %5sx %7.0f/s %4.0f %%\n' \
        "$n" "$size" "$rate" "$(calc %f "$rate * $size / 1e6")" "$p50" "$p99" \
        "${seed[$n,$size]}" "$plain" "$ratio" "$ping" \
        "$(calc %f "100 * $rate / $ping")"
    echo "{\"case\": \"sync\", \"nodes\": $n, \"size\": $size," \
        "\"writes_per_s\": $rate, \"p50_us\": $p50, \"p99_us\": $p99," \
        "\"openais_2005_per_s\": ${seed[$n,$size]}, \"ping_per_s\": $ping," \
        "\"corosync_p50_us\": ${corosync_now[$n]}," \
        "\"slower\": ${slower[$n]}}" >>"$json"
}

measure_sync() {
    local n size run
    yardstick
    cat <<'END'

One thread, synchronous writes to all replicas; openais of 2005, as measured and
as it would be on a machine as slow as this one; and one ordered message at a
time (evsbench), in the same run.
nodes   bytes    writes             p50,p99 us     openais 2005       one at a time
END
    for n in 1 2 3; do
        nodes_up $n
        for run in $(seq "$RUNS"); do
            for size in $sizes; do
                run_bench 1 "$S/sync.$n.$size.write" ckptbench --size "$size" \
                    --seconds "$SECONDS_EACH" || return
                run_bench 1 "$S/sync.$n.$size.ping" evsbench --size "$size" \
                    --seconds "$(calc %f "$SECONDS_EACH / 2")" --latency ||
                    return
            done
        done
        for size in $sizes; do
            sync_row $n "$size"
            [ $n = 3 ] && ratios[$size]=$ratio
        done
    done
    limit "3 nodes, 100 B, times openais 2005 here" "${ratios[100]}" at-least 2
    limit "3 nodes, 49,001 B, times openais 2005 here" "${ratios[49001]}" \
        at-least 8
}
declare -A ratios

# --- links of 100 Mbit/s ------------------------------------------------------

# Both directions of both links, as a switch of that speed has.
shape() {
    local i
    for i in 1 2; do
        at $i tc qdisc add dev eth0 root tbf rate 100mbit burst 16kb \
            limit 4mb &&
            at 0 tc qdisc add dev "p$i" root tbf rate 100mbit burst 16kb \
                limit 4mb || return
    done
}

unshape() {
    local i
    for i in 1 2; do
        at $i tc qdisc del dev eth0 root
        at 0 tc qdisc del dev "p$i" root
    done
}

# shaped_run NAME SIZE PROGRAM OPTION...: MB/s of one run, from the end of its
# first second on: what waits in front of the links at the end, and counts, has
# waited there at the beginning too.
shaped_run() {
    local name=$1 size=$2 program=$3
    shift 3
    rm -f "$S/lines"
    run_bench 1 "$S/lines" "$program" --size "$size" --every 0.1 \
        --seconds "$(calc %f "$SECONDS_EACH + 1")" "$@" || return
    awk -v size="$size" '
        match($0, /"interval_s": [0-9.]+/) {
            s = substr($0, RSTART + 14, RLENGTH - 14) + 0
            match($0, /"writes_per_s": [0-9.]+/)
            past += s
            if (past > 1) {
                all += s
                n += s * substr($0, RSTART + 16, RLENGTH - 16)
            }
        }
        END { printf("%.3f\n", all > 0 ? n * size / all / 1e6 : 0) }' \
        "$S/lines" >>"$S/shaped.$name"
}

dropped() {
    { at 1 tc -s qdisc show dev eth0; at 2 tc -s qdisc show dev eth0
      at 0 tc -s qdisc show; } |
        sed -n 's/.*dropped \([0-9]*\),.*/\1/p' |
        awk '{ n += $1 } END { print n }'
}

measure_shaped() {
    local run threaded single udp sealed most
    nodes_up 2
    if ! shape; then
        skip "no tbf here: links of 100 Mbit/s are not measured"
        return
    fi
    for run in $(seq "$RUNS"); do
        shaped_run threaded 65536 ckptbenchth --threads 4 || break
        shaped_run single 49001 ckptbench || break
    done
    threaded=$(median <"$S/shaped.threaded")
    single=$(median <"$S/shaped.single")
    # Of 1,514 bytes that tbf counts, 1,472 are UDP's payload, and of these 40
    # the seal's.
    udp=$(calc %.3f '12.5 * 1472 / 1514')
    sealed=$(calc %.3f '12.5 * 1432 / 1514')
    most=$(calc %.3f '12.5 * 1388 / 1514')
    echo
    cat <<END
Two nodes over links of 100 Mbit/s (tbf), encryption on. tbf counts 1,514 bytes
for a packet of the MTU (1,500) with its Ethernet header. 20 bytes are IP's, 8
UDP's: UDP payload is at most 12.5 MB/s x 1472 / 1514 = $udp MB/s.
Of that, seals take 40 bytes a packet (left: $sealed MB/s); Totem's head, what
it leaves free for recovery, and the item's head, 24 + 16 + 4 ($most MB/s).
                          MB/s   of $udp   of $sealed   of $most   of 11.7
END
    shaped_row "4 threads, 64 KiB" "$threaded"
    shaped_row "1 thread, 49,001 B" "$single"
    echo "packets that the links dropped: $(dropped)"
    unshape
    limit "4 threads, 64 KiB, of the 11.7 MB/s that sealed packets carry, %" \
        "$(calc %.1f "100 * $threaded / 11.7")" at-least 97
    limit "1 thread, 49,001 B, MB/s" "$single" at-least 11.3
    echo "{\"case\": \"shaped\", \"udp_mb_per_s\": $udp," \
        "\"threads_65536_mb_per_s\": $threaded," \
        "\"single_49001_mb_per_s\": $single}" >>"$json"
}

shaped_row() { # TEXT MB_PER_S
    local limit
    printf '%-20s %9.2f' "$1" "$2"
    for limit in "$udp" "$sealed" "$most" 11.7; do
        printf '  %6.1f %%' "$(calc %f "100 * $2 / $limit")"
    done
    echo
}

# --- local reads --------------------------------------------------------------

# reads_case NAME OPTION...: into $reads, the median, reads a second; into
# $cpu, the processor time that a reader takes for one, us.
reads_case() {
    local name=$1 run file=$S/reads.$1
    shift
    rm -f "$file"
    for run in $(seq "$RUNS"); do
        run_bench 1 "$file" ckptbenchth --seconds "$SECONDS_EACH" \
            --read-size 64 "$@" || return
    done
    reads=$(fields "$file" reads_per_s | median)
    cpu=$(fields "$file" read_cpu_us | median)
}

flood_begin() { # THREADS
    local i
    for i in 2 3; do
        background $i ckptbenchth --threads "$1" --size 1001 --seconds 0 \
            --every 0.5
    done
    sleep 0.5
}

flood_end() {
    background_end
    rm -f "$S"/back.?
}

dearer() { dearest=$(calc %.3f "$cpu / $rest > $dearest ? $cpu / $rest : $dearest"); }

measure_reads() {
    local threads n alone best=0 flood reads own cpu rest dearest=0
    cat <<'END'

Reads of 64 B a second, on node 1, by all threads together: at rest; while as
many threads of the same program write 1,001 B; while 4 threads of each other
node do, without pause. In brackets the processor time of a read, us: what a
flood takes is mostly the processors, which all share here.
nodes  threads       at rest             own writes           others' writes
END
    for n in 1 3; do
        nodes_up $n
        for threads in 1 2 4; do
            reads_case alone --read --threads $threads --size 64 || return
            alone=$reads rest=$cpu
            printf '%5d %8d %12.0f (%.2f)' $n $threads "$reads" "$cpu"
            reads_case own --mixed --threads $threads --size 1001 || return
            printf ' %12.0f (%.2f)' "$reads" "$cpu"
            dearer
            own=$reads flood=null
            if [ $n = 3 ]; then
                flood_begin 4
                reads_case flood --read --threads $threads --size 64 || return
                flood=$reads
                flood_end
                printf ' %12.0f (%.2f)' "$flood" "$cpu"
                dearer
            fi
            echo
            best=$(calc %.0f "$best > $alone ? $best : $alone")
            echo "{\"case\": \"reads\", \"nodes\": $n, \"threads\": $threads," \
                "\"alone_per_s\": $alone, \"own_writes_per_s\": $own," \
                "\"flood_per_s\": $flood}" >>"$json"
        done
    done
    limit "reads of 64 B a second, the best" "$best" at-least 1000000
    limit "processor time of a read then, times that at rest, the worst" \
        "$dearest" at-most 2
    measure_reads_apart
}

# What the flood itself does to reads, without what it takes of processors: the
# daemons and the writers have one, the reader another.
measure_reads_apart() {
    local i reads cpu alone flood writes
    if [ "$(nproc)" -lt 2 ] || ! command -v taskset >/dev/null; then
        skip "reads on a processor of their own: there is one, or no taskset"
        return
    fi
    for i in 1 2 3; do taskset -apc 0 "${daemon[$i]}" >/dev/null; done
    processors=1
    reads_case alone --read --threads 1 --size 64 || return
    alone=$reads
    processors=0
    flood_begin 4
    processors=1
    reads_case flood --read --threads 1 --size 64 || return
    flood=$reads
    writes=$(cat "$S"/back.? | awk '
        match($0, /"writes_per_s": [0-9.]+/) {
            n++
            all += substr($0, RSTART + 16, RLENGTH - 16)
        }
        END { printf("%.0f", n > 0 ? 2 * all / n : 0) }')
    flood_end
    processors=
    for i in 1 2 3; do
        taskset -apc "0-$(($(nproc) - 1))" "${daemon[$i]}" >/dev/null
    done
    printf '%s%.0f; while the others write %d a second: %.0f\n' \
        "the reader has a processor of its own; at rest: " "$alone" "$writes" \
        "$flood"
    echo "{\"case\": \"reads apart\", \"alone_per_s\": $alone," \
        "\"flood_per_s\": $flood, \"writes_per_s\": $writes}" >>"$json"
    limit "reads while writes flood the ring, of those at rest" \
        "$(calc %.3f "$flood / $alone")" at-least 0.5
}

# --- state exchange -----------------------------------------------------------

# during FILE KEY FROM TO: the mean of KEY between two times. Each line is of so
# long a time ("interval_s", or "seconds") before it came.
during() {
    awk -v key="$2" -v from="$3" -v to="$4" '
        function value(name,   at) {
            at = index($0, "\"" name "\": ")
            return at == 0 ? 0 : substr($0, at + length(name) + 4) + 0
        }
        /"time": / {
            end = value("time")
            begin = end - value("interval_s") - value("seconds")
            a = begin > from + 0 ? begin : from + 0
            b = end < to + 0 ? end : to + 0
            if (b > a) { sum += (b - a) * value(key); all += b - a }
        }
        END { printf("%.1f\n", all > 0 ? sum / all : 0) }' "$1"
}

# Ordered multicast from node 1, 30 s at most; $S/timed has its lines with the
# times when they came.
flood_evs() {
    local list=1400 i
    for i in $(seq 59); do list=$list,1400; done
    rm -f "$S/fifo"
    mkfifo "$S/fifo"
    while read -r line; do
        echo "{\"time\": $EPOCHREALTIME, ${line#\{}"
    done <"$S/fifo" >"$S/timed" &
    OPENAIS_RUNDIR=$S/run1 spawn 1 "$S/fifo" "$B/evsbench" --json \
        --size $list --seconds 0.5 --window 1000
    flood=$pid
}

# Node 3 joins; when: in $times. The writer in the background writes already.
joins() {
    local begin ring all steps=$((60 * 50))
    until grep -qs '"time"' "$S/back.0"; do
        [ $((steps -= 1)) -gt 0 ] || { bad "nobody writes"; return 1; }
        sleep 0.02
    done
    sleep 3
    begin=$EPOCHREALTIME
    start 3
    up[3]=yes
    members 3 3 60 || { bad "node 3 does not join"; return 1; }
    ring=$EPOCHREALTIME
    if ! client 3 "$B/ckptbenchth" --status fill --wait 300 \
        >"$S/status.log" 2>&1; then
        bad "node 3 does not get the state: $(cat "$S/status.log")"
        return 1
    fi
    all=$EPOCHREALTIME
    times="$begin $ring $all"
}

hashes() {
    local i first= hash
    for i in 1 2 3; do
        hash=$(client $i "$B/ckptbenchth" --hash fill --wait 10 2>&1 |
            sed 's/, "waited.*//')
        first=${first:-$hash}
        if [ "$hash" != "$first" ]; then
            bad "node $i: $hash, not $first"
            return
        fi
    done
    ok "all nodes have the same: $first"
}

exchange_case() { # NAME KEY LOG TEXT
    local name=$1 key=$2 log=$3 begin ring all before now after longest
    local share writes
    joins || return
    sleep 2.5
    if [ -n "${flood:-}" ]; then
        kill -KILL "$flood"
        ended "$flood" 5
        flood=
    fi
    background_end
    read -r begin ring all <<<"$times"
    before=$(during "$log" "$key" "$(calc %f "$begin - 2.5")" \
        "$(calc %f "$begin - 0.3")")
    now=$(during "$log" "$key" "$ring" "$all")
    after=$(during "$log" "$key" "$(calc %f "$all + 0.5")" \
        "$(calc %f "$all + 2.5")")
    longest=$(cat "$S"/back.? | sed -n 's/.*"write_max_us": \([0-9]*\).*/\1/p' |
        sort -n | tail -n 1)
    writes=$(field "$S/back.0" writes)
    if [ "${writes:-0}" = 0 ] || [ "${longest:-0}" = 0 ]; then
        bad "$name: nobody has written"
        return
    fi
    share=$(calc %.2f "$now / ($after > 0 ? $after : 1)")
    printf '%s: all after %.2f s (in the ring after %.2f s), %.0f MB/s;\n' \
        "$name" "$(calc %f "$all - $begin")" "$(calc %f "$ring - $begin")" \
        "$(calc %f "$FILL / ($all - $ring) / 1e6")"
    printf '    %s a second: before %.0f (2 nodes), during %.0f, after %.0f;\n' \
        "$4" "$before" "$now" "$after"
    printf '    %d writes, all there; the longest %d ms\n' "$writes" \
        "$((longest / 1000))"
    limit "$name: longest write, ms" $((longest / 1000)) at-most 1000
    limit "$name: throughput during the transfer, of that after it" "$share" \
        at-least 0.5
    hashes
    echo "{\"case\": \"exchange\", \"flood\": \"$name\", \"bytes\": $FILL," \
        "\"sections\": $FILL_SECTIONS," \
        "\"all_s\": $(calc %.3f "$all - $begin")," \
        "\"before_per_s\": $before, \"during_per_s\": $now," \
        "\"after_per_s\": $after," \
        "\"longest_write_ms\": $((longest / 1000))}" >>"$json"
    rm -f "$S"/back.?
    stop 3
    unset "up[3]"
}

measure_exchange() {
    nodes_up 2
    echo
    echo "A third node joins; it has to get $FILL bytes in $FILL_SECTIONS"
    echo "sections, which are written to meanwhile."
    run_bench 1 "$S/fill" ckptbenchth --name fill --fill "$FILL" \
        --sections "$FILL_SECTIONS" || return
    background 2 ckptbenchth --name fill --threads 1 \
        --sections "$FILL_SECTIONS" --size 1000 --verify 8 --seconds 0 \
        --every 0.2
    flood_evs
    exchange_case multicast own_per_s "$S/timed" \
        "messages of 1,400 B"
    background 2 ckptbenchth --name fill --threads 8 \
        --sections $((FILL_SECTIONS / 8)) --size 1000 --verify 8 --seconds 0 \
        --every 0.2
    exchange_case writes writes_per_s "$S/back.0" "writes of 1,000 B"
    client 1 "$B/ckptbenchth" --remove fill
}

# ------------------------------------------------------------------------------

echo "Nodes on $(nproc) processors, $(uname -r); medians of $RUNS runs of" \
    "$SECONDS_EACH s."
network 3
for i in 1 2 3; do configure $i; done
for part in sync shaped reads exchange; do
    if wanted $part; then measure_$part; fi
done
for i in "${!up[@]}"; do stop "$i"; done
# The logs explain what went wrong, not what is slow.
[ $failed = $missed ] && rm -f "$S"/*.log
echo "JSON: $json"
finish
