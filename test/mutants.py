#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Mutants: the core broken in one place at a time. The tests must notice.

Those of test/mutants.list were thought of by people: `make mutants`. The others
are made mechanically. There are thousands, and `make mutants ALL=whole` tries
each of them, which takes hours. `make mutants ALL=1` tries a fixed sample: of
each file and each operator one in SHARE, or one at least. SEED=text takes
another sample. A mechanical one has a name, FILE:FUNCTION:OPERATOR:ORDINAL, the
ordinal counting the places of that operator in that function, and an id that
changes with the text of its line. The operators:

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

Each mutant is tried with its tests: first with the one that killed the last
mutant of the same function, then with the quickest. It is killed when one of
them fails, crashes, needs far more processor time than without a mutant, or
hangs, which is to sleep for long: that the machine has other things to do kills
nobody. One that lives is looked up in test/mutants.judged. If it is not there,
it is built once more with sanitizers, which see in the quick unit tests that it
uses what is not its own, and the simulator runs more scenarios. The run fails
when a mutant lives and is not judged, or one that is judged does not exist, or
its line has changed, or a test can tell it after all, or too few are killed.

  ONLY=PATTERNS  those whose names match one    LIST=1  only tell what there is
  SHARE=n        one in n                       JOBS=n  at a time
  SEEDS=a,b      scenarios of the simulator, at first and if nothing else helped
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
SEEDS = [int(n) for n in os.environ.get("SEEDS", "60,300").split(",")]
LISTED_SEEDS = 4000
SHARE = int(os.environ.get("SHARE", "6"))
KILLED_LEAST = 95  # per cent of those not judged equivalent

# --- what is tried on which file ---------------------------------------------

# Fuzzers on their corpora, unit tests and the simulator.
TOTEM = ["fuzz_totem", "test_totem_commit", "test_totem_gather",
         "test_totem_idle", "test_totem_inputs", "test_totem_visit",
         "test_links", "test_links_told", "test_totem_faults",
         "test_totem_recovery", "test_init_failure", "test_totem", "sim"]
REPLICA = ["test_replica_told", "test_replica_hostile", "test_replica",
           "test_init_failure", "sim"]
CKPT = ["fuzz_ckpt", "test_ckpt_piece", "test_ckpt_clock", "test_ckpt_bounds",
        "test_ckpt_service", "test_init_failure", "sim"]
FILES = {
    "daemon/totem/set.c": TOTEM,
    "daemon/totem/store.c": TOTEM,
    "daemon/totem/wire.c": ["test_wire", "test_wire_bytes", "fuzz_packet"] + TOTEM,
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
        self.function = name.rsplit(":", 2)[0]
        self.shown = " ".join(line.split())
        self.id = hashlib.sha256(self.shown.encode()).hexdigest()[:6]
        self.change = f"{path}: {self.shown}\n        " \
                      f"{' '.join(old.split())}  ->  {new or '(nothing)'}"
        self.tests, self.scenarios = FILES[path], SEEDS


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
            m.tests = [t for t in m.tests if t != "sim"]
        else:
            m.tests, m.scenarios = ["sim"], [SEEDS[0], LISTED_SEEDS]
        yield m


# --- building and running one -------------------------------------------------


def object_of(path):
    return f"{BUILD}/{path.removesuffix('.c')}.o"


def program_of(test):
    return {"f": "fuzz/", "t": "unit/"}.get(test[0], "") + test


SANITIZED_MAX_S = 1  # slower tests are not run so
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compile_to(path, source, out, sanitizers=()):
    """A hash of the code, or None."""
    command = ["cc", "-std=c11", "-D_GNU_SOURCE", "-I.", "-Iapi", "-fPIC",
               "-O2", "-w", "-g0", "-ftrivial-auto-var-init=pattern",
               *sanitizers, "-x", "c", "-c", "-o", out, "-"]
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


def sleeps(pid):
    """Whether all threads of a process do, and none waits for a processor."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            if read(f"/proc/{pid}/task/{thread}/stat").rsplit(")")[-1][1] != "S":
                return False
    except OSError:
        return False
    return True


def end_if_it_hangs(pid, limit_s, ended):
    slept_s = 0
    while not ended.wait(0.5):
        slept_s += 0.5 if sleeps(pid) else 0
        if slept_s > limit_s:
            os.killpg(pid, signal.SIGKILL)
            return


def passes(command, limit_s, memory_bytes=16 << 30):
    """Runs a test up to its first failure; also its seconds of processor."""
    limits = [f"--cpu={limit_s}", "--core=0", f"--as={memory_bytes}"]
    p = subprocess.Popen(["prlimit", *limits, *command],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         stdin=subprocess.DEVNULL, text=True, errors="replace",
                         start_new_session=True)
    ended = threading.Event()
    watch = threading.Thread(target=end_if_it_hangs,
                             args=(p.pid, 10 + 10 * limit_s, ended))
    watch.start()
    failed = any("FAILED" in line for line in p.stdout)
    if failed:
        os.killpg(p.pid, signal.SIGKILL)
    ended.set()
    watch.join()
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = status
    return status == 0 and not failed, used.ru_utime + used.ru_stime


class Bench:
    """The tests: how each is linked, and how long it takes without a mutant."""

    def __init__(self, directory, tests):
        self.directory, self.seconds, self.links = directory, {}, {}
        self.last_killers = {}
        for test in sorted(tests):
            program = program_of(test)
            good, self.seconds[test] = passes(
                [f"{BUILD}/{program}", *arguments_of(test, SEEDS[0])], 600)
            if not good:
                sys.exit(f"FAILED {test} fails without a mutant")
            self.links[test] = link_command(program)

    def object(self, mutant):
        return f"{self.directory}/{mutant.name.replace('/', '_')}.o"

    def program(self, test, mutant, sanitizers):
        """The test's program with the mutant's object in place of its own."""
        out = self.object(mutant) + "." + test
        words = {object_of(mutant.path): self.object(mutant),
                 f"{BUILD}/{program_of(test)}": out}
        subprocess.run([words.get(w, w) for w in self.links[test]] +
                       [*sanitizers, "-fuse-ld=gold"], check=True)
        return out

    def passes(self, test, mutant, scenarios, sanitizers=()):
        share = scenarios / SEEDS[0] if test == "sim" else 1
        limit_s = int(4 * share * self.seconds[test]) + 4
        program = self.program(test, mutant, sanitizers)
        command = [program, *arguments_of(test, scenarios)]
        if sanitizers:
            good, _ = passes(command, 10 * limit_s, "unlimited")
        else:
            good, _ = passes(command, limit_s)
        os.unlink(program)
        return good

    def in_order(self, mutant):
        """The tests, that which is likely to kill it first, then the quickest."""
        last = self.last_killers.get(mutant.function)
        return sorted(mutant.tests,
                      key=lambda test: (test != last, self.seconds[test]))

    def killer(self, mutant, judged):
        """What notices it, or None."""
        first, *more = mutant.scenarios
        for test in self.in_order(mutant):
            if not self.passes(test, mutant, first):
                self.last_killers[mutant.function] = test
                return test
        if judged:
            return None
        compile_to(mutant.path, mutant.source, self.object(mutant), SANITIZERS)
        for test in self.in_order(mutant):
            if test != "sim" and self.seconds[test] < SANITIZED_MAX_S and \
                    not self.passes(test, mutant, first, SANITIZERS):
                return test + " with sanitizers"
        compile_to(mutant.path, mutant.source, self.object(mutant))
        for scenarios in more if "sim" in mutant.tests else []:
            if not self.passes("sim", mutant, scenarios):
                return f"sim, {scenarios} scenarios"
        return None

    def try_out(self, mutant, judged):
        """The killer, and the seconds that took."""
        begun = time.monotonic()
        killer = self.killer(mutant, judged)
        os.unlink(self.object(mutant))
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
        self.by_file = collections.defaultdict(collections.Counter)
        self.faults, self.begun = 0, time.monotonic()

    def fault(self, text):
        self.faults += 1
        print("FAILED", text, flush=True)

    def not_one(self, mutant, what):
        self.counts[what] += 1
        if mutant.name in self.judged:
            self.fault(f"{mutant.name} is in {JUDGED}, but has {what}")

    def count(self, mutant, what):
        self.counts[what] += 1
        self.by_file[mutant.path][what] += 1

    def add(self, mutant, killer, took):
        verdict, reason = self.judged.get(mutant.name, ("", ""))
        if killer is not None:
            self.count(mutant, "killed")
            print(f"killed     {took:5.1f} s  {mutant.name}  {killer}",
                  flush=True)
            if verdict:
                self.fault(f"{mutant.name} is in {JUDGED}, but is killed")
            return
        self.count(mutant, verdict or "lives")
        if verdict:
            print(f"{verdict:10} {took:5.1f} s  {mutant.name}  {reason}",
                  flush=True)
        else:
            self.fault(f"{mutant.name} {mutant.id} lives: {mutant.change}")

    def end(self):
        for path, c in self.by_file.items():
            told = c["killed"] + c["lives"]
            print(f"{path:34} {told + c['equivalent']:5} mutants "
                  f"{c['killed']:5} killed {c['lives']:4} live "
                  f"{c['equivalent']:4} equivalent "
                  f"{100 * c['killed'] / max(told, 1):6.1f} %")
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


def in_sample(mutants):
    """One in SHARE of each file and operator, and one at least. They stay the
    same when others come or go."""
    groups = collections.defaultdict(list)
    for m in mutants:
        groups[m.path, m.name.split(":")[2]].append(m)
    seed = os.environ.get("SEED", "")
    for group in groups.values():
        group.sort(key=lambda m: hashlib.sha256((seed + m.name).encode()).digest())
        yield from group[:-(-len(group) // SHARE)]


def chosen(mutants):
    """Which ones to run."""
    if "ONLY" in os.environ:
        patterns = os.environ["ONLY"].split()
        mutants = [m for m in mutants
                   if any(fnmatch.fnmatch(m.name, p) for p in patterns)]
    elif os.environ.get("ALL", "whole") != "whole":
        kept = {m.name for m in in_sample(mutants)}
        mutants = [m for m in mutants if m.name in kept]
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
        bench = Bench(directory, {test for m in mutants for test in m.tests})
        report = Report(judged)
        alive = list(with_code(mutants, bench, pool, report))
        results = pool.map(lambda m: bench.try_out(m, m.name in judged), alive)
        for m, result in zip(alive, results):
            report.add(m, *result)
    return report.end()


def main():
    every = mechanical() if os.environ.get("ALL") else list(listed())
    judged = judged_read(every) if os.environ.get("ALL") else {}
    mutants = chosen(every)
    if os.environ.get("LIST"):
        for m in mutants:
            print(m.name, m.id, m.change)
        return 0
    return 0 if run(mutants, judged) else 1


if __name__ == "__main__":
    sys.exit(main())
