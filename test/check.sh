#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs the tests (all, or the kinds named as arguments) and adds up their
# closing lines `N passed, N failed, N skipped`. A test that ends without such
# a line, or with a status that is not 0 and no failure counted, is one failure.
set -u
cd "$(dirname "$0")/.."
B=${B:-build/plain}
export B
kinds=${*:-tidy unit golden fuzz sim model cluster}
passed=0 failed=0 skipped=0
failures=
logs=$B/log
mkdir -p "$logs"

# The lines of a log that tell what failed, 15 at most: CUnit's failed checks
# below their test's name, and what the other tests and sanitizers print. None:
# the log's end.
telling() {
    awk '
        /^ *Test: / { test = $0; sub(/ *\.\.\..*/, "", test) }
        /^ +[0-9]+\. .*:[0-9]+ +- / {
            if (test != "") print test
            test = ""
            print
            next
        }
        /^FAILED/ || /check failed: / || /runtime error: / ||
            /^SUMMARY: .*Sanitizer/ || /Segmentation fault/
    ' "$1" | head -n 15 | grep . || tail -n 15 "$1"
}

run() {
    local name=$1 log line status start=$SECONDS
    shift
    log=$logs/$(echo "$name" | tr -c 'a-zA-Z0-9\n' _).log
    "$@" >"$log" 2>&1 </dev/null
    status=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" |
        tail -n 1)
    set -- 0 0 0
    [ -n "$line" ] && set -- $(echo "$line" | tr -dc '0-9 \n')
    if [ $status != 0 ] && [ "$2" = 0 ] || [ -z "$line" ]; then
        set -- "$1" $(($2 + 1)) "$3"
    fi
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
    printf '%-34s %6d passed %4d failed %4d skipped %5d s\n' \
        "$name" "$1" "$2" "$3" $((SECONDS - start))
    grep -E '^SKIP' "$log"
    if [ "$2" != 0 ]; then
        echo "--- end of $log (status $status)"
        tail -n 40 "$log"
        echo "---"
        failures+="Failed: $name (status $status, $log)"$'\n'
        failures+=$(telling "$log" | sed 's/^/    /')$'\n'
    fi
}

for kind in $kinds; do
    case $kind in
    tidy) run tidy test/tidy.sh ;;
    unit) for t in "$B"/unit/test_*; do
        case $t in *.o | *.d) continue ;; esac
        run "unit ${t##*/test_}" "$t"
    done ;;
    golden) run golden test/golden/run.sh ;;
    fuzz) for t in "$B"/fuzz/fuzz_*; do
        run "corpus ${t##*/fuzz_}" "$t" "test/fuzz/corpus/${t##*/fuzz_}"
    done ;;
    sim) run simulator "$B/sim" --count "${SIM_COUNT:-2000}" ;;
    model) run model test/model.sh ;;
    cluster) for t in test/cluster/[a-z]*.sh; do
        run "cluster $(basename "$t" .sh)" "$t"
    done ;;
    *) echo "unknown kind of test: $kind" >&2; exit 2 ;;
    esac
done
printf %s "$failures" # again, so that the end of this output tells it
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
