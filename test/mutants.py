#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Mutants: the core broken in one place at a time. The tests must notice.

Those of test/mutants.list were thought of by people: `make mutants`. The others
are made mechanically: `make mutants ALL=1`. Such a one has a name, FILE:FUNCTION:
OPERATOR:ORDINAL, the ordinal counting the places of that operator in that
function, and an id that changes with the text of its line. The operators:

  turn    a comparison says the opposite     < to >=, == to !=
  edge    a boundary moves by one            < to <=, > to >=
  logic   && to ||, || to &&
  sum     + to -, += to -=, ++ to --, and back
  const   a number is one more; true to false, false to true
  true    a condition is made true (not that of a loop)
  false   a condition is made false
  delete  an assignment or a call is left out

Not touched: what stands in CHECK(), declarations without a value, counters of
the statistics, texts. What does not compile, or compiles to the code of the
original or of another mutant, is no mutant.

Each mutant is tried with its tests, the quickest first. It is killed when one of
them fails, crashes or takes far longer than it should. One that lives is looked
up in test/mutants.judged. The run fails when that is not true any more: a mutant
lives and is not there, or one that is there does not exist, or its line has
changed, or a test can tell it after all.

  ONLY=PATTERNS those whose names match one      SAMPLE=n  n of them, always the
  LIST=1        only tell what there is                    same ones; SEED: others
  JOBS=n        at a time (1 per processor)      SEEDS=a,b scenarios, at first and
                                                           if nothing else helped
"""

import collections
import concurrent.futures
import fnmatch
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.environ.get("B", "build/plain")
LISTED, JUDGED = "test/mutants.list", "test/mutants.judged"
SEEDS = [int(n) for n in os.environ.get("SEEDS", "60,2000").split(",")]
LISTED_SEEDS = 4000
KILLED_LEAST = 95  # per cent of those not judged equivalent

# --- what is tried on which file ---------------------------------------------

# The tests of a file, quickest first: fuzzers on their corpora, unit tests, the
# simulator; that once more with more scenarios at the end.
TOTEM = ["fuzz_totem", "test_links", "test_links_told", "test_totem_faults",
         "test_totem_recovery", "test_init_failure", "test_totem", "sim"]
REPLICA = ["test_replica_told", "test_replica_hostile", "test_replica", "test_init_failure", "sim"]
CKPT = ["fuzz_ckpt", "sim", "test_init_failure", "test_ckpt_service"]
FILES = {
    "daemon/totem/set.c": TOTEM,
    "daemon/totem/store.c": TOTEM,
    "daemon/totem/wire.c": ["test_wire", "fuzz_packet"] + TOTEM,
    "daemon/totem/totem.c": TOTEM,
    "daemon/totem/operational.c": TOTEM,
    "daemon/totem/gather.c": TOTEM,
    "daemon/totem/accuse.c": ["test_accuse"] + TOTEM,
    "daemon/totem/links.c": TOTEM,
    "daemon/totem/commit.c": TOTEM,
    "daemon/totem/recovery.c": TOTEM,
    "daemon/totem/deliver.c": TOTEM,
    "daemon/group/group.c": ["fuzz_group", "test_group", "test_init_failure", "sim"],
    "daemon/service/replica.c": REPLICA,
    "daemon/service/replica_backlog.c": REPLICA,
    "daemon/service/replica_wire.c": REPLICA,
    "daemon/service/ckpt_apply.c": CKPT,
    "daemon/service/ckpt_piece.c": CKPT,
    "daemon/service/clm.c": ["fuzz_clm", "test_clm_service", "test_init_failure"],
    "daemon/service/evs.c": ["test_evs_service", "test_init_failure"],
}

# --- reading C ----------------------------------------------------------------

NOT_CODE = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    r"|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.S | re.M)
TOKEN = re.compile(
    r"[A-Za-z_]\w*|0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*"
    r"|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\S")
HEAD = re.compile(r"^[A-Za-z_].*?([A-Za-z_]\w*)\(", re.M)
OPENING, CLOSING = "([{", ")]}"


def blanked(text):
    """The text with everything that is not code as blanks."""
    return NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


class Token:
    def __init__(self, match, offset):
        self.text = match.group()
        self.start, self.end = match.start() + offset, match.end() + offset


def functions(code):
    """Name and tokens of the body of each function. Braces of functions stand
    at the beginning of a line."""
    for m in re.finditer(r"^{\n.*?^}", code, re.S | re.M):
        head = [h for h in HEAD.finditer(code, 0, m.start())][-1]
        body = [Token(t, 0) for t in
                TOKEN.finditer(code, m.start() + 1, m.end() - 1)]
        yield head.group(1), body


def closing(tokens, i):
    """Index of the bracket that closes the one at `i`."""
    depth = 0
    while True:
        depth += tokens[i].text in OPENING
        depth -= tokens[i].text in CLOSING
        if depth == 0:
            return i
        i += 1


def until(tokens, i, text):
    """Index of the next `text` from `i` on, outside of brackets."""
    while tokens[i].text != text:
        i = closing(tokens, i) + 1 if tokens[i].text in OPENING else i + 1
    return i


def statements(tokens):
    """(kind, tokens) for each condition and each simple statement."""
    i = 0
    while i < len(tokens):
        word = tokens[i].text
        if word in ("if", "while", "switch"):
            end = closing(tokens, i + 1)
            yield word, tokens[i + 2:end]
            i = end + 1
        elif word == "for":
            end = closing(tokens, i + 1)
            first = until(tokens, i + 2, ";")
            second = until(tokens, first + 1, ";")
            yield "plain", tokens[i + 2:first]
            yield "while", tokens[first + 1:second]
            yield "plain", tokens[second + 1:end]
            i = end + 1
        elif word in ("case", "default"):
            i = until(tokens, i, ":") + 1
        elif word in ("{", "}", ";", "else", "do"):
            i += 1
        else:
            end = until(tokens, i, ";")
            yield "statement", tokens[i:end]
            i = end + 1


def is_name(token):
    return re.match(r"[A-Za-z_]", token.text) is not None


def is_effect(tokens):
    """An assignment or a call, and not a declaration."""
    first, second = tokens[0].text, tokens[1].text if len(tokens) > 1 else ""
    if first in ("*", "++", "--"):
        return True
    return is_name(tokens[0]) and first not in ("return", "goto") and (
        second in ("(", "[", ".", "->", "++", "--") or second.endswith("="))


def is_skipped(tokens):
    words = [t.text for t in tokens]
    if words[:1] in (["CHECK"], ["_Static_assert"]):
        return True
    # `operations` is what a replica tells the others.
    return any(w == "stats" and words[i + 2:i + 3] != ["operations"]
               for i, w in enumerate(words))


# --- making mutants -----------------------------------------------------------

TURN = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}
EDGE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
LOGIC = {"&&": "||", "||": "&&"}
SUM = {"+": "-", "-": "+", "+=": "-=", "-=": "+=", "++": "--", "--": "++"}
CONST = {"true": "false", "false": "true"}
ENDS_OF_CONDITION = {"=", "return", ",", "?", ":", "+=", "-=", "|=", "&="}


def one_more(number):
    digits, suffix = re.match(r"(0[xX][0-9a-fA-F]+|\d+)(\w*)", number).groups()
    return str(int(digits, 0) + 1) + suffix


def is_operand(token):
    return is_name(token) and token.text != "return" or \
        token.text[0].isdigit() or token.text in ")]"


def token_changes(tokens):
    for i, t in enumerate(tokens):
        before = tokens[i - 1].text if i > 0 else ""
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        for operator, table in (("turn", TURN), ("edge", EDGE),
                                ("logic", LOGIC), ("const", CONST)):
            if t.text in table:
                yield operator, t.start, t.end, table[t.text]
        if t.text in SUM and (len(t.text) > 1 or
                              i > 0 and is_operand(tokens[i - 1])):
            yield "sum", t.start, t.end, SUM[t.text]
        # {0} is how a struct is emptied.
        if t.text[0].isdigit() and (before, after) != ("{", "}"):
            yield "const", t.start, t.end, one_more(t.text)


def choice_conditions(tokens):
    """What stands before each `?`."""
    for end, t in enumerate(tokens):
        if t.text != "?":
            continue
        start, depth = end, 0
        while start > 0:
            text = tokens[start - 1].text
            depth += text in CLOSING
            depth -= text in OPENING
            if depth < 0 or depth == 0 and text in ENDS_OF_CONDITION:
                break
            start -= 1
        yield tokens[start:end]


def changes(kind, tokens):
    """(operator, start, end, new text) for each change of a statement."""
    if not tokens or is_skipped(tokens):
        return
    yield from token_changes(tokens)
    conditions = list(choice_conditions(tokens))
    if kind in ("if", "while"):
        conditions.append(tokens)
    for c in conditions:
        yield "false", c[0].start, c[-1].end, "0"
        if c is not tokens or kind == "if":
            yield "true", c[0].start, c[-1].end, "1"
    if kind == "statement" and is_effect(tokens):
        yield "delete", tokens[0].start, tokens[-1].end, ""


class Mutant:
    """One changed file. `tests`: (test, scenarios), in this order."""

    def __init__(self, name, path, source, line, old, new):
        self.name, self.path, self.source = name, path, source
        self.shown = " ".join(line.split())
        self.id = hashlib.sha256(self.shown.encode()).hexdigest()[:6]
        self.change = f"{path}: {self.shown}\n        " \
                      f"{' '.join(old.split())}  ->  {new or '(nothing)'}"
        self.tests = [(test, SEEDS[0]) for test in FILES[path]]
        if "sim" in FILES[path]:
            self.tests += [("sim", n) for n in SEEDS[1:]]


def mutants_of(path, text):
    short = path.removeprefix("daemon/")
    for function, body in functions(blanked(text)):
        ordinals = collections.Counter()
        for kind, tokens in statements(body):
            for operator, start, end, new in changes(kind, tokens):
                ordinals[operator] += 1
                name = f"{short}:{function}:{operator}:{ordinals[operator]}"
                line = text[text.rfind("\n", 0, start) + 1:text.find("\n", end)]
                yield Mutant(name, path, text[:start] + new + text[end:], line,
                             text[start:end], new)


def read(path):
    with open(path) as f:
        return f.read()


def mechanical():
    return [m for path in FILES for m in mutants_of(path, read(path))]


def listed():
    """Those of the list; its first lines say how it is written."""
    entry = re.compile(r"^(\w\S*) (\S+) (sim|unit)\n((?:[-+].*\n)+)", re.M)
    piece = re.compile(r"((?:-.*\n)+)((?:\+.*\n)+)")
    for name, path, noticed_by, pieces in entry.findall(read(LISTED)):
        source = read(path)
        for old, new in piece.findall(pieces):
            old, new = (re.sub(r"^.", "", t, flags=re.M).rstrip("\n")
                        for t in (old, new))
            if source.count(old) != 1:
                sys.exit(f"FAILED {name}: not once in {path}: {old}")
            source = source.replace(old, new)
        m = Mutant(name, path, source, name, old, new)
        if noticed_by == "unit":
            m.tests = [t for t in m.tests if t[0] != "sim"]
        else:
            m.tests = [("sim", SEEDS[0]), ("sim", LISTED_SEEDS)]
        yield m


# --- building and running one -------------------------------------------------


def object_of(path):
    return f"{BUILD}/{path.removesuffix('.c')}.o"


def program_of(test):
    return {"f": "fuzz/", "t": "unit/"}.get(test[0], "") + test


def compile_to(path, source, out):
    """A hash of the code, or None."""
    command = ["cc", "-std=c11", "-D_GNU_SOURCE", "-I.", "-Iapi", "-fPIC",
               "-O2", "-w", "-g0", "-ftrivial-auto-var-init=pattern", "-x", "c",
               "-c", "-o", out, "-"]
    source = f'#line 1 "{path}"\n{source}'
    if subprocess.run(command, input=source, text=True,
                      capture_output=True).returncode != 0:
        return None
    with open(out, "rb") as f:
        return hashlib.sha256(f.read()).digest()


def link_command(program):
    """What make would do, as words."""
    any_object = object_of("daemon/totem/set.c")
    dry = subprocess.run(["make", "-s", "-n", "V=1", "-W", any_object,
                          f"{BUILD}/{program}"],
                         capture_output=True, text=True).stdout
    for line in dry.replace("\\\n", " ").splitlines():
        if f"-o {BUILD}/{program} " in line:
            return line.split()
    sys.exit(f"FAILED {program}: make does not say how it is linked")


def arguments_of(test, scenarios):
    if test == "sim":
        return ["--count", str(scenarios), "--jobs", "1", "--first"]
    if test.startswith("fuzz_"):
        return ["test/fuzz/corpus/" + test.removeprefix("fuzz_")]
    return []


def passes(program, arguments, limit_s):
    """Runs a test up to its first failure; one that takes too long fails."""
    limits = [f"--cpu={limit_s}", "--core=0", f"--as={16 << 30}"]
    p = subprocess.Popen(["prlimit", *limits, program, *arguments],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         stdin=subprocess.DEVNULL, text=True, errors="replace",
                         start_new_session=True)
    late = threading.Timer(10 * limit_s, os.killpg, (p.pid, signal.SIGKILL))
    late.start()
    failed = any("FAILED" in line for line in p.stdout)
    if failed:
        os.killpg(p.pid, signal.SIGKILL)
    status = p.wait()
    late.cancel()
    return status == 0 and not failed


class Bench:
    """The tests: how each is linked, and how long it takes without a mutant."""

    def __init__(self, directory, plans):
        self.directory, self.seconds, self.links = directory, {}, {}
        for test in sorted({test for plan in plans for test, _ in plan}):
            begun = time.monotonic()
            if not passes(f"{BUILD}/{program_of(test)}",
                          arguments_of(test, SEEDS[0]), 600):
                sys.exit(f"FAILED {test} fails without a mutant")
            self.seconds[test] = time.monotonic() - begun
            self.links[test] = link_command(program_of(test))

    def limit_s(self, test, scenarios):
        share = scenarios / SEEDS[0] if test == "sim" else 1
        return int(4 * share * self.seconds[test]) + 4

    def object(self, mutant):
        return f"{self.directory}/{mutant.name.replace('/', '_')}.o"

    def link(self, test, mutant):
        """The test's program with the mutant's object in place of its own."""
        out = self.object(mutant) + "." + test
        words = {object_of(mutant.path): self.object(mutant),
                 f"{BUILD}/{program_of(test)}": out}
        subprocess.run([words.get(w, w) for w in self.links[test]], check=True)
        return out

    def killer(self, mutant):
        """The test that notices it, or None; and the seconds that took."""
        begun, programs, killer = time.monotonic(), {}, None
        for test, scenarios in mutant.tests:
            if test not in programs:
                programs[test] = self.link(test, mutant)
            if not passes(programs[test], arguments_of(test, scenarios),
                          self.limit_s(test, scenarios)):
                killer = test
                break
        for file in (self.object(mutant), *programs.values()):
            os.unlink(file)
        return killer, time.monotonic() - begun


# --- what was judged ----------------------------------------------------------


def judged_read(mutants):
    """By name: (verdict, reason). Ends with what is not true any more."""
    ids = {m.name: m.id for m in mutants}
    judged, wrong = {}, []
    for number, line in enumerate(read(JUDGED).splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        name, line_id, verdict, reason = line.split(" ", 3)
        if verdict not in ("equivalent", "lives") or not reason:
            wrong.append(f"{number}: neither equivalent nor lives, and why")
        elif ids.get(name) != line_id:
            wrong.append(f"{number}: {name} is gone, or its line is another "
                         f"({ids.get(name)}): judge it again")
        judged[name] = (verdict, reason)
    if wrong:
        sys.exit("\n".join(f"FAILED {JUDGED}:{w}" for w in wrong))
    return judged


# --- the run ------------------------------------------------------------------


class Report:
    def __init__(self, judged):
        self.judged, self.counts = judged, collections.Counter()
        self.faults, self.begun = 0, time.monotonic()

    def fault(self, text):
        self.faults += 1
        print("FAILED", text, flush=True)

    def not_one(self, mutant, what):
        self.counts[what] += 1
        if mutant.name in self.judged:
            self.fault(f"{mutant.name} is in {JUDGED}, but has {what}")

    def add(self, mutant, killer, took):
        verdict, reason = self.judged.get(mutant.name, ("", ""))
        if killer is not None:
            self.counts["killed"] += 1
            print(f"killed     {took:5.1f} s  {mutant.name}  {killer}",
                  flush=True)
            if verdict:
                self.fault(f"{mutant.name} is in {JUDGED}, but is killed")
            return
        self.counts[verdict or "lives"] += 1
        if verdict:
            print(f"{verdict:10} {took:5.1f} s  {mutant.name}  {reason}",
                  flush=True)
        else:
            self.fault(f"{mutant.name} {mutant.id} lives: {mutant.change}")

    def end(self):
        c = self.counts
        told = c["killed"] + c["lives"]
        share = 100 * c["killed"] / max(told, 1)
        print(f"{told + c['equivalent']} mutants in "
              f"{time.monotonic() - self.begun:.0f} s: {c['killed']} killed "
              f"({share:.1f} % of those not equivalent), {c['lives']} live, "
              f"{c['equivalent']} are judged equivalent. Besides "
              f"{c['no code of its own']} changes to code that another has, "
              f"{c['no code']} that do not compile.")
        if told > 0 and share < KILLED_LEAST:
            self.fault(f"less than {KILLED_LEAST} % are killed")
        print(f"{c['killed']} passed, {self.faults} failed, 0 skipped")
        return self.faults == 0


def chosen(mutants, judged):
    """Which ones to run. A sample leaves out what was judged, and stays the
    same when other mutants come or go."""
    if "ONLY" in os.environ:
        patterns = os.environ["ONLY"].split()
        return [m for m in mutants
                if any(fnmatch.fnmatch(m.name, p) for p in patterns)]
    if "SAMPLE" in os.environ:
        def key(m):
            text = os.environ.get("SEED", "") + m.name
            return hashlib.sha256(text.encode()).digest()
        mutants = [m for m in mutants if m.name not in judged]
        mutants = sorted(mutants, key=key)[:int(os.environ["SAMPLE"])]
    return mutants


def with_code(mutants, bench, pool, report):
    """Those that are mutants: with code that nobody else has."""
    out = f"{bench.directory}/original.o"
    known = {(path, compile_to(path, read(path), out))
             for path in {m.path for m in mutants}}
    codes = pool.map(
        lambda m: compile_to(m.path, m.source, bench.object(m)), mutants)
    for m, code in zip(mutants, codes):
        if code is None:
            report.not_one(m, "no code")
        elif (m.path, code) in known:
            report.not_one(m, "no code of its own")
        else:
            known.add((m.path, code))
            yield m


def run(mutants, judged):
    jobs = int(os.environ.get("JOBS") or os.cpu_count())
    with tempfile.TemporaryDirectory() as directory, \
            concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        bench = Bench(directory, [m.tests for m in mutants])
        report = Report(judged)
        alive = list(with_code(mutants, bench, pool, report))
        for m, result in zip(alive, pool.map(bench.killer, alive)):
            report.add(m, *result)
    return report.end()


def main():
    every = mechanical() if os.environ.get("ALL") else list(listed())
    judged = judged_read(every) if os.environ.get("ALL") else {}
    mutants = chosen(every, judged)
    if os.environ.get("LIST"):
        for m in mutants:
            print(m.name, m.id, m.change)
        return 0
    return 0 if run(mutants, judged) else 1


if __name__ == "__main__":
    sys.exit(main())
