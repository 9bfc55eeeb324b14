#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The client in README.md compiles as it stands there, and works.
. "$(dirname "$0")/../lib.sh"
cluster_enter "$@"
awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' "$top/README.md" \
    >"$S/first.c"
lines=$(wc -l <"$S/first.c")
check "README.md has a client of $lines lines" \
    sh -c "[ $lines -gt 10 ] && [ $lines -lt 45 ]"
${CC:-cc} -Wall -Wextra -Werror ${SAN:+-fsanitize=$SAN} -I"$top/api" \
    -o "$S/first" "$S/first.c" -L"$B" -levs -Wl,-rpath,"$B" >"$S/cc.log" 2>&1
check "it compiles without a warning" [ $? = 0 ]
cluster 2
OPENAIS_RUNDIR=$S/run2 spawn 2 "$S/first2.log" "$S/first" from node two
two=$pid
sleep 1
OPENAIS_RUNDIR=$S/run1 spawn 1 "$S/first1.log" "$S/first" from node one
sleep 2
for i in 1 2; do
    check "node $i's prints the members" grep -q 'members: 1 2' "$S/first$i.log"
    check "node $i's prints what node 1 sent" \
        grep -q 'node 1: from node one' "$S/first$i.log"
done
stop 2 KILL
ended "$two" 5
check "it ends when its daemon does" [ "$status" != 0 ]
finish
