#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A node with another key is not let in, and the log says why.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
network 3
for i in 1 2 3; do configure $i; done
make_key "$S/otherkey"
conf_set "$S/node3.conf" totem keyfile "$S/otherkey"
for i in 1 2 3; do start $i; done
check "nodes 1 and 2 form a ring" members 1 2
check "node 3 is alone" members 3 1
load_all
sleep 4
for i in 1 2; do
    check "node $i never had node 3 in a configuration" \
        sh -c "! grep -q 'members.*[, ]3 .*left' $S/client$i.log"
    check "node $i's log says invalid digest, from 10.77.0.3" \
        logged $i '[Ii]nvalid digest.*10\.77\.0\.3|10\.77\.0\.3.*invalid digest'
    lines=$(grep -ci 'invalid digest' "$S/daemon$i.log")
    check "node $i says so seldom: $lines lines in 4 s" [ "$lines" -le 25 ]
done
check "node 3 is still alone" members 3 1
check "node 3 says why no ring forms" \
    logged 3 'no other node .*invalid digest.*authkey'

since=$EPOCHREALTIME
stop 3
conf_set "$S/node3.conf" totem keyfile "$S/authkey"
start 3
for i in 1 2 3; do saw $i "$since" 'regular members 1,2,3 '; done
ok "with the right key node 3 joins"
sleep 0.5
load_stop
compare --final 3
finish
