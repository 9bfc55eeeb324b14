# SPDX-License-Identifier: BSD-3-Clause
# keygen, as a user meets it. Read by run.sh, which has $B, $tmp and the counts.

ok() {
    if "${@:2}"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED keygen, headers: $1"
        cat "$tmp/out" "$tmp/err" 2>/dev/null
    fi
}

keygen() {
    "$B/keygen" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
}

says() { grep -qF -- "$1" "$tmp/out" "$tmp/err"; }
mode_is() { [ "$(stat -c '%a %s' "$1")" = "$2" ]; }
only_file() { [ "$(ls -A "$1")" = "$2" ]; }
is_status() { [ "$status" = "$1" ]; }
absent() { [ ! -e "$1" ]; }
not() { ! "$@"; }

keygen_story() {
    local dir=$tmp/etc/ais
    mkdir "$tmp/etc"
    (umask 0277 && exec "$B/keygen" -o "$dir/authkey" >"$tmp/out" 2>"$tmp/err")
    status=$?
    ok "makes a key" is_status 0
    ok "says who it is" says "Openais Authentication key generator."
    ok "says what it gathers" says "Gathering 1024 bits for key"
    ok "says where it writes" says "Writing openais key to $dir/authkey."
    ok "128 bytes, mode 0400, whatever the umask" mode_is "$dir/authkey" \
        "400 128"
    ok "the directory, mode 0755" [ "$(stat -c %a "$dir")" = 755 ]
    ok "leaves nothing beside it" only_file "$dir" authkey
    cp "$dir/authkey" "$tmp/first"

    keygen -o "$dir/authkey"
    ok "never overwrites unasked" is_status 1
    ok "says that it exists" says "exists and is not overwritten"
    ok "the old key is whole" cmp -s "$dir/authkey" "$tmp/first"
    keygen -f -o "$dir/authkey"
    ok "overwrites when asked" is_status 0
    ok "with another key" not cmp -s "$dir/authkey" "$tmp/first"
    ok "mode 0400 again" mode_is "$dir/authkey" "400 128"

    ln -s nowhere "$dir/link"
    keygen -o "$dir/link"
    ok "follows no dangling link" is_status 1
    rm "$dir/link"

    keygen -o "$tmp/no/such/authkey"
    ok "makes one level of directories only" is_status 1
    ok "says which is missing" says "$tmp/no/such"
    keygen -f -o "$dir"
    ok "does not replace a directory" is_status 1
    ok "leaves nothing after that" only_file "$tmp/etc" ais

    keygen --version
    ok "--version" is_status 0
    keygen -h
    ok "-h" says "usage: keygen"
    keygen --nonsense
    ok "unknown option" is_status 2
    keygen word
    ok "unexpected word" is_status 2
}

# A file system without room for the key: nothing may be left of it.
keygen_full_disk() {
    local full=$tmp/full
    mkdir "$full"
    if ! mount -t tmpfs -o size=4k,mode=755 none "$full" 2>/dev/null; then
        echo "SKIP keygen on a full disk: cannot mount a tmpfs here"
        skipped=$((skipped + 1))
        return
    fi
    head -c 100000 /dev/zero >"$full/filler" 2>/dev/null
    keygen -o "$full/authkey"
    ok "full disk: exit 1" is_status 1
    ok "full disk: says so" says "No space left on device"
    ok "full disk: leaves nothing" only_file "$full" filler
    keygen -o "$full/ais/authkey"
    ok "full disk: a new directory goes again" absent "$full/ais"
    umount "$full"
}

# A write that fails in another way (the file size limit).
keygen_limit() {
    if [ "${SAN:-}" = thread ]; then
        echo "SKIP keygen at the file size limit: the thread sanitizer itself" \
            "writes a file before main()"
        skipped=$((skipped + 1))
        return
    fi
    { (ulimit -f 0 && "$B/keygen" -o "$tmp/limited" 2>&1
        echo "status $?") | cat; } >"$tmp/out"
    ok "a write that fails is a failure" says "status 1"
    ok "and says why" says "File too large"
    ok "and leaves no key" absent "$tmp/limited"
}

if [ -x "$B/keygen" ]; then
    keygen_story
    keygen_full_disk
    keygen_limit
else
    echo "SKIP keygen: $B/keygen is not built"
    skipped=$((skipped + 1))
fi
