#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The socket that programs connect to loses its name while the daemon runs: by a
# cleaner, with its directory, to another file, to another daemon.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
cluster 2
load_all
socket=$(echo "$S"/run1/*)

# again TEXT: the socket has its name again, and programs can connect.
again() {
    local count=$((made + 1))
    for _ in $(seq 80); do
        made=$(grep -c 'made it again' "$S/daemon1.log")
        [ "$made" = $count ] && break
        sleep 0.05
    done
    check "$1: $(grep 'made it again' "$S/daemon1.log" | tail -n 1)" \
        [ "$made" = $count ]
    check "all may reach it" [ "$(stat -c %A "$socket")" = srw-rw-rw- ]
    members 1 2 2 && ok "programs can connect"
}
made=0

rm "$socket"
again "a name that was removed"
rm -r "$S/run1"
again "its directory too"

rm "$socket"
echo precious >"$socket"
check "another file has its name" \
    logged 1 'no program can connect: .*File exists \(it is no socket\)' 4
sleep 1.5
check "which stays as it is" [ "$(cat "$socket")" = precious ]
check "and is told of once" \
    [ "$(grep -c 'no program can connect' "$S/daemon1.log")" = 1 ]
rm "$socket"
again "when the file is gone"
load_stop
compare --final 2

# A second daemon does not start where one is, whether that has its socket.
at 1 ip addr add 10.78.0.1/24 dev eth0
configure 1 totem.mcastport=5415 totem.bindnetaddr=10.78.0.0
rm "$socket"
spawn 1 "$S/second.log" "$B/aisexec" -f -c "$S/node1.conf" -r "$S/run1"
ended "$pid" 4
check "a second daemon finds the first one: $(tail -n 1 "$S/second.log")" \
    grep -q 'run directory.*another daemon runs there' "$S/second.log"
again "the first one's"

# A second daemon, which takes the name while nobody has it, nor the lock.
for _ in $(seq 10); do # unless the first has made it again before that
    rm "$socket" "$S/run1/.aisexec.lock"
    spawn 1 "$S/second.log" "$B/aisexec" -f -c "$S/node1.conf" -r "$S/run1"
    second=$pid
    ended "$second" 1 || break
done
check "another daemon has its name" \
    logged 1 'no program can connect: .*another daemon runs there' 4
stop 1
check "the first one ends without taking it away" [ -S "$socket" ]
members 1 1 2 && ok "programs reach the second one"
kill "$second"
ended "$second" 10
check "which takes it with it" [ ! -e "$socket" ]
finish
