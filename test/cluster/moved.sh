#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A node's address moves while it runs: to a bridge, with its interface to
# another name or index, away and back at once, to another address of the same
# network. The ring follows within two downchecks, the log names both places.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3
load_all
sleep 1

# settles TEXT: within 10 s there is one ring of three that stays.
rings() { grep -c 'regular configuration' "$S/daemon1.log"; }
settles() {
    local text=$1 before end=$((SECONDS + 10)) stable=
    while [ -z "$stable" ] && [ $SECONDS -lt $end ]; do
        before=$(rings)
        members 1 3 5 && members 3 3 5 && sleep 1.5
        [ "$(rings)" = "$before" ] && members 3 3 1 && stable=yes
    done
    check "$text: one ring of three, stable" [ -n "$stable" ]
}

# moved TEXT PATTERN: node 3 says so once more than before, and is in the ring.
moved() {
    check "$1: $(logged 3 "$2" 4; grep -E "$2" "$S/daemon3.log" | tail -n 1)" \
        logged 3 "$2" 0
    settles "$1"
}

address=10.77.0.3/24
at 3 ip link add lan type bridge mcast_snooping 0
at 3 ip link set lan up
at 3 ip link set eth0 master lan
at 3 ip addr del $address dev eth0
at 3 ip addr add $address dev lan
moved "to a bridge" \
    'was 10\.77\.0\.3 on eth0 .*, and is 10\.77\.0\.3 on lan '

at 3 ip addr del $address dev lan
at 3 ip link del lan
at 3 ip addr add $address dev eth0
moved "and back" 'was 10\.77\.0\.3 on lan .*, and is 10\.77\.0\.3 on eth0 '

at 3 ip link del eth0
at 0 ip link add p3 type veth peer name eth0 netns "${daemon[3]}"
at 0 ip link set p3 master br0 up
at 3 ip addr add $address dev eth0
at 3 ip link set eth0 up
moved "another interface of the same name" \
    'was 10\.77\.0\.3 on eth0 .*, and is 10\.77\.0\.3 on eth0 '

at 3 ip link set eth0 down
at 3 ip link set eth0 name uplink
at 3 ip link set uplink up
moved "renamed" 'interface eth0 has the name uplink now'

load_stop
compare --final 3
finish
