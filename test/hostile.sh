#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A daemon under clients that do their worst, beside honest ones that check that
# they are served (test/hostile.c), for MINUTES minutes (or HOSTILE_SECONDS
# seconds), a line each minute.
#
#   MINUTES=10 SEED=n SAN=address,undefined test/hostile.sh
MINUTES=${MINUTES:-1}
HOSTILE_SECONDS=${HOSTILE_SECONDS:-$((MINUTES * 60))}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
LIMIT=$((HOSTILE_SECONDS * 2 + 300))
export HOSTILE_SECONDS SEED LIMIT
. "$(dirname "$0")/lib.sh"
cluster_enter "$@"

# The attackers are an ordinary user of the group that may connect; honest
# clients are root, so that the attackers' quota leaves them room.
attackers=(--uid 61998 --gid 61999)
if [ "$(awk '{ print $3 }' /proc/self/uid_map)" = 1 ]; then
    skip "attackers of another user: only one user in this user namespace"
    attackers=()
else
    cp /etc/group "$S/group"
    sed -i '/^ais:/d' "$S/group"
    echo 'ais:x:61999:' >>"$S/group"
    mount --bind "$S/group" /etc/group || { bad "no group ais"; finish; }
fi

# What a sanitizer keeps of freed memory would hide what the daemon keeps.
export ASAN_OPTIONS=quarantine_size_mb=4:${ASAN_OPTIONS:-}
if [ -n "$SAN" ]; then bound=4000 slack=65536; else bound=2000 slack=16384; fi

# Checkpoints of 32 MiB at most, as much garbage again and what is on its way
# back, in blocks of powers of two; and the honest clients' rings.
echo "SEED=$SEED, $HOSTILE_SECONDS s"
network 1
configure 1 ipc.client_max=128 ipc.uid_client_max=48 ipc.uid_memory_max=1024 \
    ipc.overflow=2097152 ckpt.memory_max=32 ckpt.checkpoint_max=100
start 1
members 1 1 || { bad "no daemon"; finish; }
chmod 755 "$S/run1"
: >"$S/hostile.log"
client 1 "$B/hostile" --pid "${daemon[1]}" --seconds "$HOSTILE_SECONDS" \
    --seed "$SEED" --bound "${HOSTILE_BOUND:-$bound}" --slack "$slack" --shared 147456 \
    "${attackers[@]}" ${HOSTILE_OPTIONS:-} >"$S/hostile.log" 2>&1 &
waiting=$!
tail -n +1 -f "$S/hostile.log" --pid $waiting
wait $waiting
status=$?
check "hostile clients did no harm (SEED=$SEED)" [ $status = 0 ]

kill -USR1 "${daemon[1]}"
check "statistics" logged 1 'queries: [0-9]+ answered'
grep -E 'clients: [0-9]+ now|queries: [0-9]+ answered|longest round' \
    "$S/daemon1.log"
check "all clients are gone" logged 1 'clients: 0 now'
stop 1
check "the daemon ends with status 0: $status" [ "$status" = 0 ]
check "no report of a sanitizer, no failed check" bash -c '
    ! grep -E "Sanitizer|runtime error|check failed|CHECK" "$1" | head -n 5 |
        grep .' - "$S/daemon1.log"
finish
