#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Attacks from the network by somebody without the key (test/attack*.c), on
# three daemons and their checking clients. Each part is one kind of attack;
# without arguments all run. QUICK=1: less of each, as in `make check`
# (test/cluster/attack.sh).
#
#   test/attack.sh [relay] [icmp] [mtu] [pause] [unheard] [flood]
QUICK=${QUICK:-}
LIMIT=${LIMIT:-600}
. "$(dirname "$0")/lib.sh"
cluster_enter "$@"
parts=${*:-relay icmp mtu pause unheard flood}
declare -a talking waiting

# Node 4 is the attacker's: on the same switch, with root's rights there.
network 4
nodes=3
attack() { at 4 "$B/attack" "$@"; }

# rings N: how many regular configurations node N's daemon has told of.
rings() { grep -c 'regular configuration' "$S/daemon$1.log"; }

# daemons [SETTING]...: three daemons, one ring.
daemons() {
    for i in 1 2 3; do
        : >"$S/daemon$i.log"
        configure $i "$@"
        start $i
    done
    all_members 3 || finish
}

daemons_stop() { for i in 1 2 3; do stop $i; done; }

# What is said while every node has something to say; node 1 hears it all.
overhear() {
    local i
    for i in 1 2 3; do
        OPENAIS_RUNDIR=$S/run$i spawn $i "$S/said.log" "$B/evscheck" \
            --rate 500 --seconds 2
        talking[i]=$pid
    done
    at 1 "$B/attack" record --file "$S/heard" --seconds 2 | sed 's/^/        /'
    wait "${talking[@]}"
}

# Did `attack flood` flood? It wrote flood.log.
flood_went() {
    grep -q 'packets, .* a second' "$S/flood.log" ||
        bad "no flood: $(cat "$S/flood.log")"
}

# --- an address that is not the peer's ----------------------------------------

# Node 3 has just started, so that what it said to all has been overheard. Then
# node 2 starts again and again, and each time the attacker's word comes first.
part_relay() {
    local before tokens answers all_tokens=0 all_answers=0
    daemons
    stop 3 KILL
    spawn 4 "$S/attack.log" "$B/attack" record --file "$S/heard" --seconds 2
    waiting=$pid
    sleep 0.3
    start 3
    wait $waiting
    all_members 3 || return
    for _ in $(seq ${QUICK:-8}); do
        stop 2 KILL
        spawn 4 "$S/relay.log" "$B/attack" relay --file "$S/heard" \
            --to 10.77.0.2 --peer 10.77.0.3 --from 10.77.0.4 --seconds 2
        waiting=$pid
        sleep 0.2
        start 2
        wait $waiting
        read -r tokens answers < <(sed -n \
            's/^\([0-9]*\) tokens, \([0-9]*\) answers$/\1 \2/p' "$S/relay.log")
        [ -n "$answers" ] || bad "relay: no attack: $(cat "$S/relay.log")"
        all_tokens=$((all_tokens + tokens))
        all_answers=$((all_answers + answers))
        : >"$S/relay.log"
    done
    check "relay: tokens that came to the attacker: $all_tokens" \
        [ $all_tokens = 0 ]
    check "relay: answers that came to the attacker: $all_answers" \
        [ $all_answers = 0 ]
    all_members 3 && ok "relay: one ring after the attacker has left"
    before=$(rings 1)
    sleep 2
    check "relay: $(($(rings 1) - before)) changes in the 2 s after that" \
        [ "$(rings 1)" = "$before" ]
    daemons_stop
}

# --- errors that never were ---------------------------------------------------

# Each kind of quote, from each kind of offender; load and rest.
part_icmp() {
    local before kind from code quotes=$([ -n "$QUICK" ] && echo 50 || echo 200)
    # Without the ICMP packet it would take a token timeout: 200 ms.
    local soon=$([ -n "$QUICK$SAN" ] && echo 100 || echo 20)
    daemons
    overhear
    load_all
    sleep 0.5
    before=$(rings 1)
    for kind in none random recorded; do
        for from in 10.77.0.2 10.77.0.4; do
            for code in 3 1 2 5; do
                attack icmp --to 10.77.0.1 --peer 10.77.0.2 --from $from \
                    --kind $kind --file "$S/heard" --code $code --rate 500 \
                    --count $quotes >/dev/null ||
                    bad "icmp: no $kind quotes were sent"
            done
        done
    done
    check "icmp: rings broken by wrong quotes, under load: $(($(rings 1) - before))" \
        [ "$(rings 1)" = "$before" ]
    load_stop
    before=$(rings 1)
    for peer in 2 3; do
        attack icmp --to 10.77.0.1 --peer 10.77.0.$peer --from 10.77.0.$peer \
            --kind random --rate 500 --count $((5 * quotes)) >/dev/null
    done
    check "icmp: at rest: $(($(rings 1) - before))" [ "$(rings 1)" = "$before" ]

    # A true one among as many wrong ones as this host can send.
    load_all
    sleep 0.5
    before=$(rings 1)
    spawn 4 "$S/icmp.log" "$B/attack" icmp --to 10.77.0.1 --peer 10.77.0.2 \
        --from 10.77.0.2 --kind random --count 100000
    waiting=$pid
    sleep 0.5
    check "icmp: in a flood: $(($(rings 1) - before))" \
        [ "$(rings 1)" = "$before" ]
    since=$EPOCHREALTIME
    stop 2 KILL
    saw 1 "$since" 'regular members 1,3 ' &&
        check "icmp: a daemon killed meanwhile is noticed after $after ms" \
            [ "$after" -le $soon ]
    wait $waiting
    echo "        $(tail -n 1 "$S/icmp.log")"
    start 2
    all_members 3
    load_stop
    daemons_stop
}

# --- smaller packets ----------------------------------------------------------

# speed N: messages a second of one sender on node N.
speed() {
    client "$1" "$B/evsbench" --size 1200 --seconds 1 --window 1024 --json |
        sed -n 's/.*"own_per_s": \([0-9]*\).*/\1/p'
}

# "Fragmentation needed" for the way to either peer, unicast.
part_mtu() {
    local before after peer
    daemons totem.transport=unicast \
        totem.nodes='{10.77.0.1, 10.77.0.2, 10.77.0.3}'
    before=$(speed 1)
    for peer in 2 3; do
        for port in 5405 5406; do
            attack icmp --to 10.77.0.1 --peer 10.77.0.$peer --port $port \
                --from 10.77.0.4 --kind random --code 4 --mtu 600 \
                --count 1 >/dev/null
        done
    done
    after=$(speed 1)
    attack flood --to 10.77.0.1 --kind foreign --from 10.77.0.4 --count 1 \
        >/dev/null
    check "mtu: the log tells of a host that is not in the list" \
        logged 1 'packet from 10.77.0.4, which is not in the list of nodes'
    check "mtu: $before messages/s before 'fragmentation needed', $after after" \
        [ "$after" -gt $((before / 2)) ]
    daemons_stop
}

# --- a past that comes back ---------------------------------------------------

# A daemon that was stopped begins new sessions, and is back in the ring; what
# was overheard before it was stopped changes nothing then.
part_pause() {
    daemons
    overhear
    since=$EPOCHREALTIME
    load_all
    sleep 0.5
    kill -STOP "${daemon[3]}"
    saw 1 "$since" 'regular members 1,2 '
    since=$EPOCHREALTIME
    kill -CONT "${daemon[3]}"
    for i in 1 2 3; do saw $i "$since" 'regular members 1,2,3 '; done
    ok "pause: back in the ring after $after ms"
    check "pause: with new sessions" logged 3 'after the pause.*new session'
    before=$(rings 1)
    attack flood --to 10.77.0.3 --port 5406 --kind recorded --from 10.77.0.2 \
        --file "$S/heard" --count 20000 >"$S/flood.log" 2>&1
    flood_went
    check "pause: $(($(rings 1) - before)) changes by what was overheard" \
        [ "$(rings 1)" = "$before" ]
    check "pause: the log tells of replays" \
        logged 3 '[0-9]{4,} packets of 10.77.0.2 .*came a second time'
    load_stop
    daemons_stop
}

# A node that hears the others and is not heard is in the position of a machine
# that was set back, whose packets the others drop as replays. It takes a new
# session by itself.
part_unheard() {
    daemons
    at 3 ip route add blackhole 239.0.0.0/8
    at 3 ip route del 10.77.0.0/24
    check 'unheard: the others go on' members 1 2
    check 'unheard: node 3 begins a new session' \
        logged 3 'others are heard, but no ring forms.*new session' 15
    at 3 ip route add 10.77.0.0/24 dev eth0
    at 3 ip route del blackhole 239.0.0.0/8
    all_members 3 && ok 'unheard: one ring when the way is free again'
    daemons_stop
}

# --- floods -------------------------------------------------------------------

# A machine that runs `make check` may do other things as well; how much a flood
# costs is measured by the whole attack.
TIMES_MOST=$([ -n "$QUICK" ] && echo 10 || echo 3)
TRIPS_SECONDS=$([ -n "$QUICK" ] && echo 1 || echo 2)
FLOOD_RATE=${FLOOD_RATE:-$([ -n "$SAN" ] && echo 50000 || echo 600000)}

# round_trips: one message at a time from each node, all at once; the slowest
# node's median and 99th percentile in $p50 and $p99, us.
round_trips() {
    local i
    for i in 1 2 3; do
        OPENAIS_RUNDIR=$S/run$i spawn $i "$S/latency$i.log" "$B/evsbench" \
            --latency --size 100 --seconds $TRIPS_SECONDS --members 3 \
            --processes 3 --json
        waiting[i]=$pid
    done
    for i in 1 2 3; do wait "${waiting[$i]}"; done
    read -r p50 p99 < <(cat "$S"/latency?.log | sed -n \
        's/.*"p50_us": \([0-9]*\).*"p99_us": \([0-9]*\).*/\1 \2/p' |
        awk '{ if ($1 > a) a = $1; if ($2 > b) b = $2 } END { print a, b }')
    rm -f "$S"/latency?.log
    [ "${p50:-0}" -gt 0 ]
}

# flooded PORT KIND [OPTION]...: round trips beside such a flood to node 1.
flooded() {
    local port=$1 kind=$2 before p
    shift 2
    before=$(rings 1)
    : >"$S/flood.log"
    spawn 4 "$S/flood.log" "$B/attack" flood --to 10.77.0.1 --port $port \
        --kind $kind --from 10.77.0.3 --rate $FLOOD_RATE "$@" \
        --seconds $((TRIPS_SECONDS + 2))
    p=$pid
    sleep 0.5
    round_trips || p50=none p99=none
    wait $p
    flood_went
    changes=$(($(rings 1) - before))
    echo "        port $port: $(tail -n 1 "$S/flood.log"): median $p50 us," \
        "99 % within $p99 us; $changes changes"
}

# compared PORT KIND NAME [OPTION]...: no more than three times what packets
# that are not ours cost.
compared() {
    local port=$1 kind=$2 name=$3
    shift 3
    flooded $port $kind "$@"
    check "flood of $name to port $port: no change of members" [ $changes = 0 ]
    check "flood of $name to port $port: median $p50 us, at most $TIMES_MOST times $base us" \
        [ "$p50" -le $((TIMES_MOST * base)) ]
}

# Of all three nodes' earlier lives.
record_the_dead() {
    local i
    spawn 4 "$S/record.log" "$B/attack" record --file "$S/dead" --seconds 4
    waiting=$pid
    for i in $(seq $([ -n "$QUICK" ] && echo 3 || echo 10)); do
        start 3
        logged 3 'aisexec started' && sleep 0.2
        stop 3 KILL
        : >"$S/daemon3.log"
    done
    wait $waiting
}

# flood_port PORT [SETTING]...: each kind of packet, to a port of node 1.
flood_port() {
    local port=$1
    shift
    daemons "$@"
    overhear
    round_trips
    echo "        without a flood: median $p50 us, 99 % within $p99 us"
    flooded $port foreign
    base=$p50
    compared $port salt "unknown salts" --file "$S/heard"
    compared $port recorded "dead sessions" --file "$S/dead"
    if [ -z "$QUICK" ]; then
        compared $port recorded "a living session's packets" --file "$S/heard"
        compared $port tag "wrong tags" --file "$S/heard"
        flooded $port foreign --size 1400
        base=$p50
        compared $port tag "large wrong tags" --file "$S/heard" --size 1400
    fi
    all_members 3 && ok "flood of port $port: one ring afterwards"
    daemons_stop
    sed -n 's/.*\(CRYPTO: .*[0-9]\{5\}$\|NET: .*\)/        \1/p' \
        "$S/daemon1.log" | tail -n 8
}

# The data's port is a node's own with a list of nodes.
part_flood() {
    configure 3
    record_the_dead
    flood_port 5406
    [ -n "$QUICK" ] || flood_port 5405 totem.transport=unicast \
        totem.nodes='{10.77.0.1, 10.77.0.2, 10.77.0.3}'
}

for part in $parts; do "part_$part"; done
finish
