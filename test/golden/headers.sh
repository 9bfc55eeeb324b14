# SPDX-License-Identifier: BSD-3-Clause
# The headers, as `make install` puts them and as programs of all ages include
# them: each alone, in C and C++, and the order of 2005. Read by run.sh, after
# keygen.sh.

# compiles NAME COMPILER OPTIONS...: what stands in $tmp/program.
compiles() {
    local name=$1
    shift
    "$@" -Wall -Wextra -Wconversion -Werror -pedantic -fsyntax-only \
        -I"$include" -I"$include/openais" "$tmp/program" \
        >"$tmp/out" 2>"$tmp/err"
    ok "$name" [ $? = 0 ]
}

# includes HEADER...: a program that does only that.
includes() {
    printf '#include <%s>\n' "$@" >"$tmp/program"
    echo 'int main(void) { return 0; }' >>"$tmp/program"
}

alone() {
    local header
    while read -r header; do
        includes "$header"
        compiles "$header in C" "${CC:-cc}" -std=c99 -x c
        if [ -n "$cxx" ]; then
            compiles "$header in C++" "$cxx" -x c++
        fi
    done < <(cd "$include" && find . -name '*.h' ! -name old_evs.h |
        sed 's,^\./,,')
}

# A program of 2005 that checks results of both kinds.
old_program() {
    cat >"$tmp/program" <<'C'
#include <ais_types.h>
#include <saClm.h>
#include <saCkpt.h>
int main(void)
{
    SaErrorT old = SA_OK, last = SA_ERR_BAD_FLAGS, system = SA_ERR_SYSTEM;
    SaVersionT version = {'B', 1, 1};
    SaNameT name = {4, "name"};
    SaCkptHandleT handle;
    SaAisErrorT error = saCkptInitialize(&handle, 0, &version);
    (void)name;
    return old == 1 && last == 28 && system == 17 && error == SA_AIS_OK;
}
C
    compiles "a program of 2005" "${CC:-cc}" -std=c99 -x c \
        -I"$include/openais/a01"
    includes saAis.h a01/ais_types.h ais_types.h saClm.h openais/saCkpt.h
    compiles "types of both ages, twice" "${CC:-cc}" -std=c99 -x c \
        -I"$include/openais/a01"
}

headers_story() {
    local include=$tmp/root/usr/include cxx
    cxx=$(command -v "${CXX:-c++}")
    if [ -z "$cxx" ]; then
        echo "SKIP headers in C++: no compiler"
        skipped=$((skipped + 1))
    fi
    DESTDIR=$tmp/root PREFIX=/usr LIBDIR=/usr/lib SYSCONFDIR=/etc \
        test/install.sh headers \
        >"$tmp/out" 2>"$tmp/err"
    ok "are installed" [ -e "$include/openais/saCkpt.h" ]
    alone
    old_program
}

headers_story
