#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A stranger sends what is no packet of ours, as fast as he can, to the port of
# the token: it is counted, the daemon still hears its clients and signals, and
# no ring is worse for it afterwards.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 3
load_all
sleep 0.5
floods=()
for port in 5406 5406; do
    spawn 2 "$S/stranger.log" bash -c \
        "exec dd if=/dev/zero bs=100 >/dev/udp/10.77.0.1/$port"
    floods+=("$pid")
done
sleep 2
kill -USR1 "${daemon[1]}"
check "the daemon hears a signal meanwhile" logged 1 'foreign: [0-9]{4}' 5
check "and a new client" client 1 "$B/evscheck" --seconds 0.2 --rate 100 \
    --timeout 10
kill "${floods[@]}"
since=$EPOCHREALTIME
all_members 3 && ok "one ring afterwards"
sleep 1
load_stop
compare --final 3
finish
