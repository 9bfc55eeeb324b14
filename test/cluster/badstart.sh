#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What must keep a daemon from starting does, and the message says where and
# what to do.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
network 1

# refused TEXT PATTERN: node 1's daemon as configured does not start, and says
# something that matches.
refused() {
    local said
    said=$(at 1 timeout 20 "$B/aisexec" -f -c "$S/node1.conf" -r "$S/run1" \
        2>&1 </dev/null)
    local status=$?
    if [ $status = 0 ] || [ $status -ge 124 ]; then
        bad "$1: status $status: $said"
    elif ! grep -qE -- "$2" <<<"$said"; then
        bad "$1: the message does not match \"$2\": $said"
    else
        ok "$1: $(grep -E -- "$2" <<<"$said" | tail -n 1)"
    fi
}

# The number of the line that holds $1.
line() {
    grep -n -- "$1" "$S/node1.conf" | head -n 1 | cut -d: -f1
}

configure 1
check "the shipped example is in order" \
    "$B/aisexec" -t -c "$S/node1.conf"

configure 1 totem.keyfile="$S/nokey"
refused "no key" "$S/nokey.*keygen"
head -c 64 /dev/urandom >"$S/shortkey"
chmod 400 "$S/shortkey"
configure 1 totem.keyfile="$S/shortkey"
refused "short key" "$S/shortkey.*128"
cp "$S/authkey" "$S/openkey"
chmod 444 "$S/openkey"
configure 1 totem.keyfile="$S/openkey"
refused "key that others can read" "$S/openkey.*(chmod|mode)"

for byte in '\000' '\377' 'secret..'; do
    rm -f "$S/dullkey"
    for _ in $(seq 128); do printf "$byte"; done | head -c 128 >"$S/dullkey"
    chmod 400 "$S/dullkey"
    configure 1 totem.keyfile="$S/dullkey"
    refused "key of '$byte' again and again" "$S/dullkey.*no random key.*keygen"
done

mkfifo "$S/pipe"
sleep 30 >"$S/pipe" &
writer=$!
status=0
said=$(timeout 20 "$B/aisexec" -t -c "$S/pipe" 2>&1) || status=$?
check "a pipe that nobody writes to: $said" [ "$status" = 1 ]
kill $writer
check "a pipe with a file in it" "$B/aisexec" -t -c <(
    sleep 0.2
    cat "$S/node1.conf"
)

configure 1
for mode in 777 775 1777; do
    chmod $mode "$S/run1"
    refused "a run directory of mode $mode" 'run directory.*chmod go-w'
done
rmdir "$S/run1"
ln -s /tmp "$S/run1"
refused "a link to one" 'run directory.*chmod go-w'
rm "$S/run1"
mkdir "$S/run1"
ln -s "$S/precious" "$S/run1/aisexec.sock"
touch "$S/precious"
chmod 600 "$S/precious"
refused "a link in the socket's place" 'no socket'
check "what it stands for keeps its mode" \
    [ "$(stat -c %a "$S/precious")" = 600 ]
rm "$S/run1/aisexec.sock"

# Ten times two daemons at once, whose ports differ: one of them runs.
at 1 ip addr add 10.78.0.1/24 dev eth0
configure 1
cp "$S/node1.conf" "$S/first.conf"
configure 1 totem.mcastport=5415 totem.bindnetaddr=10.78.0.0
double=0
for _ in $(seq 10); do
    spawn 1 "$S/first.log" "$B/aisexec" -f -c "$S/first.conf" -r "$S/run1"
    first=$pid
    spawn 1 "$S/second.log" "$B/aisexec" -f -c "$S/node1.conf" -r "$S/run1"
    second=$pid
    for _ in $(seq 200); do
        kill -0 $first 2>/dev/null && kill -0 $second 2>/dev/null || break
        sleep 0.01
    done
    kill -0 $first 2>/dev/null && kill -0 $second 2>/dev/null && ((double++))
    kill $first $second 2>/dev/null
    ended $first 10
    ended $second 10
done
check "of two daemons that start at once one runs" [ $double = 0 ]

configure 1 totem.tokn=5
refused "unknown key" "node1.conf:$(line tokn).*tokn"
configure 1 timeout.token=soon
refused "wrong value" "node1.conf:$(line soon).*token"
configure 1 totem.mcastport=70000
refused "value out of range" "node1.conf:$(line 70000).*mcastport"
configure 1 totm.token=5
refused "unknown section" "node1.conf:$(line totm).*totm"
configure 1
sed -i '/mcastaddr/d' "$S/node1.conf"
refused "no multicast address" "node1.conf.*mcastaddr"
configure 1 logging.logoutput=file
refused "file without logfile" "node1.conf.*logfile"
rm "$S/node1.conf"
refused "no configuration" "node1.conf"

configure 1 totem.bindnetaddr=10.99.0.0
refused "address not on this host" \
    "node1.conf:$(line 10.99.0.0):.*10\.99\.0\.0"
configure 1 totem.transport=unicast totem.nodes='{10.77.0.2, 10.77.0.3}'
refused "own address not in the list of nodes" \
    "node1.conf:$(line 10.77.0.3):.*10\.77\.0\.1"
configure 1 totem.keyfile="$S/shortkey" logging.logoutput=file \
    logging.logfile="$S/only.log"
sed -i '/logoutput: stderr/d' "$S/node1.conf"
refused "what goes to a log file alone is said too" "$S/shortkey.*128"

configure 1
start 1
check "a daemon runs" members 1 1
configure 1 totem.mcastport=5415
refused "second daemon in one run directory" "$S/run1"
configure 1
mkdir "$S/run2"
said=$(at 1 timeout 20 "$B/aisexec" -f -c "$S/node1.conf" -r "$S/run2" 2>&1)
status=$?
check "port in use: $(tail -n 1 <<<"$said")" \
    sh -c "[ $status != 0 ] && [ $status -lt 124 ]"
check "the message names the port and the line" \
    grep -qE "node1.conf:$(line 'mcastport:'):.*540[56]" <<<"$said"
check "the first one still runs" members 1 1
stop 1

# Without -f the command returns once the daemon runs, or says why not.
configure 1
at 1 timeout 20 "$B/aisexec" -c "$S/node1.conf" -r "$S/run1" \
    >"$S/daemon1.log" 2>&1 </dev/null
check "in the background: status 0" [ $? = 0 ]
check "and it runs" members 1 1
at 1 timeout 20 "$B/aisexec" -c "$S/node1.conf" -r "$S/run1" \
    >"$S/second.log" 2>&1 </dev/null
check "a second one is refused in the background too" [ $? != 0 ]
check "saying why" [ -s "$S/second.log" ]

# The daemon in the background keeps nothing of who started it.
pkill -x -TERM aisexec
while pgrep -x aisexec >/dev/null; do sleep 0.05; done
configure 1
rmdir "$S/run1"
exec 9>"$S/lock"
flock 9
(umask 077 && at 1 timeout 20 "$B/aisexec" -c "$S/node1.conf" -r "$S/run1" \
    >>"$S/daemon1.log" 2>&1 </dev/null)
check "with a strict umask it runs too" members 1 1
exec 9>&-
check "others can still reach the socket" \
    [ "$(stat -c %a "$S/run1")" = 755 ]
check "a lock that was open is not held" flock -n "$S/lock" true
check "no folder is kept in use" \
    [ "$(readlink /proc/"$(pgrep -x aisexec)"/cwd)" = / ]
finish
