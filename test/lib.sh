# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# lib.sh - small clusters of real daemons for the demo and the cluster tests.
#
# A script sources this file and calls `cluster_enter "$@"`. That runs the
# script a second time in its own user (when not root), process, mount and
# network namespaces; node N is a network namespace below that, one more holds
# the bridge between them. When the script ends, is interrupted or killed, the
# kernel ends every process in there and the namespaces go with them: there is
# nothing to clean up but one folder.
#
# Inside: $S is the scratch folder, nodes are numbered from 1 and have the
# address 10.77.0.N and the node id N.

set -u
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
B=${B:-build/plain}
case $B in /*) ;; *) B=$top/$B ;; esac
SAN=${SAN:-}
name=$(basename "$0" .sh)
passed=0 failed=0 skipped=0

# --- results ------------------------------------------------------------------

ok() {
    passed=$((passed + 1))
    echo "ok      $*"
}

bad() {
    failed=$((failed + 1))
    echo "FAILED  $*"
}

skip() {
    skipped=$((skipped + 1))
    echo "SKIP $name: $*"
}

# check TEXT COMMAND...: one check.
check() {
    local text=$1
    shift
    if "$@"; then ok "$text"; else bad "$text"; fi
}

# The closing line; the daemons' and clients' logs are kept if anything failed.
finish() {
    if [ $failed != 0 ] && [ -n "${S:-}" ]; then
        local kept=$B/log/$name.kept
        rm -rf "$kept"
        mkdir -p "$kept" && cp "$S"/*.log "$kept" 2>/dev/null
        for log in "$S"/*.log; do
            [ -s "$log" ] || continue
            echo "--- end of $(basename "$log") (all of it: $kept)"
            tail -n 15 "$log"
        done
    fi
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
    exit
}

# --- namespaces ---------------------------------------------------------------

# Which way of making namespaces works here; empty: none.
namespace_options() {
    local options
    [ "$(id -u)" = 0 ] && set -- "-nmpf --mount-proc" "-nmpf"
    for options in "$@" "-Urnmpf --mount-proc" "-Urnmpf"; do
        # shellcheck disable=SC2086
        if unshare $options true 2>/dev/null; then
            echo "$options"
            return
        fi
    done
}

# A script that takes longer than this is stopped and has failed, seconds.
LIMIT=${LIMIT:-$([ -n "$SAN" ] && echo 400 || echo 120)}

# Runs this script again inside; returns there, or, with `alone` as the first
# argument, also where no namespaces can be made (then ALONE is set).
cluster_enter() {
    local alone= options child sleeper status
    [ "${1:-}" = alone ] && alone=yes && shift
    if [ -n "${CLUSTER_INSIDE:-}" ]; then
        S=$CLUSTER_SCRATCH
        [ -n "${ALONE:-}" ] || mount -t tmpfs -o mode=755 tmpfs "$S" || exit 1
        trap 'bad "not done after $LIMIT s"; finish' TERM
        return
    fi
    options=$(namespace_options)
    if [ -z "$options" ] && [ -z "$alone" ]; then
        skip "no namespaces: neither root nor user namespaces allowed here"
        finish
    fi
    CLUSTER_SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/openais-$name-XXXXXX") || exit 1
    export CLUSTER_SCRATCH CLUSTER_INSIDE=yes
    if [ -n "$options" ]; then
        # shellcheck disable=SC2086
        env --default-signal=INT,QUIT setpriv --pdeathsig KILL \
            unshare $options --kill-child "$BASH" "$0" "$@" &
    else
        ALONE=yes env --default-signal=INT,QUIT setsid "$BASH" "$0" "$@" &
    fi
    child=$!
    sleep "$LIMIT" &
    sleeper=$!
    trap 'cluster_end 130' INT TERM HUP
    trap 'cluster_end' EXIT
    wait -n $child $sleeper
    status=$?
    if kill -0 $child 2>/dev/null; then
        # A TERM lets it show what it has; see cluster_enter's end.
        kill -TERM "$(cat /proc/$child/task/$child/children)" 2>/dev/null
        for _ in $(seq 100); do
            kill -0 $child 2>/dev/null && sleep 0.1
        done
        kill -0 $child 2>/dev/null && echo "0 passed, 1 failed, 0 skipped"
        status=1
    fi
    exit $status
}

# Outside: end all that runs inside, remove the folder.
cluster_end() {
    local status=${1:-$?}
    trap - EXIT INT TERM HUP
    if kill -0 $child 2>/dev/null; then
        if [ -n "$options" ]; then
            kill -KILL $child
        else
            kill -KILL -- -$child
        fi
        wait $child 2>/dev/null
        [ "$status" = 130 ] && echo "interrupted; everything is removed"
    fi
    kill $sleeper 2>/dev/null
    rm -rf "$CLUSTER_SCRATCH"
    exit "$status"
}

# Replaces this (sub)shell by a program on node $1.
exec_at() {
    local node=$1
    shift
    [ -n "${ALONE:-}" ] && exec "$@"
    exec nsenter --net="$S/ns$node" "$@"
}

# Runs a program on node $1 (0: where the bridge is).
at() {
    (exec_at "$@")
}

# spawn NODE LOG PROGRAM...: in the background; its process id in $pid.
spawn() {
    local node=$1 log=$2
    shift 2
    exec_at "$node" "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
}

# network N: N nodes on a bridge. Multicast is flooded, as on a plain switch.
network() {
    local i holder
    nodes=$1
    for i in $(seq 0 "$nodes"); do
        : >"$S/ns$i"
        unshare --net="$S/ns$i" true || { bad "no network namespace"; finish; }
        at "$i" ip link set lo up
    done
    for i in 0 1; do
        at 0 ip link add "br$i" type bridge mcast_snooping 0
        at 0 ip link set "br$i" up
    done
    for i in $(seq "$nodes"); do
        spawn "$i" /dev/null sleep 60
        holder=$pid
        # The name must exist before the veth's end can be sent there.
        until [ "$(readlink /proc/"$holder"/exe)" = "$(command -v sleep)" ] ||
            [ "$(readlink /proc/"$holder"/exe)" = /usr/bin/sleep ]; do
            sleep 0.01
        done
        at 0 ip link add "p$i" type veth peer name eth0 netns "$holder"
        at 0 ip link set "p$i" master br0 up
        at "$i" ip addr add "10.77.0.$i/24" dev eth0
        at "$i" ip link set eth0 up
        kill "$holder"
        wait "$holder" 2>/dev/null
    done
}

# Other side of a partition, and back.
split() {
    local i
    for i in "$@"; do at 0 ip link set "p$i" master br1; done
}

heal() {
    local i
    for i in $(seq "$nodes"); do at 0 ip link set "p$i" master br0; done
}

# --- daemons ------------------------------------------------------------------

# conf_set FILE SECTION KEY VALUE: changes or adds one line.
conf_set() {
    awk -v section="$2" -v key="$3" -v value="$4" '
        $1 == section && $2 == "{" { inside = 1 }
        inside && !done && $0 ~ "^[ \t]*" key "[ \t]*[:=]" {
            print "        " key ": " value; done = 1; next
        }
        inside && $1 == "}" {
            if (!done) print "        " key ": " value
            done = 1; inside = 0
        }
        { print }
        END { if (!done) print section " {\n        " key ": " value "\n}" }
    ' "$1" >"$1.new" && mv "$1.new" "$1"
}

make_key() {
    "$B/keygen" -o "$1" >"$S/keygen.log" 2>&1 ||
        { bad "keygen: $(cat "$S/keygen.log")"; finish; }
}

# configure N [SECTION.KEY=VALUE]...: node N's configuration, from the shipped
# example; then `start N` uses it.
configure() {
    local node=$1 file=$S/node$1.conf setting key
    shift
    [ -e "$S/authkey" ] || make_key "$S/authkey"
    grep -v 'logoutput: syslog' "$top/config/openais.conf" >"$file"
    mkdir -p "$S/run$node" "$S/state$node"
    for setting in totem.bindnetaddr="${NETWORK:-10.77.0.0}" \
        totem.nodeid="$node" totem.keyfile="$S/authkey" \
        totem.statedir="$S/state$node" "$@"; do
        key=${setting%%=*}
        conf_set "$file" "${key%%.*}" "${key#*.}" "${setting#*=}"
    done
}

declare -A daemon load
start() {
    spawn "$1" "$S/daemon$1.log" "$B/aisexec" -f -c "$S/node$1.conf" \
        -r "$S/run$1"
    daemon[$1]=$pid
}

# A client program on node $1.
client() {
    local node=$1
    shift
    OPENAIS_RUNDIR=$S/run$node at "$node" "$@"
}

# members N K [SECONDS]: waits until node N's ring has K members.
members() {
    client "$1" "$B/evscheck" --members "$2" --timeout "${3:-20}"
}

# all_members K: the same for every node below; a failure is counted.
all_members() {
    local i
    for i in $(seq "$nodes"); do
        members "$i" "$1" || { bad "node $i has no ring of $1"; return 1; }
    done
}

# cluster N [SETTING]...: N nodes on a network, all started, one ring.
cluster() {
    local i
    network "$1"
    shift
    for i in $(seq "$nodes"); do
        configure "$i" "$@"
        start "$i"
    done
    all_members "$nodes" || finish
    ok "$nodes nodes form one ring"
}

# ended PID SECONDS: waits until it ends; its status in $status.
ended() {
    local steps=$(($2 * 50))
    while kill -0 "$1" 2>/dev/null; do
        [ $((steps -= 1)) -gt 0 ] || return 1
        sleep 0.02
    done
    wait "$1"
    status=$?
} 2>/dev/null # where the shell would tell of each process that was killed

# stop N [SIGNAL]: ends node N's daemon; TERM must end it well.
stop() {
    local signal=${2:-TERM} p=${daemon[$1]}
    kill -"$signal" "$p"
    if ! ended "$p" 20; then
        bad "daemon of node $1 does not end"
        kill -KILL "$p"
        ended "$p" 5
    elif [ "$signal" = TERM ] && [ "$status" != 0 ]; then
        bad "daemon of node $1 ended with status $status"
    fi
}

# --- load and what it saw -----------------------------------------------------

# What a client does in these tests unless it says otherwise.
if [ -n "$SAN" ]; then LOAD_RATE=150; else LOAD_RATE=1500; fi

# load N [OPTION]...: a checking client on node N, until load_stop.
load() {
    local node=$1
    shift
    OPENAIS_RUNDIR=$S/run$node spawn "$node" "$S/client$node.log" \
        "$B/evscheck" --rate $LOAD_RATE --size 60-3000 --events --reconnect \
        --drain 30 --trace "$S/trace$node" "$@"
    load[$node]=$pid
}

load_all() {
    local i
    for i in $(seq "$nodes"); do load "$i" "$@"; done
}

# Ends the clients: each must have found nothing wrong.
load_stop() {
    local i
    for i in "${!load[@]}"; do kill -TERM "${load[$i]}"; done
    for i in "${!load[@]}"; do
        if ! ended "${load[$i]}" 60; then
            bad "client of node $i does not end"
            kill -KILL "${load[$i]}"
        elif [ "$status" != 0 ]; then
            bad "client of node $i found errors (status $status):"
            grep 'evscheck:' "$S/client$i.log" | head -n 5
        else
            ok "client of node $i: $(grep -m 1 '^node' "$S/client$i.log")"
        fi
    done
    load=()
}

# compare [OPTION]...: all traces agree, and there was something to judge of
# each kind.
compare() {
    local text
    text=$("$B/evscompare" "$@" "$S"/trace* 2>&1)
    if [ $? = 0 ]; then ok "$text"; else bad "$text"; fi
    if grep -qE '\(0 safe| 0 with causes' <<<"$text"; then
        bad "no safe message, or none with a cause, was compared"
    fi
}

# saw N SINCE PATTERN [SECONDS]: waits until node N's client was told, after
# the time SINCE ($EPOCHREALTIME), something that matches; $after: how long
# after, ms.
saw() {
    local steps=$((${4:-20} * 50))
    while ! after=$(awk -v since="$2" -v pattern="$3" '
        $1 + 0 > since + 0 && $0 ~ pattern {
            printf "%.0f\n", ($1 - since) * 1000; found = 1; exit
        }
        END { exit !found }' "$S/client$1.log"); do
        if [ $((steps -= 1)) -le 0 ]; then
            bad "node $1's client was not told: $3"
            return 1
        fi
        sleep 0.02
    done
}

# logged N PATTERN [SECONDS]: node N's daemon wrote a line like that.
logged() {
    local steps=$((${3:-10} * 20))
    until grep -qE -- "$2" "$S/daemon$1.log"; do
        [ $((steps -= 1)) -gt 0 ] || return 1
        sleep 0.05
    done
}
