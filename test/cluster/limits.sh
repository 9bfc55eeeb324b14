#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What the system refuses to a daemon: it says what, and what would help who it
# is. If it cannot do without, it does not start.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
network 1
configure 1

# under COMMAND...: node 1's daemon, started by that command in the background
# as a service would be; what it says is in $said, whether it runs in $runs.
under() {
    local log=$S/daemon1.log
    : >"$log"
    at 1 "$@" timeout 20 "$B/aisexec" -c "$S/node1.conf" -r "$S/run1" \
        >"$log" 2>&1 </dev/null
    status=$?
    runs=$([ $status = 0 ] && members 1 1 2 2>/dev/null && echo yes)
    pkill -x -TERM aisexec
    while pgrep -x aisexec >/dev/null; do sleep 0.02; done
    said=$(grep -vE 'there is no group|TOTEM|NET: data|IPC: [cq]|GROUP' "$log")
}

# says TEXT PATTERN [yes]: it said so, and runs (yes) or ended with status 1.
says() {
    if ! grep -qE -- "$2" <<<"$said"; then
        bad "$1: the log does not match \"$2\": $said"
    elif [ "${3:-}" != "$runs" ] || { [ -z "$runs" ] && [ $status != 1 ]; }; then
        bad "$1: status $status, runs: ${runs:-no}: $said"
    else
        ok "$1: $(grep -E -- "$2" <<<"$said" | head -n 1)"
    fi
}

# limited LETTER VALUE [SOFT]: how to run something under that resource limit.
limited() {
    wrap=(bash -c "ulimit -$1 $2 && ${3:+ulimit -S$1 $3 &&} exec \"\$@\"" -)
}

under env
says "nothing is refused" "leaving the cluster" yes

# --- resources ----------------------------------------------------------------

limited f 1000000
under "${wrap[@]}"
says "a file size limit" "1024000000 bytes \(ulimit -f, LimitFSIZE\), but check"
limited f 100
configure 1 ckpt.direct=off
under "${wrap[@]}"
says "one that even a client meets" "but a client takes [0-9]+: raise it"
configure 1
limited f unlimited 1000
under "${wrap[@]}"
says "one that may be raised is" "leaving the cluster" yes
limited n 14
under "${wrap[@]}"
says "14 descriptors" "Too many open files .*LimitNOFILE"
if [ -n "$SAN" ]; then
    skip "address space: a sanitizer needs all of it"
else
    limited v 100000
    under "${wrap[@]}"
    says "100 MB of address space" "Cannot allocate memory .*LimitAS"
fi

# --- privileges ---------------------------------------------------------------

# without CAPABILITY: a root that lacks it.
without() {
    under setpriv --inh-caps "-$1" --bounding-set "-$1" "${wrap[@]}"
}

# A name of its own, to be mounted where the system has no such hierarchy.
control_group() {
    mkdir -p "$S/cpu" && mount -t cgroup -o cpu none "$S/cpu" 2>/dev/null &&
        mkdir "$S/cpu/openais-$$" &&
        [ "$(cat "$S/cpu/openais-$$/cpu.rt_runtime_us" 2>/dev/null)" = 0 ]
}

wrap=(env)
if [ "$(awk '{ print $3 }' /proc/self/uid_map)" != 4294967295 ]; then
    under env
    says "root of a user namespace" \
        'real-time priority .*\(run it outside of this user namespace, or' yes
    skip "capabilities of root: this is a user namespace"
else
    without sys_nice
    says "root without CAP_SYS_NICE" \
        'real-time priority .*\(give it CAP_SYS_NICE, or set RLIMIT_RTPRIO to 99' yes
    limited l 64
    without ipc_lock
    if [ -n "$SAN" ]; then
        skip "locked pages: under a sanitizer mlockall() does nothing"
    else
        says "root without CAP_IPC_LOCK" \
            'lock pages: .*\(give it CAP_IPC_LOCK, or set RLIMIT_MEMLOCK' yes
    fi
    wrap=(env)
    max=$(cat /proc/sys/net/core/rmem_max 2>/dev/null || echo 212992)
    if [ "$max" -lt 17000000 ]; then
        configure 1 totem.receive_buffer=30000000 totem.window=8192
        without net_admin
        says "root without CAP_NET_ADMIN" \
            'receive buffer .*\(set net.core.rmem_max to 30000000, or give it CAP_NET_ADMIN\)' yes
        configure 1
    else
        skip "receive buffer: net.core.rmem_max allows the largest window"
    fi
    if control_group; then
        under bash -c "echo \$\$ >'$S/cpu/openais-$$/tasks' && exec \"\$@\"" -
        says "a control group without real-time time" \
            'real-time priority .*\(its control group has no real-time time' yes
        rmdir "$S/cpu/openais-$$"
    else
        skip "real-time time of a control group: this kernel counts none"
    fi
    check "no remedy for root is to be root" \
        sh -c "! grep -q 'run it as root' '$S/daemon1.log'"
fi
configure 1 totem.receive_buffer=65536
under env
says "a receive buffer that is set too small" \
    'receive buffer .*\(set totem \{ receive_buffer \} to [0-9]+\)' yes
configure 1

# --- no null device -----------------------------------------------------------

# devices COMMAND: how to run something with a /dev that the command makes.
devices() {
    wrap=(unshare -m sh -c "mount -t tmpfs none /dev && $1 && exec \"\$@\"" -)
}

devices true
under "${wrap[@]}"
says "no /dev/null" "/dev/null .*No such file .*mknod"
devices 'echo >/dev/null'
under "${wrap[@]}"
says "a file in its place" "/dev/null .*No such device; make"
finish
