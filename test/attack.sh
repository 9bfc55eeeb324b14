#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Attacks from the network by somebody without the key (test/attack*.c), on
# three daemons and their checking clients. Each part is one kind of attack;
# without arguments all run, those that take long too.
#
#   test/attack.sh [relay] [icmp] [mtu] [flood]
LIMIT=${LIMIT:-600}
export LIMIT
. "$(dirname "$0")/lib.sh"
cluster_enter "$@"
parts=${*:-relay icmp mtu flood}

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

overhear() { attack record --file "$S/heard" "$@" | sed 's/^/        /'; }

# --- an address that is not the peer's ----------------------------------------

part_relay() {
    local before tokens
    daemons
    spawn 4 "$S/attack.log" "$B/attack" record --file "$S/heard" --seconds 2
    waiting=$pid
    sleep 0.3
    stop 3 KILL
    start 3
    wait $waiting
    all_members 3 || return
    stop 2 KILL
    spawn 4 "$S/relay.log" "$B/attack" relay --file "$S/heard" \
        --to 10.77.0.2 --peer 10.77.0.3 --from 10.77.0.4 --seconds 5
    waiting=$pid
    sleep 0.2
    start 2
    wait $waiting
    tokens=$(sed 's/ .*//' "$S/relay.log")
    check "relay: tokens that came to the attacker: $tokens" [ "$tokens" = 0 ]
    all_members 3 && ok "relay: one ring after the attacker has left"
    before=$(rings 1)
    sleep 3
    check "relay: $(($(rings 1) - before)) changes in the 3 s after that" \
        [ "$(rings 1)" = "$before" ]
    daemons_stop
}

# --- errors that never were ---------------------------------------------------

# Each kind of quote, from each kind of offender; load and rest.
part_icmp() {
    local before kind from code
    daemons
    overhear --seconds 1
    load_all
    sleep 0.5
    before=$(rings 1)
    for kind in none random recorded; do
        for from in 10.77.0.2 10.77.0.4; do
            for code in 3 1 2 5; do
                attack icmp --to 10.77.0.1 --peer 10.77.0.2 --from $from \
                    --kind $kind --file "$S/heard" --code $code --rate 500 \
                    --count ${ICMP_COUNT:-200} >/dev/null
            done
        done
    done
    check "icmp: rings broken by wrong quotes, under load: $(($(rings 1) - before))" \
        [ "$(rings 1)" = "$before" ]
    load_stop
    before=$(rings 1)
    for peer in 2 3; do
        attack icmp --to 10.77.0.1 --peer 10.77.0.$peer --from 10.77.0.$peer \
            --kind random --rate 500 --count 1000 >/dev/null
    done
    check "icmp: at rest: $(($(rings 1) - before))" [ "$(rings 1)" = "$before" ]

    # A true one among as many wrong ones as this host can send.
    load_all
    sleep 0.5
    before=$(rings 1)
    spawn 4 "$S/icmp.log" "$B/attack" icmp --to 10.77.0.1 --peer 10.77.0.2 \
        --from 10.77.0.2 --kind random --count 100000 ${ICMP_RATE:-}
    waiting=$pid
    sleep 0.5
    check "icmp: in a flood: $(($(rings 1) - before))" \
        [ "$(rings 1)" = "$before" ]
    since=$EPOCHREALTIME
    stop 2 KILL
    saw 1 "$since" 'regular members 1,3 ' &&
        check "icmp: a daemon killed meanwhile is noticed after $after ms" \
            [ "$after" -le 20 ]
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
    check "mtu: $before messages/s before 'fragmentation needed', $after after" \
        [ "$after" -gt $((before / 2)) ]
    daemons_stop
}

for part in $parts; do "part_$part"; done
finish
