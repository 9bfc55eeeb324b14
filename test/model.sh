#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Checks the models of doc/model with spin, and that each of their mutants, a
# planted fault, is found. FULL=1: also that the membership settles after any
# one fault (a minute or two, 1 GB); without it, that it settles without one,
# and that after any one it neither stops early nor forms rings without end.
set -u
cd "$(dirname "$0")/.."
B=${B:-build/plain}
FULL=${FULL:-}
work=$B/model
passed=0 failed=0 skipped=0

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
    exit
}

for tool in spin gcc; do
    command -v $tool >/dev/null && continue
    echo "SKIP model: no $tool here (Debian package $tool)"
    skipped=1
    finish
done

# build MODEL "SPIN OPTIONS" "COMPILER OPTIONS": the checker in $dir.
build() {
    dir=$work/$1
    rm -rf "$dir"
    mkdir -p "$dir" && cp "doc/model/$1.pml" "$dir" || return 1
    # shellcheck disable=SC2086
    (cd "$dir" && spin $2 -a "$1.pml" && gcc -O0 -w -DMEMLIM=4000 $3 \
        -o pan pan.c) >"$dir/log" 2>&1
}

# explore MODEL "SPIN OPTIONS" "COMPILER OPTIONS" "CHECKER OPTIONS": builds and
# runs; the outcome in $outcome: holds, found (a fault), or broken.
explore() {
    outcome=broken
    if build "$1" "$2" "$3"; then
        # shellcheck disable=SC2086
        (cd "$dir" && ./pan -m20000 $4) >>"$dir/log" 2>&1
        states=$(sed -n 's/^ *\([0-9e.+]*\) states, stored.*/\1/p' "$dir/log")
        if grep -q 'Search not completed\|error: max search' "$dir/log"; then
            [ -e "$dir/$1.pml.trail" ] && outcome=found
        elif grep -q 'errors: 0' "$dir/log"; then
            outcome=holds
        fi
    fi
}

# expect OUTCOME TEXT MODEL ...: see explore.
expect() {
    local want=$1 text=$2 begin=$SECONDS
    shift 2
    explore "$@"
    if [ $outcome = "$want" ]; then
        passed=$((passed + 1))
        echo "ok      $text ($states states, $((SECONDS - begin)) s)"
    else
        failed=$((failed + 1))
        echo "FAILED  $text: $outcome"
        tail -n 40 "$dir/log"
        [ $outcome = found ] && spin -t $2 "$dir/$1.pml" | tail -n 40
    fi
}

safety="-DSAFETY -DNOCLAIM"
# Eight bytes stand for a state; that two differ in none is as good as sure.
compact="-DHC4"
# Most are explored sooner than an optimizer would be done with them.
long="-O2"

expect holds "ring: no wake-up is lost" ring "" "$safety" ""
mutants=("" "look, then announce sleep" "take without an exchange"
    "wait without a nudge" "look for room, then announce"
    "look who sleeps, then publish")
for m in 1 2 3 4 5; do
    expect found "ring, mutant: ${mutants[m]}" ring "-DMUTANT=$m" "$safety" ""
done

expect holds "room: nobody waits for what is there" room "" "$safety" ""
mutants=("" "ask, then empty the descriptor" "withdraw what another counts on"
    "look, then ask" "take the byte that wakes others too")
for m in 1 2 3 4; do
    expect found "room, mutant: ${mutants[m]}" room "-DMUTANT=$m" "$safety" ""
done

expect holds "membership: settles" membership "-DFAULTS=0" "" "-a"
expect holds "membership: any one fault" \
    membership "-DFAULTS=1" "$safety $compact $long" ""
expect found "membership, mutant: accusing strangers are followed" \
    membership "-DFAULTS=1 -DMUTANT=1" "$safety $compact" ""
expect found "membership, mutant: identity without nonce" \
    membership "-DFAULTS=1 -DMUTANT=2" "$safety $compact" ""
if [ -n "$FULL" ]; then
    expect holds "membership: settles after any one fault" \
        membership "-DFAULTS=1" "$compact $long" "-a"
fi
finish
