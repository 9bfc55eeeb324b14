#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What a compiler does not check: which folder includes which, that the core is
# pure (by what its objects ask the linker for), licence lines, no `volatile`,
# no endless files and functions, the format of clang-format. Each check is
# first shown a planted fault.
set -u
cd "$(dirname "$0")/.."
B=${B:-build/plain}
SAN=${SAN:-}
file_lines_max=1200
function_lines_max=150
format_version=14
passed=0 failed=0 skipped=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# --- the rules ----------------------------------------------------------------

# folder: what it may include beside itself. A folder that is not listed may
# include all. api/library is the folder of any client library: none includes
# another, and what they share includes none of them. daemon/server/protocol.*
# drives the protocol thread: there the core, the network, the seal and the loop
# meet; report.* tells the log of them all.
rules='
daemon/server/protocol:any
daemon/base:
daemon/totem:daemon/base
daemon/group:daemon/base daemon/totem
daemon/service:daemon/base daemon/totem daemon/group ipc
daemon/net:daemon/base
daemon/crypto:daemon/base
daemon/loop:daemon/base
daemon/server:daemon/base daemon/totem daemon/group daemon/service ipc
ipc:
api:ipc
api/library:api ipc
config:daemon/base
keys:
'

# What a pure object may ask for beside the pure objects and check_failed().
pure='^(mem(cpy|move|set|cmp|chr)|str(len|nlen|cmp|ncmp)|calloc|malloc|free)$'
pure_compiler='^(_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__mem[a-z]*_chk)$'
pure_sanitizer='^(__(asan|ubsan|tsan|lsan|sanitizer|sancov|msan)_|_Unwind_)'

# --- reading C ----------------------------------------------------------------

# One pass over the C files below $1 (names relative to it): a line per finding,
#   include FILE LINE TARGET | volatile FILE LINE | spdx FILE
#   file LINES FILE | function LINES FILE:LINE NAME
survey() {
    (cd "$1" && find . \( -name build -o -name .git \) -prune -o \
        -name '*.[ch]' -type f -print | sed 's,^\./,,' | sort |
        xargs -r awk '
    function file_done() {
        if (file == "") return
        print "file", lines, file
        if (!spdx) print "spdx", file
    }
    FNR == 1 {
        file_done()
        file = FILENAME; spdx = 0; comment = 0; start = 0; head = ""
    }
    {
        lines = FNR
        if (FNR <= 2 && /SPDX-License-Identifier: BSD-3-Clause/) spdx = 1
        if (!comment && match($0, /^[ \t]*#[ \t]*include[ \t]*["<][^">]*/)) {
            target = substr($0, RSTART, RLENGTH)
            quoted = target ~ /"/
            sub(/.*["<]/, "", target)
            if (quoted) print "include", file, FNR, target
            else if (target ~ /^(corosync|openais)\//)
                print "include", file, FNR, "<" target
            next
        }
        code = $0
        if (comment) {
            end = index(code, "*/")
            code = end ? substr(code, end + 2) : ""
            comment = !end
        }
        gsub(/\047\\?.\047/, "0", code)
        gsub(/"([^"\\]|\\.)*"/, "0", code)
        sub(/\/\/.*/, "", code)
        gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", code)
        if (sub(/\/\*.*/, "", code)) comment = 1

        plain = code
        # What C itself demands of a signal handler, and of inline assembly.
        gsub(/volatile[ \t]+sig_atomic_t/, "", plain)
        gsub(/(asm|__asm__)[ \t]+(__)?volatile(__)?/, "", plain)
        if (plain ~ /(^|[^A-Za-z0-9_])(__)?volatile(__)?([^A-Za-z0-9_]|$)/)
            print "volatile", file, FNR
        # Braces of functions stand at the beginning of a line.
        if (code ~ /^{/) { start = FNR; name = head }
        if (code ~ /^}/ && start) {
            print "function", FNR - start + 1, file ":" start, name
            start = 0
        }
        if (match(code, /[A-Za-z_][A-Za-z0-9_]*\(/) && code ~ /^[A-Za-z_]/)
            head = substr(code, RSTART, RLENGTH - 1)
    }
    END { file_done() }') 2>/dev/null
}

# The folder of a path as the rules name it.
folder() {
    case $1 in
    daemon/server/protocol.* | daemon/server/report.*)
        echo "${2:-daemon/server/protocol}" ;;
    daemon/*/*) local rest=${1#daemon/}; echo "daemon/${rest%%/*}" ;;
    api/corosync/* | api/openais/*) echo api ;;
    api/*/*) local library=${1#api/}; echo "api/${library%%/*}" ;;
    */*) echo "${1%%/*}" ;;
    *) echo . ;;
    esac
}

# Faults in the includes of a survey (stdin), of the tree at $1.
include_faults() {
    local kind file line target from to rule allowed
    while read -r kind file line target; do
        [ "$kind" = include ] || continue
        case $target in
        '<'*) # ours, or that of an installed corosync
            target=api/${target#<}
            [ -e "$1/$target" ] || continue
            ;;
        ../*) target=$(dirname "$(dirname "$file")")/${target#../} ;;
        daemon/* | ipc/* | api/* | config/* | keys/* | test/* | perf/*) ;;
        */*) [ -e "$1/api/$target" ] && target=api/$target ;;
        *) target=$(dirname "$file")/$target ;;
        esac
        if [ ! -e "$1/$target" ]; then
            echo "$file:$line: includes $target, which does not exist"
            continue
        fi
        from=$(folder "$file") to=$(folder "$target" daemon/server)
        [ "$from" = "$to" ] && continue
        rule=$from
        case $from in api/*) rule=api/library ;; esac
        allowed=$(sed -n "s,^$rule:,,p" <<<"$rules")
        grep -q "^$rule:" <<<"$rules" && [ "$allowed" != any ] || continue
        case " $allowed " in
        *" $to "*) ;;
        *) echo "$file:$line: $from may not include $to ($target)" ;;
        esac
    done
}

# Faults in what the objects named as arguments ask for.
purity_faults() {
    local allow=$pure'|'$pure_compiler'|^check_failed$'
    [ -n "$SAN" ] && allow=$allow'|'$pure_sanitizer
    nm -A --defined-only "$@" 2>/dev/null | awk '{ print $NF }' |
        sort -u >"$tmp/defined"
    nm -A -u "$@" 2>/dev/null | awk '{ print $NF, $1 }' | sort -u |
        awk -v allow="$allow" -v defined="$tmp/defined" '
        BEGIN { while ((getline s <defined) > 0) own[s] = 1 }
        !($1 in own) && $1 !~ allow {
            sub(/:$/, "", $2); print $2 ": not pure: asks for " $1 }'
}

# Faults in what the tree at $1 says of the configuration: keys that are named
# but do not exist, that have no entry in their section of openais.conf(5), and
# entries of no key. Named is what follows "section {", what is "of
# openais.conf(5)", and, where users read, what ends with _max as many keys do.
key_faults() {
    local keys=$tmp/keys
    sed -nE 's/^    \{"([a-z]+)", "([a-z_]+)",.*/\1 \2/p' "$1/config/schema.c" |
        sort >"$keys"
    [ -s "$keys" ] || echo "$1/config/schema.c: no keys found"
    awk '$1 == ".SH" { section = $2 ~ /SECTION/ ? $3 : ""; gsub(/"/, "", section) }
        section != "" && last == ".TP" && $1 == ".BR" { print section, $2 }
        { last = $1 }' "$1/doc/man/openais.conf.5" | sort >"$tmp/entries"
    comm -23 "$keys" "$tmp/entries" |
        sed 's,.*,doc/man/openais.conf.5: no entry of &,'
    comm -13 "$keys" "$tmp/entries" |
        sed 's,.*,doc/man/openais.conf.5: entry of no key: &,'
    (cd "$1" && find README.md doc api daemon config test perf \
        \( -name '*.md' -o -name '*.[ch1-9]' -o -name '*.conf' \) \
        ! -path 'test/golden/*' ! -path 'test/unit/test_config.c' \
        -type f | xargs awk -v keys="$keys" '
    BEGIN {
        while ((getline line <keys) > 0) {
            split(line, k, " "); known[line] = any[k[2]] = 1; is[k[1]] = 1
        }
        is["network"] = 1
        any["rmem_max"] = any["wmem_max"] = 1 # of the kernel
    }
    function fault(what) { print FILENAME ":" FNR ": names no key: " what }
    {
        rest = $0
        while (match(rest, /[a-z]+ \{ [a-z_]+(, [a-z_]+)*( *[:=][^}]*)? \}/)) {
            text = substr(rest, RSTART, RLENGTH)
            rest = substr(rest, RSTART + RLENGTH)
            section = text; sub(/ .*/, "", section)
            if (!is[section]) continue
            if (section == "network") section = "totem"
            sub(/^[a-z]+ \{ /, "", text); sub(/ *[:=].*/, "", text)
            sub(/ \}$/, "", text)
            n = split(text, names, ", ")
            for (i = 1; i <= n; i++)
                if (!known[section " " names[i]])
                    fault(section " { " names[i] " }")
        }
        if (match($0, /[a-z_]+ of openais\.conf\(5\)/)) {
            text = substr($0, RSTART, RLENGTH); sub(/ .*/, "", text)
            if (!any[text]) fault(text)
        }
        if (FILENAME !~ /^(README|doc|api\/(openais|corosync))/) next
        rest = $0
        while (match(rest, /[a-z_]*_max([^a-z_]|$)/)) {
            text = substr(rest, RSTART, RLENGTH)
            sub(/[^a-z_]$/, "", text)
            rest = substr(rest, RSTART + RLENGTH)
            if (!any[text]) fault(text)
        }
    }')
}

# C files of the tree at $1 that clang-format would change.
format_faults() {
    (cd "$1" && find . \( -name build -o -name .git \) -prune -o \
        -name '*.[ch]' -type f -print | sort |
        xargs clang-format --dry-run 2>&1 |
        sed -n 's,^\./\([^ :]*\):[0-9]*:[0-9]*: warning: .*,\1: run make format,p' |
        uniq)
}

# --- reporting ----------------------------------------------------------------

# verdict NAME FAULTS: nothing in FAULTS is a pass.
verdict() {
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1:"
        echo "$2"
    fi
}

# planted NAME FAULTS TEXT: the planted fault must be among them, and alone.
planted() {
    if [ "$(grep -cF -- "$3" <<<"$2")" = 1 ] &&
        [ "$(wc -l <<<"$2")" = 1 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED self-test: $1: expected '$3', found: ${2:-nothing}"
    fi
}

too_long() { # KIND MAX, a survey on stdin
    awk -v kind="$1" -v max="$2" '$1 == kind && $2 > max {
        print $3, $4 ": " $2 " lines, at most " max }'
}

# --- the checks, on planted faults, then on the tree --------------------------

self_test() {
    local t=$tmp/tree s=$tmp/planted licence
    licence='/* SPDX-License-Identifier: BSD-3-Clause */'
    mkdir -p "$t/daemon/totem" "$t/daemon/net" "$t/daemon/base"
    for f in base/a net/n totem/own; do echo "$licence" >"$t/daemon/$f.h"; done
    { echo "$licence"
      echo '#include "daemon/base/a.h"'
      echo '#include "own.h"'
      echo '/* #include "daemon/net/n.h"'
      echo ' * volatile */ static const char *s = "volatile /*";'
      echo '#include "daemon/net/n.h"'
      echo 'int x; // volatile'
      echo 'static volatile int bad;'
      echo 'static int longest(int a)'
      echo '{'
      for _ in $(seq 150); do echo '    a++;'; done
      echo '    return a;'
      echo '}'
    } >"$t/daemon/totem/t.c"
    { echo 'int nothing;'; seq -f '// %g' 1300; } >"$t/daemon/base/b.c"
    survey "$t" >"$s"
    planted "include" "$(include_faults "$t" <"$s")" \
        "t.c:6: daemon/totem may not include daemon/net"
    mkdir -p "$t/api/one" "$t/api/two"
    { echo "$licence"; echo '#include "api/two/b.h"'; } >"$t/api/one/a.c"
    { echo "$licence"; echo '#include "api/two/b.h"'; } >"$t/api/shared.c"
    echo "$licence" >"$t/api/two/b.h"
    survey "$t" | grep 'include api' >"$tmp/libraries"
    planted "library" "$(grep one/ "$tmp/libraries" | include_faults "$t")" \
        "api/one/a.c:2: api/one may not include api/two"
    planted "shared" "$(grep shared "$tmp/libraries" | include_faults "$t")" \
        "api/shared.c:2: api may not include api/two"
    rm -r "$t/api"
    planted "licence" "$(grep '^spdx' "$s")" "daemon/base/b.c"
    planted "volatile" "$(grep '^volatile' "$s")" "daemon/totem/t.c 8"
    planted "long file" "$(too_long file $file_lines_max <"$s")" \
        "daemon/base/b.c : 1301 lines"
    planted "long function" "$(too_long function $function_lines_max <"$s")" \
        "daemon/totem/t.c:10 longest: 153 lines"

    mkdir -p "$t"/{config,doc/man,api/openais,test,perf}
    echo '    {"ipc", "message_max", SCHEMA_COUNT,' >"$t/config/schema.c"
    { echo '.SH "SECTION ipc"'; echo .TP; echo '.BR message_max " (bytes)"'
      echo '.BR of " not an entry"'; } >"$t/doc/man/openais.conf.5"
    echo 'See ipc { message_max } and cluster { other }.' >"$t/README.md"
    echo '/* message_size_max of openais.conf(5) */' >"$t/perf/k.h"
    planted "key of openais.conf" "$(key_faults "$t")" \
        "perf/k.h:1: names no key: message_size_max"
    rm "$t/perf/k.h"
    echo 'ipc { message_max, ring: 7 }' >"$t/README.md"
    planted "key in its section" "$(key_faults "$t")" \
        "README.md:1: names no key: ipc { ring }"
    echo 'at most message_size_max bytes' >"$t/README.md"
    planted "key by its name" "$(key_faults "$t")" \
        "README.md:1: names no key: message_size_max"
    echo >"$t/README.md"
    echo '    {"ipc", "spin", SCHEMA_COUNT,' >>"$t/config/schema.c"
    planted "key without an entry" "$(key_faults "$t")" "no entry of ipc spin"

    { echo '#include <string.h>'; echo '#include <time.h>'
      echo 'long now(void *p); int helper(void);'
      echo 'long now(void *p) { memset(p, 0, (unsigned long)helper());'
      echo '    return time(p); }'; } >"$t/impure.c"
    echo 'int helper(void); int helper(void) { return 4000; }' >"$t/helper.c"
    if (cd "$t" && "${CC:-cc}" -O1 -c impure.c helper.c 2>/dev/null); then
        planted "purity" "$(purity_faults "$t/impure.o" "$t/helper.o")" \
            "asks for time"
    else
        echo "SKIP self-test of the purity check: cannot compile"
        skipped=$((skipped + 1))
    fi
}

check_tree() {
    survey . >"$tmp/survey"
    verdict "includes" "$(include_faults . <"$tmp/survey")"
    verdict "licence line missing" "$(grep '^spdx' "$tmp/survey")"
    verdict "licence line missing in scripts" "$(find . \
        \( -name build -o -name .git \) -prune -o -name '*.sh' -type f \
        -print0 | xargs -0 grep -L 'SPDX-License-Identifier: BSD-3-Clause')"
    verdict "volatile" "$(grep '^volatile' "$tmp/survey")"
    verdict "files too long" "$(too_long file $file_lines_max <"$tmp/survey")"
    verdict "functions too long" \
        "$(too_long function $function_lines_max <"$tmp/survey")"
}

# Another version of clang-format breaks lines in other places.
check_format() {
    local t=$tmp/format
    if ! clang-format --version 2>/dev/null |
        grep -q "version $format_version\."; then
        echo "SKIP format: no clang-format of version $format_version"
        skipped=$((skipped + 1))
        return
    fi
    mkdir "$t"
    cp .clang-format "$t"
    printf 'int  a;\nint  b;\n' >"$t/wrong.c"
    printf 'int a;\n' >"$t/right.c"
    planted "format" "$(format_faults "$t")" "wrong.c: run make format"
    verdict "format" "$(format_faults .)"
}

check_keys() {
    verdict "keys of the configuration" "$(key_faults .)"
}

check_purity() {
    local sources objects= o
    sources=$(ls daemon/{totem,group,service}/*.c 2>/dev/null)
    for o in $sources; do
        [ -f "$B/${o%.c}.o" ] && objects="$objects $B/${o%.c}.o"
    done
    if [ "$(wc -w <<<"$objects")" != "$(wc -w <<<"$sources")" ] ||
        [ -z "$objects" ]; then
        echo "SKIP purity: not every object of the core is below $B"
        skipped=$((skipped + 1))
        return
    fi
    verdict "purity of the core" "$(purity_faults $objects)"
}

longest() {
    echo "The longest files and functions, in lines:"
    for kind in file function; do
        grep "^$kind " "$tmp/survey" | sort -k2,2nr | head -n 10 |
            awk '{ printf "%6d  %s %s\n", $2, $3, $4 }'
    done
}

self_test
check_tree
check_format
check_keys
check_purity
longest
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
