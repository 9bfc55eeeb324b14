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
: "${VERSION:?is set by make install}" "${MAJOR:?is set by make install}"
: "${SA_VERSION:?is set by make install}" "${SA_MAJOR:?is set by make install}"

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

put 755 "$PREFIX/sbin" "$B/aisexec" "$B/keygen"
put 755 "$PREFIX/bin" "$B/testevs" "$B/testclm" "$B/testckpt" "$B/evsbench" \
    "$B/ckptbench" "$B/ckptbenchth"

# library NAME VERSION MAJOR: shared, static, and how to link with it.
library() {
    put 755 "$LIBDIR" "$B/$1.so.$2"
    ln -sf "$1.so.$2" "$DESTDIR$LIBDIR/$1.so.$3"
    ln -sf "$1.so.$3" "$DESTDIR$LIBDIR/$1.so"
    put 644 "$LIBDIR" "$B/$1.a"
    fill "api/$1.pc.in" "$LIBDIR/pkgconfig/$1.pc"
}
library libevs "$VERSION" "$MAJOR"
library libSaClm "$SA_VERSION" "$SA_MAJOR"
library libSaCkpt "$SA_VERSION" "$SA_MAJOR"

for page in doc/man/*.[0-9]; do
    put 644 "$MANDIR/man${page##*.}" "$page"
done
# `man evs_join` is `man evs`.
for page in libevs:evs.3 libSaClm:saClm.3 libSaCkpt:saCkpt.3; do
    sed -n 's/^ *\([a-zA-Z0-9_]*\);$/\1/p' "api/${page%:*}.map" |
        while read -r function; do
            ln -sf "${page#*:}" "$DESTDIR$MANDIR/man3/$function.3"
        done
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
