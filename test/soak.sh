#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Real daemons under full load and a random sequence of faults, for MINUTES
# minutes; not part of `make check`.
#
#   MINUTES=5 NODES=3 SEED=n test/soak.sh
#
# A round: a checking client on each node that sends as fast as it can; a few
# random faults, some on top of each other (a daemon killed, asked to end,
# started, stopped by SIGSTOP, continued; the network split and healed; a
# node's interface, or the far end of its cable, down and up); then everything
# is repaired, all clients must be told of one ring of all nodes that lasts, the
# clients end, and their traces are compared and thrown away. The seed fixes
# the faults and the pauses between them, not what the processors do meanwhile.
#
# Memory and descriptors are read at the end of each round, when no client is
# connected. One node, drawn by the seed, suffers everything but its daemon's
# end, so that one process lives through the run. A process with at least
# SAMPLES_MIN rounds is judged: the first third of them is warm-up; what it has
# later may exceed the most it had then by a tenth or 1 MiB, whichever is more,
# and in descriptors by none.
MINUTES=${MINUTES:-5}
NODES=${NODES:-3}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
LIMIT=$((MINUTES * 60 + 300))
export MINUTES NODES SEED LIMIT
. "$(dirname "$0")/lib.sh"
cluster_enter "$@"

SAMPLES_MIN=15
HEAL_MS=30000   # for one ring after the repair
STEADY_MS=1500  # so long it must last
FAILURES_MAX=3  # rounds
report=$B/log/soak.log
evidence=$B/log/soak.seed$SEED
mkdir -p "$B/log"
: >"$report"

note() { echo "$*" | tee -a "$report"; }
# What holds is counted silently; the line of the round tells.
ok() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    note "FAILED  $*"
}

# --- chance -------------------------------------------------------------------

RANDOM=$SEED
# pick N: a number below N in $picked. Not in a subshell: the sequence would
# not go on.
pick() { picked=$((RANDOM % $1)); }

now_ms() { ms=$((${EPOCHREALTIME/./} / 1000)); }

pause() {
    pick "$1"
    sleep "$((picked / 1000)).$(printf %03d $((picked % 1000)))"
}

# --- faults -------------------------------------------------------------------

# process: up, stopped or ended. near, far: an end of the cable, up or down.
declare -A process near far
apart=no

launch() {
    start "$1"
    process[$1]=up
    born_ticks[$1]=0
}

do_kill() { stop "$1" KILL; process[$1]=ended; }
do_leave() { stop "$1" TERM; process[$1]=ended; }
do_start() { launch "$1"; }
do_stop() { kill -STOP "${daemon[$1]}"; process[$1]=stopped; }
do_cont() { kill -CONT "${daemon[$1]}"; process[$1]=up; }
do_near() { at "$1" ip link set eth0 "$2"; near[$1]=$2; }
do_far() { at 0 ip link set "p$1" "$2"; far[$1]=$2; }

other() { if [ "$1" = up ]; then flipped=down; else flipped=up; fi; }

# A random part of the nodes, neither none nor all, to the other side.
do_split() {
    local i part=()
    pick $(((1 << nodes) - 2))
    for i in $(seq "$nodes"); do
        [ $((picked + 1 >> i - 1 & 1)) = 1 ] && part+=("$i")
    done
    split "${part[@]}"
    apart=yes
    did="split ${part[*]}"
}

do_heal() { heal; apart=no; did=heal; }

# What can happen to node $1's process next, in $did.
process_step() {
    local i=$1
    pick 3
    case ${process[$i]} in
    ended) did="start $i"; do_start "$i" ;;
    stopped)
        if [ "$picked" = 0 ] && [ "$i" != "$survivor" ]; then
            did="kill $i"; do_kill "$i"
        else
            did="cont $i"; do_cont "$i"
        fi ;;
    up)
        if [ "$picked" = 0 ] || [ "$i" = "$survivor" ]; then
            did="stop $i"; do_stop "$i"
        elif [ "$picked" = 1 ]; then
            did="kill $i"; do_kill "$i"
        else
            did="leave $i"; do_leave "$i"
        fi ;;
    esac
}

step() {
    local i
    pick "$nodes"
    i=$((picked + 1))
    pick 8
    case $picked in
    0 | 1 | 2 | 3)
        # A daemon does not start on an interface that is down.
        [ "${process[$i]}" = ended ] && [ "${near[$i]}" = down ] &&
            do_near "$i" up
        process_step "$i" ;;
    4) other "${near[$i]}"; did="near $i $flipped"; do_near "$i" "$flipped" ;;
    5) other "${far[$i]}"; did="far $i $flipped"; do_far "$i" "$flipped" ;;
    *) if [ $apart = yes ]; then do_heal; else do_split; fi ;;
    esac
}

repair() {
    local i
    [ $apart = yes ] && do_heal
    for i in $(seq "$nodes"); do
        [ "${near[$i]}" = down ] && do_near "$i" up
        [ "${far[$i]}" = down ] && do_far "$i" up
        [ "${process[$i]}" = stopped ] && do_cont "$i"
        [ "${process[$i]}" = ended ] && do_start "$i"
    done
}

# --- what must hold -----------------------------------------------------------

# No daemon ends by itself.
all_alive() {
    local i
    for i in $(seq "$nodes"); do
        [ "${process[$i]}" = ended ] && continue
        kill -0 "${daemon[$i]}" 2>/dev/null && continue
        wait "${daemon[$i]}"
        bad "daemon of node $i ended by itself, status $?:" \
            "$(tail -n 3 "$S/daemon$i.log")"
        return 1
    done
}

# The last that every client was told is the ring of all.
whole() {
    local i
    for i in $(seq "$nodes"); do
        tail -n 1 "$S/client$i.log" | grep -q "regular members $everyone " ||
            return 1
    done
}

# One ring of all that lasts; $healed: when it was first seen, ms after $1.
one_ring() {
    local begin=$1 since="" i
    while :; do
        sleep 0.02
        now_ms
        if whole; then
            since=${since:-$ms}
            [ $((ms - since)) -lt $STEADY_MS ] || break
            continue
        fi
        since=""
        if [ $((ms - begin)) -gt $HEAL_MS ]; then
            bad "no ring of all within $((HEAL_MS / 1000)) s; last told:"
            for i in $(seq "$nodes"); do
                note "        node $i: $(tail -n 1 "$S/client$i.log")"
                kill -USR1 "${daemon[$i]}"
            done
            return 1
        fi
    done
    healed=$((since - begin))
    [ $healed -gt "$healed_max" ] && healed_max=$healed
    ok
}

# --- memory and time ----------------------------------------------------------

declare -A rss_of fds_of node_of born_ticks
lists=""   # the processes sampled, in order

sample() {
    local i p ticks used rss
    sampled="" hertz=$(getconf CLK_TCK)
    for i in $(seq "$nodes"); do
        p=${daemon[$i]}
        rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$p/status")
        ticks=$(awk '{ print $14 + $15 }' "/proc/$p/stat")
        used=$(((ticks - ${born_ticks[$i]:-0}) * 100000 / hertz / $1))
        born_ticks[$i]=$ticks
        [ -n "${node_of[$p]:-}" ] || lists="$lists $p"
        node_of[$p]=$i
        rss_of[$p]="${rss_of[$p]:-} $rss"
        fds_of[$p]="${fds_of[$p]:-} $(find "/proc/$p/fd" -type l | wc -l)"
        sampled="$sampled  $i: $rss KiB $used %"
    done
}

# judge NAME UNIT SLACK NUMBER...: see above. Prints what it found.
judge() {
    local what=$1 unit=$2 slack=$3
    shift 3
    echo "$@" | awk -v what="$what" -v unit="$unit" -v slack="$slack" '{
        warm = int(NF / 3); if (warm < 2) warm = 2
        for (i = 1; i <= NF; i++) {
            if (i <= warm && $i > before) before = $i
            if (i > warm && $i > after) after = $i
            if (i > warm) {
                n++; sx += i; sy += $i; sxx += i * i; sxy += i * $i
            }
        }
        d = n * sxx - sx * sx
        allowed = slack > 0 ? slack : 0
        if (slack > 0 && before / 10 > slack) allowed = before / 10
        printf "%s: first %d, warm-up most %d, later most %d %s over %d " \
            "rounds, trend %+.1f a round\n", what, $1, before, after, unit, NF,
            d == 0 ? 0 : (n * sxy - sx * sy) / d
        exit after > before + allowed
    }'
}

judge_all() {
    local p text judged=0
    for p in $lists; do
        # shellcheck disable=SC2086
        [ "$(echo ${rss_of[$p]} | wc -w)" -ge $SAMPLES_MIN ] || continue
        judged=$((judged + 1))
        # shellcheck disable=SC2086
        if text=$(judge "memory of node ${node_of[$p]}'s daemon $p" KiB 1024 \
            ${rss_of[$p]}); then
            ok; note "$text"
        else
            bad "$text:${rss_of[$p]}"
        fi
        # shellcheck disable=SC2086
        if text=$(judge "descriptors of node ${node_of[$p]}'s daemon $p" fds 0 \
            ${fds_of[$p]}); then
            ok
        else
            bad "$text:${fds_of[$p]}"
        fi
    done
    [ $judged -gt 0 ] || skip "memory: no daemon lived $SAMPLES_MIN rounds"
}

# --- a round ------------------------------------------------------------------

keep() {
    mkdir -p "$evidence.round$round"
    cp "$S"/*.log "$S"/trace* "$evidence.round$round" 2>/dev/null
    note "        kept: $evidence.round$round"
}

# Daemons append: what is cut off here stays cut off.
shorten_logs() {
    local log
    for log in "$S"/daemon*.log; do
        [ "$(stat -c %s "$log")" -gt 1000000 ] || continue
        tail -c 250000 "$log" >"${log%.log}.before.log"
        : >"$log"
    done
}

one_round() {
    local begin repaired before=$failed steps text history=""
    now_ms
    begin=$ms
    rm -f "$S"/trace* "$S"/client*.log
    load_all --rate 0 --window "$([ -n "$SAN" ] && echo 4 || echo 64)" \
        --size 60-20000 >/dev/null
    sleep 0.7
    pick 6
    for steps in $(seq $((picked + 3))); do
        step
        history="$history${history:+, }$did"
        pause 1500
        all_alive || return 1
    done
    note "round $round: $history"
    now_ms
    repaired=$ms
    repair
    one_ring "$repaired" || return 1
    load_stop
    all_alive || return 1
    text=$("$B/evscompare" --final "$nodes" "$S"/trace* 2>&1)
    if [ $? = 0 ]; then ok; else bad "$text"; fi
    sleep 0.3
    now_ms
    sample $((ms - begin))
    note "        $(((ms - begin) / 1000)) s, one ring after $healed ms;" \
        "${text##*connections, };$sampled"
    [ $failed = "$before" ]
}

# --- the run ------------------------------------------------------------------

note "SEED=$SEED MINUTES=$MINUTES NODES=$NODES"
network "$NODES"
everyone=$(seq -s, "$nodes")
for i in $(seq "$nodes"); do
    configure "$i" logging.debug=on
    near[$i]=up far[$i]=up
    launch "$i"
done
all_members "$nodes" >/dev/null || finish
pick "$nodes"
survivor=$((picked + 1))
note "node $survivor's daemon lives through all of it"

end=$((SECONDS + MINUTES * 60))
round=0 healed_max=0 failures=0
while [ $SECONDS -lt $end ] && [ $failures -lt $FAILURES_MAX ]; do
    round=$((round + 1))
    if ! one_round; then
        failures=$((failures + 1))
        keep
        # Where the cluster did not come together there is nothing to go on
        # from.
        whole && all_alive || break
        load_stop
    fi
    shorten_logs
done
judge_all
note "$round rounds; longest until one ring after repair: $healed_max ms"
finish
