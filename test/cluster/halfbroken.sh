#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Networks that are half broken and stay so: joins are heard, and yet not every
# ring can work. Those who get on must soon be in one ring, and stay in it; the
# log must name the others; and all must be one ring again when it is mended.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3

# Regular configurations that node $1's daemon has logged.
rings() { grep -c 'regular conf' "$S/daemon$1.log"; }

# lasts TEXT NODE MOST SECONDS: for so long its ring changes no more than that.
lasts() {
    local before
    before=$(rings "$2")
    sleep "$4"
    local changes=$(($(rings "$2") - before))
    check "$1: node $2's ring changed $changes times in $4 s, at most $3" \
        [ "$changes" -le "$3" ]
}

# Node 3 hears all and multicasts, but its unicast has no route.
at 3 ip route del 10.77.0.0/24
check 'no way for the tokens of node 3: the others go on' members 1 2 3
check 'and a program of node 1 gets an answer' \
    client 1 timeout 5 "$B/testckpt" >"$S/testckpt.log"
lasts 'no way for tokens' 1 0 6
check 'node 2 says why' logged 2 'node 3\).*does not acknowledge the token'
at 3 ip route add 10.77.0.0/24 dev eth0
for i in 1 2 3; do check "node $i is in one ring again" members $i 3 6; done

# Tokens to node 3 are stopped by a firewall.
if at 3 nft add table ip f 2>/dev/null; then
    at 3 nft add chain ip f in '{ type filter hook input priority 0; }'
    at 3 nft add rule ip f in udp dport 5406 drop
    check 'no way for tokens to node 3: the others go on' members 1 2 3
    lasts 'no tokens to node 3' 1 0 4
    at 3 nft delete table ip f
    for i in 1 2 3; do check "node $i is in one ring again" members $i 3 6; done
else
    skip 'a firewall before the token port: nft does not work here'
fi

# Nodes 2 and 3 cannot reach each other, node 1 reaches both.
# (The last fault is fresh: the link is tried for longer this time.)
for i in 2 3; do at 0 bridge link set dev p$i isolated on; done
lasts 'two that do not hear each other' 1 4 8
check 'node 1 has a ring of two' members 1 2 1
check 'node 1 names both' logged 1 'node [23]\) is left out.*node [23]\) do not'
for i in 2 3; do at 0 bridge link set dev p$i isolated off; done
for i in 1 2 3; do check "node $i is in one ring again" members $i 3 12; done

# A switch forgot that node 3 wants multicast; tokens are unicast.
load_all
sleep 0.5
at 0 bridge link set dev p3 mcast_flood off
lasts 'no multicast to node 3' 1 3 8
check 'a log says that node 3 does not receive' \
    grep -q 'node 3) does not receive' "$S/daemon1.log" "$S/daemon2.log"
at 0 bridge link set dev p3 mcast_flood on
for i in 1 2 3; do check "node $i is in one ring again" members $i 3 8; done

# Node 3 is behind a link of 1 Mbit/s with a long queue.
before=$(rings 1)
at 0 tc qdisc add dev p3 root tbf rate 1mbit burst 4kb latency 600ms
sleep 8
apart=$(awk -v skip="$before" '/regular conf/ { n++; one = / 1 members/ }
    n > skip && /regular conf/ && one { apart++ } END { print apart + 0 }' \
    "$S/daemon1.log")
check "a slow link: the others were never apart ($apart times)" \
    [ "$apart" = 0 ]
at 0 tc qdisc del dev p3 root
for i in 1 2 3; do check "node $i is in one ring again" members $i 3 20; done
load_stop
compare --final 3
finish
