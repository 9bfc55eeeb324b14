# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# corosync.sh - corosync on the nodes of a test, for the benchmarks that stand
# beside it. Sourced after test/lib.sh, used after network().

# True: it is installed, and $B/cpgbench is evsbench over its CPG.
corosync_build() {
    if ! command -v corosync >/dev/null ||
        [ ! -e /usr/include/corosync/cpg.h ]; then
        skip "corosync or libcpg-dev is not installed: not measured"
        return 1
    fi
    # The benchmark sees our headers, the layer below it corosync's.
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -I"$top" -I"$top/api" -c \
        -o "$S/evsbench.o" "$top/perf/evsbench.c" &&
        ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -c -o "$S/over.o" \
            "$top/perf/evs_over_cpg.c" &&
        ${CC:-cc} -o "$B/cpgbench" "$S/evsbench.o" "$S/over.o" -lcpg ||
        { bad "cpgbench does not compile"; return 1; }
}

# corosync_conf NODES TRANSPORT RR: knet is encrypted, udp is not.
corosync_conf() {
    local i
    echo "totem {"
    echo "    version: 2"
    echo "    cluster_name: perf"
    echo "    transport: $2"
    if [ "$2" = knet ]; then
        echo "    crypto_cipher: aes256"
        echo "    crypto_hash: sha256"
        echo "    keyfile: $S/corosync.key"
    else
        echo "    interface {"
        echo "        ringnumber: 0"
        echo "        bindnetaddr: 10.77.0.0"
        echo "        mcastaddr: 239.255.1.1"
        echo "        mcastport: 5405"
        echo "    }"
    fi
    echo "}"
    echo "nodelist {"
    for i in $(seq "$1"); do
        echo "    node {"
        echo "        ring0_addr: 10.77.0.$i"
        echo "        name: n$i"
        echo "        nodeid: $i"
        echo "    }"
    done
    echo "}"
    echo "quorum {"
    echo "}"
    echo "system {"
    echo "    sched_rr: $3"
    echo "}"
    echo "logging {"
    echo "    to_stderr: no"
    echo "    to_logfile: yes"
    echo "    logfile: $S/corosync.log"
    echo "}"
}

# Each instance has its own /run, /dev/shm and /var/lib/corosync, in a namespace
# that a process keeps until the script ends.
declare -A keeper
in_mount() { # NODE COMMAND...
    local node=$1
    shift
    exec nsenter --mount="/proc/${keeper[$node]}/ns/mnt" --net="$S/ns$node" "$@"
}

own_mounts() { # NODE
    local pid
    [ -n "${keeper[$1]:-}" ] && return
    mkfifo "$S/mounted$1"
    unshare --mount sh -c 'mount -t tmpfs tmpfs /run &&
        mount -t tmpfs tmpfs /dev/shm &&
        mount -t tmpfs tmpfs /var/lib/corosync &&
        mkdir -p /run/corosync && echo yes || echo no
        exec sleep infinity' >"$S/mounted$1" 2>"$S/mounts.log" &
    pid=$!
    if [ "$(head -n 1 "$S/mounted$1")" != yes ]; then
        skip "corosync: mounts: $(cat "$S/mounts.log")"
        return 1
    fi
    keeper[$1]=$pid
}

corosync_pids=

# corosync_start NODES TRANSPORT RR: on nodes 1 .. NODES.
corosync_start() {
    local i
    corosync_conf "$@" >"$S/corosync.conf"
    head -c 256 /dev/urandom >"$S/corosync.key"
    for i in $(seq "$1"); do own_mounts "$i" || return; done
    for i in $(seq "$1"); do
        in_mount "$i" corosync -f -c "$S/corosync.conf" \
            >>"$S/corosync$i.log" 2>&1 </dev/null &
        corosync_pids="$corosync_pids $!"
    done
    sleep 5
}

corosync_stop() {
    local i
    for i in $corosync_pids; do
        kill -TERM "$i"
        ended "$i" 20 || kill -KILL "$i"
    done
    corosync_pids=
}
