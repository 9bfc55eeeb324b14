#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Gives every test/golden/<name>.conf to `aisexec -t` and compares: with a
# <name>.ok, exit 0 and that output; with a <name>.err, exit 1 and that text on
# stderr, to the letter. The shipped example must be correct too. Then keygen, and
# the headers.
set -u
cd "$(dirname "$0")/../.."
B=${B:-build/plain}
passed=0 failed=0 skipped=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

check() {
    local conf=$1 expected=$2 stream=$3 want=$4 status
    "$B/aisexec" -t -c "$conf" >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
    sed -i 's/^aisexec: //' "$tmp/err"
    if [ $status = "$want" ] && cmp -s "$tmp/$stream" "$expected"; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "FAILED $conf: exit $status, expected $want; expected, then actual:"
    cat "$expected" "$tmp/$stream"
}

if [ -x "$B/aisexec" ]; then
    for conf in test/golden/*.conf; do
        name=${conf%.conf}
        if [ -f "$name.ok" ]; then
            check "$conf" "$name.ok" out 0
        elif [ -f "$name.err" ]; then
            check "$conf" "$name.err" err 1
        else
            echo "FAILED $conf: has neither .ok nor .err"
            failed=$((failed + 1))
        fi
    done
    echo "config/openais.conf: correct" >"$tmp/expected"
    check config/openais.conf "$tmp/expected" out 0
    echo "$tmp/absent: No such file or directory; install the example" \
        "openais.conf there, or name another file with -c or" \
        "OPENAIS_CONFIG" >"$tmp/expected"
    check "$tmp/absent" "$tmp/expected" err 1
else
    echo "SKIP golden files: $B/aisexec is not built"
    skipped=$((skipped + 1))
fi

. test/golden/keygen.sh
. test/golden/headers.sh

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
