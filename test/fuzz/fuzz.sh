#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# fuzz.sh MINUTES [NAME]...: builds the fuzzers (all, or fuzz_NAME) with clang,
# libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer, and runs each for
# that long from its corpus. New inputs go to the build folder, not into the
# tree; what a fuzzer finds is left in build/fuzz/found/ with its report.
set -u
cd "$(dirname "$0")/../.."
minutes=${1:?usage: fuzz.sh MINUTES [NAME]...}
shift
build=build/fuzz
passed=0 failed=0 skipped=0
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
    exit
}
case $minutes in
'' | *[!0-9]* | 0) echo "MINUTES must be a whole number above 0" >&2; exit 2 ;;
esac
if ! command -v clang >/dev/null; then
    echo "SKIP fuzzing: needs clang (apt-get install clang)"
    skipped=1
    finish
fi

names=$*
[ -n "$names" ] || names=$(ls test/fuzz/fuzz_*.c |
    sed 's,.*/fuzz_,,; s,\.c$,,')
found=$build/found
mkdir -p "$found"
for name in $names; do
    fuzzer=$build/fuzz/fuzz_$name
    if ! make --no-print-directory SAN=address,undefined CC=clang FUZZ=1 \
        B=$build "$fuzzer" >"$build/make_$name.log" 2>&1; then
        echo "FAILED fuzz_$name does not build:"
        tail -n 20 "$build/make_$name.log"
        failed=$((failed + 1))
        continue
    fi
    corpus=$build/corpus/$name
    mkdir -p "$corpus"
    log=$found/$name.log
    "$fuzzer" -max_total_time=$((minutes * 60)) -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$found/$name-" "$corpus" \
        "test/fuzz/corpus/$name" >"$log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ $status = 0 ] && [ "${runs:-0}" -gt 0 ]; then
        passed=$((passed + 1))
        echo "fuzz_$name: $runs inputs in $minutes min, nothing found," \
            "corpus $(ls "$corpus" | wc -l)"
    else
        failed=$((failed + 1))
        echo "FAILED fuzz_$name (status $status), see $log:"
        grep -E 'ERROR|SUMMARY|check failed|artifact|Test unit' "$log" |
            head -n 20
    fi
done
finish
