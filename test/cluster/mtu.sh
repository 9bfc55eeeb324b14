#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A node with another packet size: no ring with it, the reason in both logs, and
# the ring of the others is not disturbed by it. A node whose interface gets
# another MTU while it runs says so.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
network 3
for i in 1 2; do configure $i; start $i; done
for i in 1 2; do members $i 2 || bad "node $i has no ring of 2"; done
configure 3 totem.netmtu=1400
start 3
sleep 3
for i in 1 2 3; do
    check "node $i says what is wrong" \
        grep -q 'set the same netmtu on every node' "$S/daemon$i.log"
done
for i in 1 2; do
    check "node $i's ring was formed once with the other" \
        [ "$(grep -c 'regular configuration' "$S/daemon$i.log")" -le 2 ]
done
members 1 2 5 && ok "the ring of two is still there"
stop 3
configure 3
start 3
all_members 3 && ok "with the same netmtu, one ring of three"

# says TEXT PATTERN
says() {
    check "$1: $(logged 3 "$2" 4; grep -E "$2" "$S/daemon3.log" | tail -n 1)" \
        logged 3 "$2" 0
}

# Under load: the others send packets that node 3's interface drops.
load_all
sleep 0.5
rings() { grep -c 'regular configuration' "$S/daemon1.log"; }
before=$(rings)
at 3 ip link set eth0 mtu 1400
says "an MTU that is lowered is named, with the remedy" \
    'MTU of interface eth0 is now 1400, .* up to 1500 bytes.*netmtu to 1400'
sleep 5
check "the others' ring changed $(($(rings) - before)) times, at most twice" \
    [ $(($(rings) - before)) -le 2 ]
at 3 ip link set eth0 mtu 1500
says "so is its return" 'MTU of interface eth0 is 1500 again'
all_members 3 && ok "one ring of three"
load_stop
finish
