#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Installs what the build and the tests need from Debian, saying it first. EXTRA:
# what else.
set -eu

packages="gcc libc6-dev binutils make pkg-config liburcu-dev libssl-dev libconfuse-dev
    libcunit1-dev clang-format iproute2 nftables util-linux procps spin ${EXTRA:-}"
missing=
for p in $packages; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null |
        grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

echo "Installing Debian packages:$missing"
run=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Not root and no sudo. As root, run: apt-get install$missing" >&2
        exit 1
    fi
    run=sudo
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $run apt-get update && $run env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $missing; } \
        >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
