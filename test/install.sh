#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copies what `make all` built to its places below $DESTDIR; run by `make
# install`. An openais.conf that is there already is left alone. `install.sh
# headers`: the headers alone.
set -eu
cd "$(dirname "$0")/.."
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
LIBDIR=${LIBDIR:-$PREFIX/lib}
SYSCONFDIR=${SYSCONFDIR:-/etc}
UNITDIR=${UNITDIR:-$PREFIX/lib/systemd/system}
MANDIR=${MANDIR:-$PREFIX/share/man}
B=${B:-build/plain}

# put MODE TARGET FILE...: into the folder TARGET.
put() {
    local mode=$1 target=$DESTDIR$2
    shift 2
    install -d -m 755 "$target"
    install -m "$mode" "$@" "$target"
}

# fill FILE TARGET: a template, its @NAMES@ filled in.
fill() {
    install -d -m 755 "$DESTDIR$(dirname "$2")"
    sed -e "s|@PREFIX@|$PREFIX|g" -e "s|@LIBDIR@|$LIBDIR|g" \
        -e "s|@SYSCONFDIR@|$SYSCONFDIR|g" -e "s|@VERSION@|$VERSION|g" \
        "$1" >"$DESTDIR$2"
    chmod 644 "$DESTDIR$2"
}

(cd api && find corosync openais -name '*.h' 2>/dev/null || true) |
    while read -r header; do
        put 644 "$PREFIX/include/$(dirname "$header")" "api/$header"
    done
[ "${1:-}" = headers ] && exit
: "${VERSION:?is set by make install}" "${LIBRARIES:?is set by make install}"

put 755 "$PREFIX/sbin" "$B/aisexec" "$B/keygen"
put 755 "$PREFIX/bin" "$B/testevs" "$B/testclm" "$B/testckpt" "$B/evsbench" \
    "$B/ckptbench" "$B/ckptbenchth"

for page in doc/man/*.[0-9]; do
    put 644 "$MANDIR/man${page##*.}" "$page"
done

# library FOLDER NAME VERSION: shared, static, how to link with it, and its
# functions' manual pages: `man evs_join` is `man evs`.
library() {
    local major=${3%%.*} page=${2#lib}
    put 755 "$LIBDIR" "$B/$2.so.$3"
    ln -sf "$2.so.$3" "$DESTDIR$LIBDIR/$2.so.$major"
    ln -sf "$2.so.$major" "$DESTDIR$LIBDIR/$2.so"
    put 644 "$LIBDIR" "$B/$2.a"
    fill "api/$1/$2.pc.in" "$LIBDIR/pkgconfig/$2.pc"
    sed -n 's/^ *\([a-zA-Z0-9_]*\);$/\1/p' "api/$1/$2.map" |
        while read -r function; do
            ln -sf "${page,}.3" "$DESTDIR$MANDIR/man3/$function.3"
        done
}
for library in $LIBRARIES; do
    IFS=: read -r folder name version <<<"$library"
    library "$folder" "$name" "$version"
done

conf=$SYSCONFDIR/ais/openais.conf
if [ -e "$DESTDIR$conf" ]; then
    echo "kept $DESTDIR$conf"
else
    put 644 "$SYSCONFDIR/ais" config/openais.conf
fi
fill config/aisexec.service.in "$UNITDIR/aisexec.service"

echo "installed openais $VERSION below ${DESTDIR:-/}"
if [ -z "$DESTDIR" ]; then
    ldconfig 2>/dev/null || true
    echo "next: edit $conf, make a key with $PREFIX/sbin/keygen," \
        "copy it to every node, start aisexec"
    getent group ais >/dev/null ||
        echo "clients that are not root need the group ais: groupadd -r ais"
fi
