#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# `make ipcperf`: clients and their daemon on one machine, beside the machine's
# limits and, where libqb-dev was installed at build time, libqb. Daemons of one
# node each, on loopback: one as shipped and one that never spins. Arguments go
# to ipcbench; RUNS, SECONDS_EACH, ONLY=section[,section] are for `make`. The
# table is shown, $B/ipc.json has the same. Status 1: a limit was missed.
LIMIT=${LIMIT:-3000}
. "$(dirname "$0")/../test/lib.sh"
cluster_enter alone "$@"

# Both daemons live where this script does, with loopback for a network.
if [ -z "${ALONE:-}" ]; then ip link set lo up; fi
ALONE=yes NETWORK=127.0.0.1 nodes=1
trap 'kill ${daemon[*]} 2>/dev/null' EXIT
# A thousand clients have some descriptors each, on both sides.
ulimit -n "$(ulimit -H -n)"

# node N SETTING...: a daemon for itself, with room for the clients.
node() {
    local n=$1
    shift
    configure "$n" totem.transport=unicast totem.nodes='{127.0.0.1}' \
        totem.mcastport=$((5400 + 10 * n)) ipc.client_max=4096 \
        logging.debug=off "$@"
    "$B/aisexec" -t -c "$S/node$n.conf" >"$S/test$n.log" 2>&1
}

node 1 || { bad "the configuration: $(cat "$S/test1.log")"; finish; }
start 1
members 1 1 || { bad "no ring"; finish; }

spinless=
if node 2 ipc.spin=0; then
    start 2
    members 2 1 || { bad "no second ring"; finish; }
    spinless="--spinless $S/run2"
fi
json=$B/ipc.json
rm -f "$json"
# shellcheck disable=SC2086
client 1 "$B/ipcbench" --runs "${RUNS:-3}" --seconds "${SECONDS_EACH:-0.5}" \
    ${ONLY:+--only "$ONLY"} $spinless --json="$json" --strict "$@" \
    2>"$S/ipcbench.log" | tee "$S/table" | grep -v ' passed, .* skipped$'
status=${PIPESTATUS[0]}
cat "$S/ipcbench.log" >&2

# The benchmark's closing line becomes part of this one's.
line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$S/table" |
    tail -n 1)
if [ -n "$line" ]; then
    # shellcheck disable=SC2046
    set -- $(echo "$line" | tr -dc '0-9 ')
    passed=$1 failed=$2 skipped=$3
fi
[ "$status" = 0 ] || [ "$failed" != 0 ] || bad "ipcbench: status $status"
for i in "${!daemon[@]}"; do stop "$i"; done
# The logs explain what went wrong, not what is slow.
[ -n "$line" ] && [ ! -s "$S/ipcbench.log" ] && rm -f "$S"/*.log
echo "JSON: $json"
finish
