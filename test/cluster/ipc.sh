#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Clients and their daemon die in the middle of things; who may connect.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"

# A group ais of this test's own, in its own mount namespace.
cp /etc/group "$S/group"
grep -q '^ais:' "$S/group" || echo 'ais:x:61999:' >>"$S/group"
gid=$(awk -F: '$1 == "ais" { print $3 }' "$S/group")
mount --bind "$S/group" /etc/group || skip "cannot give this test a group ais"
mkdir "$S/bin"
cp "$B"/evscheck "$B"/libevs.so* "$B"/aisexec "$S/bin"
size=200000
[ -n "$SAN" ] && size=60000

mkdir "$S/run0"
said=$(OPENAIS_RUNDIR=$S/run0 "$B/testevs" 2>&1)
status=$?
check "no daemon: testevs ends with status 1" [ $status = 1 ]
check "no daemon: TRY_AGAIN, and a hint: $said" \
    grep -q 'TRY_AGAIN.*aisexec' <<<"$said"

cluster 3
client 1 "$B/testevs" >"$S/testevs.log" 2>&1
check "testevs: $(tail -n 1 "$S/testevs.log")" [ $? = 0 ]
check "testevs: 1000 messages delivered" \
    [ "$(grep -c '^delivered' "$S/testevs.log")" = 1000 ]

load_all
for round in 1 2 3 4 5; do
    OPENAIS_RUNDIR=$S/run1 spawn 1 "$S/victim$round.log" "$B/evscheck" \
        --size $size --window 16 --trace "$S/trace-victim$round"
    sleep 0.$((RANDOM % 5 + 2))
    kill -KILL "$pid"
    ended "$pid" 5
done
ok "5 clients were killed in the middle of messages of $size bytes"
OPENAIS_RUNDIR=$S/run2 spawn 2 "$S/stopped.log" "$B/evscheck" --listen
stopped=$pid
sleep 0.3
kill -STOP "$stopped"
sleep 2
check "a client that stands still stops nobody: node 2's ring is whole" \
    members 2 3
kill -KILL "$stopped"
ended "$stopped" 5

# Each way in, as somebody who is nobody else here.
try_as() {
    client 1 setpriv --reuid 65534 "$@" "$S/bin/evscheck" --seconds 0.2 \
        --rate 100 --timeout 5 2>&1
}
if [ "$(awk '{ print $3 }' /proc/self/uid_map)" = 1 ]; then
    skip "users other than root: only one user in this user namespace"
else
    chmod 755 "$S/run1" # what keeps strangers out is not the folder
    said=$(try_as --regid 65534 --clear-groups)
    check "a stranger is refused: $said" grep -q 'ACCESS' <<<"$said"
    try_as --regid "$gid" --clear-groups >"$S/member.log"
    check "a process in group ais is let in" [ $? = 0 ]
    try_as --regid 65534 --groups "$gid" >"$S/member.log"
    check "so is one with ais as a supplementary group" [ $? = 0 ]
fi

# The daemon dies while clients send, receive and wait.
OPENAIS_RUNDIR=$S/run3 spawn 3 "$S/sender.log" "$B/evscheck" --events
sender=$pid
OPENAIS_RUNDIR=$S/run3 spawn 3 "$S/waiter.log" "$B/evscheck" --listen \
    --events --group quiet
waiter=$pid
sleep 0.5
since=$EPOCHREALTIME
stop 3 KILL
for what in sender waiter; do
    ended "${!what}" 5 || { bad "the $what hangs"; continue; }
    check "the $what ends with an error" [ "$status" = 1 ]
    at_once=$(awk -v since="$since" '$2 == "lost" {
        printf "%.0f", ($1 - since) * 1000 }' "$S/$what.log")
    check "the $what was told after ${at_once:-?} ms" \
        [ "${at_once:-9999}" -lt 1000 ]
done
since=$EPOCHREALTIME
start 3
for i in 1 2 3; do saw $i "$since" 'regular members 1,2,3 '; done
sleep 0.5
load_stop
compare --final 0
finish
