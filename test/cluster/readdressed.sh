#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A node gets another address while it runs, none at all, or has several.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
network 3

# says N TEXT PATTERN [SECONDS]: node N's daemon writes a line that matches.
says() {
    check "$2: $(logged "$1" "$3" "${4:-4}"; grep -E "$3" "$S/daemon$1.log" |
        tail -n 1)" logged "$1" "$3" 0
}

at 1 ip addr add 10.77.0.101/24 dev eth0
for i in 1 2 3; do
    configure $i
    start $i
done
all_members 3 || finish
ok "3 nodes form one ring"
says 1 "several addresses match" \
    '2 addresses match .*10\.77\.0\.1 on eth0, 10\.77\.0\.101 on eth0; took 10\.77\.0\.1 on'
check "one address is nothing to warn of" \
    sh -c "! grep -q 'addresses match' '$S/daemon2.log'"
load_all
sleep 1

# As DHCP does it.
at 3 ip addr del 10.77.0.3/24 dev eth0
at 3 ip addr add 10.77.0.33/24 dev eth0
says 3 "another address" 'was 10\.77\.0\.3 on eth0 .*, and is 10\.77\.0\.33 on eth0'
members 1 3 10 && members 3 3 1 && ok "one ring of three"
client 1 timeout 2 "$B/testclm" --json >"$S/clm.txt" </dev/null
check "CLM knows it: $(grep -o '10\.77\.0\.3[0-9]*' "$S/clm.txt" | head -n 1)" \
    grep -q '10\.77\.0\.33' "$S/clm.txt"
count=$(grep -c 'regular conf' "$S/daemon1.log")
sleep 2
check "it stays" [ "$(grep -c 'regular conf' "$S/daemon1.log")" = "$count" ]

# The socket may go on with an address that is not this node's.
at 3 sysctl -qw net.ipv4.ip_nonlocal_bind=1
at 3 ip addr del 10.77.0.33/24 dev eth0
says 3 "no address, with ip_nonlocal_bind" \
    "address is gone \(it was 10\.77\.0\.33 on eth0"
at 3 ip addr add 10.77.0.33/24 dev eth0
says 3 "it is back" "sockets opened again at this node's address 10\.77\.0\.33"
members 1 3 10 && members 3 3 1 && ok "one ring of three"
load_stop
compare --final 3

# The address that the operator named is taken when it is there.
stop 3
stop 2
configure 2 totem.bindnetaddr=10.77.0.2
start 2
all=$(members 2 2 10 && echo yes)
check "2 nodes form one ring" [ -n "$all" ]
at 2 ip addr del 10.77.0.2/24 dev eth0
at 2 ip addr add 10.77.0.22/24 dev eth0
says 2 "the named address goes" 'is 10\.77\.0\.22 on eth0'
at 2 ip addr add 10.77.0.2/24 dev eth0
says 2 "and comes" 'was 10\.77\.0\.22 on eth0 .*, and is 10\.77\.0\.2 on eth0'
members 1 2 10 && ok "one ring of two"
finish
