#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Daemons of an ordinary user, with little memory to lock (64 KiB; and, if the
# limit may be raised, 1 GB, which is enough until clients come), and one of root.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
if [ "$(awk '{ print $3 }' /proc/self/uid_map)" = 1 ]; then
    skip "no other user in this user namespace"
    finish
fi
network 3
mkdir "$S/bin"
cp "$B"/aisexec "$B"/evscheck "$B"/libevs.so* "$S/bin"
for i in 1 2 3; do configure $i; done
limits=('' 64 1000000)
for i in 1 2; do
    cp "$S/authkey" "$S/authkey$i"
    chmod 400 "$S/authkey$i"
    conf_set "$S/node$i.conf" totem keyfile "$S/authkey$i"
    [ $i = 2 ] && conf_set "$S/node$i.conf" runtime core_dumps on
    chown -R 65534:65534 "$S/authkey$i" "$S/run$i" "$S/state$i"
    spawn $i "$S/daemon$i.log" bash -c "ulimit -l ${limits[i]} ||
        ulimit -l 64"' && exec setpriv \
        --reuid 65534 --regid 65534 --clear-groups --inh-caps -all \
        --bounding-set -all "$@"' - "$S/bin/aisexec" -f -c "$S/node$i.conf" \
        -r "$S/run$i"
    daemon[$i]=$pid
done
start 3
all_members 3 && ok "3 nodes form one ring"
for i in 1 2; do
    check "node $i's daemon is not root's" \
        [ "$(awk '/^Uid/ { print $2 }' /proc/"${daemon[$i]}"/status)" = 65534 ]
    check "node $i: $(grep 'real-time' "$S/daemon$i.log")" \
        logged $i 'real-time priority .*run it as root, or set RLIMIT_RTPRIO'
    if [ -n "$SAN" ]; then
        skip "node $i's warning: under a sanitizer mlockall() does nothing"
        continue
    fi
    check "node $i: $(grep 'not able to lock pages' "$S/daemon$i.log")" \
        logged $i 'not able to lock pages'
done
# May a process of the same user look into the daemon of node $1?
may_look() {
    setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all \
        --bounding-set -all head -c 1 "/proc/${daemon[$1]}/maps" \
        >/dev/null 2>&1
}
check "node 1 has no core dumps: nobody can look into it" eval ! may_look 1
check "node 2, which is to have them, can be looked into" may_look 2
check "and says so" logged 2 'core dumps .* hold the .*key'
load_all
sleep 2
since=$EPOCHREALTIME
stop 3
saw 1 "$since" 'regular members 1,2 '
since=$EPOCHREALTIME
start 3
for i in 1 2 3; do saw $i "$since" 'regular members 1,2,3 '; done
sleep 0.5
load_stop
compare --final 3
finish
