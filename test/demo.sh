#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The demo: three daemons on this machine agree, lose one, take it back, while
# a client on each checks every message. Status 0: all of it held.
. "$(dirname "$0")/lib.sh"
cluster_enter alone "$@"

# Checks that hold are counted silently here; what fails is shown.
ok() { passed=$((passed + 1)); }

say() { printf '%-9s %s\n' "$1" "$2"; }
told() { printf '%9s %5d ms  %s\n' '' "$1" "$2"; }

# field FILE KEY: a number from the last JSON line.
field() {
    sed -n "s/.*\"$2\": \([0-9.]*\).*/\1/p" "$1" | tail -n 1
}

end() {
    [ $failed = 0 ] || finish
    say "Done" "All of it held; nothing is left behind."
    exit 0
}

if [ -n "${ALONE:-}" ]; then
    nodes=1 NETWORK=127.0.0.1
    trap 'kill $(jobs -p) 2>/dev/null' EXIT
    say "Note" "No namespaces can be made here (neither root nor user"
    say "" "namespaces): this is one node on loopback, not three."
else
    network 3
fi
list=$(seq -s, "$nodes")

make_key "$S/authkey"
say "Key" "made with keygen: 1024 bits, mode $(stat -c %a "$S/authkey")"
for i in $(seq "$nodes"); do
    if [ -n "${ALONE:-}" ]; then
        configure "$i" totem.transport=unicast totem.nodes='{127.0.0.1}'
    else
        configure "$i"
    fi
done
since=$EPOCHREALTIME
for i in $(seq "$nodes"); do start "$i"; done
all_members "$nodes" || finish
say "Start" "$nodes aisexec, config/openais.conf but for addresses and paths;"
say "" "one ring of $nodes after $(awk "BEGIN {
    printf \"%.0f\", 1000 * ($EPOCHREALTIME - $since) }") ms"

# --- how fast -----------------------------------------------------------------

pids=
for i in $(seq "$nodes"); do
    OPENAIS_RUNDIR=$S/run$i spawn "$i" "$S/bench$i.log" "$B/evsbench" \
        --json --size 200 --window 500 --seconds 2 --members "$nodes"
    pids="$pids $pid"
done
for pid in $pids; do
    ended "$pid" 30 && [ "$status" = 0 ] || bad "evsbench failed"
done
client 1 "$B/evsbench" --json --size 200 --seconds 1 --latency \
    >"$S/latency.log" 2>&1 || bad "evsbench --latency failed"
[ $failed = 0 ] || finish

# --- a node dies and returns --------------------------------------------------

load_all --json --rate "${DEMO_RATE:-1000}"
say "Clients" "one on each node, ${DEMO_RATE:-1000} messages/s of 60-3000 bytes each;"
say "" "every delivery is checked and written down"
sleep 2

victim=$nodes
others=$(seq -s, $((nodes - 1)))
since=$EPOCHREALTIME
stop "$victim" KILL
say "Kill" "node $victim's aisexec by SIGKILL; what the clients saw, and when:"
worst=0
for i in $(seq $((nodes - 1))); do
    saw "$i" "$since" "regular members $others " || continue
    told "$after" "node $i: members $others; $victim has left"
    [ "$after" -gt $worst ] && worst=$after
done
saw "$victim" "$since" lost && told "$after" "node $victim: its daemon is gone"
sleep 1

since=$EPOCHREALTIME
start "$victim"
say "Restart" "of node $victim:"
for i in $(seq "$nodes"); do
    saw "$i" "$since" "regular members $list " &&
        told "$after" "node $i: members $list"
done
sleep 2
load_stop

before=$failed
said=$("$B/evscompare" --final "$nodes" "$S"/trace* 2>&1) || bad "$said"
if [ "$before" = "$failed" ]; then
    say "Compared" "one order, no gap, same content at all:"
    say "" "$said"
fi

# --- the table ----------------------------------------------------------------

row() { printf '%-44s %14s\n' "$1" "$2"; }
echo
row "messages/s of 200 bytes, all send, at each node" \
    "$(field "$S/bench1.log" all_per_s | cut -d. -f1)"
row "one message at a time, own delivery: p50, us" \
    "$(field "$S/latency.log" p50_us)"
row "                                     p99, us" \
    "$(field "$S/latency.log" p99_us)"
for i in $(seq "$nodes"); do
    row "node $i's client: messages delivered" \
        "$(field "$S/client$i.log" delivered)"
    row "                 latency p50 / p99, us" \
        "$(field "$S/client$i.log" p50_us) / $(field "$S/client$i.log" p99_us)"
done
[ "$nodes" = 1 ] || row "SIGKILL to the survivors' clients, ms" "$worst"
echo
end
