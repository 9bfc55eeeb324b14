#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Which lines of the core the simulator reaches: builds it with counters, runs
# COUNT seeds, prints for each file the share of lines reached, then each
# function that was never called; SHOW=1 prints the lines not reached, too.
set -u
cd "$(dirname "$0")/.."
B=build/coverage
COUNT=${COUNT:-500}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

make -s QUIET=1 -j2 B=$B CFLAGS='-g -O1 --coverage' LDFLAGS=--coverage \
    $B/sim || exit 1
find $B -name '*.gcda' -delete
$B/sim --count "$COUNT" ${SEED_BASE:+--seed-base "$SEED_BASE"} >"$out/sim" ||
    { tail -n 5 "$out/sim"; exit 1; }

for source in daemon/totem/*.c daemon/group/*.c; do
    object=$B/${source%.c}.o
    gcov -f -o "$object" "$source" >"$out/report" 2>/dev/null
    mv -- *.gcov "$out" 2>/dev/null
    awk -v source="$source" -v never="$out/never" '
        /^Function/ { name = $2; in_file = 0 }
        /^File/ { gsub(/\047/, "", $2); in_file = $2 == source; name = "" }
        /^Lines executed/ || /^No executable/ {
            split($2, part, /[:%]/)
            if (in_file)
                printf "%6.2f %% of %4d lines  %s\n", part[2], $4, source
            else if (name != "" && part[2] == 0)
                print "  " source ": " name >> never
            name = ""; in_file = 0
        }' "$out/report"
done
echo 'functions never called:'
if [ -s "$out/never" ]; then tr -d "'" <"$out/never"; else echo '  none'; fi
[ -z "${SHOW:-}" ] || for source in daemon/totem/*.c daemon/group/*.c; do
    echo "$source"
    grep -h '#####:' "$out/$(basename "$source").gcov"
done
