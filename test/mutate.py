#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Mutants of the core, made mechanically: each is one small change of a line
that the tests must notice. `make mutants ALL=1` runs them all.

A mutant's name is FILE:FUNCTION:OPERATOR:ORDINAL, the ordinal counting the
places of that operator in that function. The operators:

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

Each mutant is tried with the quickest of its file's tests first. It is killed
when one of them fails, crashes, or takes far longer than it should. Those that
live are looked up in test/mutants.judged, and the run fails when it is not true
any more: a mutant that lives and is not there, one there that does not exist or
whose line has changed, one called equivalent that a test can tell.
"""

import fnmatch
import hashlib
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("B", "build/plain")
JUDGED = "test/mutants.judged"
SCENARIOS = [int(n) for n in os.environ.get("SEEDS", "60,2000").split(",")]
KILLED_LEAST = 95  # per cent of those not judged equivalent

# --- what is tried on which file ---------------------------------------------

# The tests of a file, quickest first: unit tests, fuzzers on their corpora, and
# the simulator, which follows where it is named, and again with more scenarios
# at the end.
TOTEM = ["fuzz_totem", "test_totem", "sim"]
REPLICA = ["test_replica_hostile", "test_replica", "sim"]
CKPT = ["fuzz_ckpt", "sim", "test_ckpt_service"]
FILES = {
    "daemon/totem/set.c": TOTEM,
    "daemon/totem/store.c": TOTEM,
    "daemon/totem/wire.c": ["fuzz_packet"] + TOTEM,
    "daemon/totem/totem.c": TOTEM,
    "daemon/totem/operational.c": TOTEM,
    "daemon/totem/gather.c": TOTEM,
    "daemon/totem/commit.c": TOTEM,
    "daemon/totem/recovery.c": TOTEM,
    "daemon/totem/deliver.c": TOTEM,
    "daemon/group/group.c": ["fuzz_group", "test_group", "sim"],
    "daemon/service/replica.c": REPLICA,
    "daemon/service/replica_backlog.c": REPLICA,
    "daemon/service/replica_wire.c": REPLICA,
    "daemon/service/ckpt_apply.c": CKPT,
    "daemon/service/ckpt_piece.c": CKPT,
    "daemon/service/clm.c": ["fuzz_clm", "test_clm_service"],
    "daemon/service/evs.c": ["test_evs_service"],
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
    def __init__(self, path, text, name, start, end, new):
        self.path, self.text, self.name = path, text, name
        self.start, self.end, self.new = start, end, new
        self.line = text.count("\n", 0, start) + 1
        begin = text.rfind("\n", 0, start) + 1
        last = text.find("\n", max(end, start + 1))
        self.shown = " ".join(text[begin:last].split())
        self.id = hashlib.sha256(self.shown.encode()).hexdigest()[:6]

    def source(self):
        return self.text[:self.start] + self.new + self.text[self.end:]

    def change(self):
        old = " ".join(self.text[self.start:self.end].split())
        return f"{self.path}:{self.line}: {self.shown}\n" \
               f"        {old}  ->  {self.new or '(nothing)'}"


def mutants_of(path):
    with open(path) as f:
        text = f.read()
    short = path.removeprefix("daemon/")
    for function, body in functions(blanked(text)):
        ordinals = {}
        for kind, tokens in statements(body):
            for operator, start, end, new in changes(kind, tokens):
                n = ordinals[operator] = ordinals.get(operator, 0) + 1
                name = f"{short}:{function}:{operator}:{n}"
                yield Mutant(path, text, name, start, end, new)


# --- running them -------------------------------------------------------------


def object_of(path):
    return f"{BUILD}/{path.removesuffix('.c')}.o"


class Builder:
    """Compiles one changed file at a time, and links it with the objects of the
    clean build in place of the original's."""

    def __init__(self, directory):
        self.directory = directory
        self.source, self.object = directory + "/mutant.c", directory + "/m.o"
        self.codes = {}

    def compile(self, path, source):
        """The code, or None."""
        with open(self.source, "w") as f:
            f.write(f'#line 1 "{path}"\n{source}')
        flags = ["-std=c11", "-D_GNU_SOURCE", "-I.", "-Iapi", "-fPIC", "-O2",
                 "-w", "-ftrivial-auto-var-init=zero", "-g0"]
        if subprocess.run(["cc", *flags, "-c", "-o", self.object, self.source],
                          capture_output=True).returncode != 0:
            return None
        with open(self.object, "rb") as f:
            return hashlib.sha256(f.read()).digest()

    def same_as(self, mutant):
        """What the mutant compiles to: a name of another that has the same
        code, "" if it is new; None: it does not compile."""
        if mutant.path not in self.codes:
            self.codes[mutant.path] = {
                self.compile(mutant.path, mutant.text): "the original"}
        code = self.compile(mutant.path, mutant.source())
        if code is None:
            return None
        known = self.codes[mutant.path].setdefault(code, mutant.name)
        return "" if known == mutant.name else known

    def link(self, program, path):
        """The program of the clean build with the mutant in it."""
        out = f"{self.directory}/{os.path.basename(program)}"
        command = []
        for word in link_command(program):
            if word == object_of(path):
                word = self.object
            command.append(out if word == f"{BUILD}/{program}" else word)
        subprocess.run(command, check=True, capture_output=True)
        return out


LINK_COMMANDS = {}


def link_command(program):
    if program not in LINK_COMMANDS:
        target = f"{BUILD}/{program}"
        dry = subprocess.run(
            ["make", "-s", "-n", "V=1", "-W", object_of(next(iter(FILES))),
             target], capture_output=True, text=True).stdout
        LINK_COMMANDS[program] = next(
            shell_line.split() for shell_line in
            dry.replace("\\\n", " ").splitlines()
            if f"-o {target} " in shell_line)
    return LINK_COMMANDS[program]


def arguments_of(test, scenarios):
    if test == "sim":
        return ["--count", str(scenarios), "--jobs", "1", "--first"]
    if test.startswith("fuzz_"):
        return ["test/fuzz/corpus/" + test.removeprefix("fuzz_")]
    return []


def program_of(test):
    folder = {"f": "fuzz/", "t": "unit/"}.get(test[0], "")
    return folder + test


def passes(program, arguments, limit_s):
    """Runs a test up to its first failure; a hang is one."""
    def limits():
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))

    p = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                         text=True, errors="replace", preexec_fn=limits,
                         start_new_session=True)
    signal.alarm(10 * limit_s)
    try:
        failed = any("FAILED" in line for line in p.stdout)
    except TimeoutError:
        failed = True
    signal.alarm(0)
    if failed:
        os.killpg(p.pid, signal.SIGKILL)
    return p.wait() == 0 and not failed


class Tests:
    """The tests, and how long they take without a mutant."""

    def __init__(self, builder):
        self.builder, self.limits = builder, {}

    def limit_s(self, test, scenarios):
        key = (test, scenarios)
        if key not in self.limits:
            before = os.times()
            if not passes(f"{BUILD}/{program_of(test)}",
                          arguments_of(test, scenarios), 600):
                sys.exit(f"FAILED {test} fails without a mutant")
            after = os.times()
            took = after.children_user - before.children_user
            self.limits[key] = int(3 * took) + 3
        return self.limits[key]

    def killer(self, mutant):
        """The test that notices the mutant; None: it lives."""
        plan = [(t, SCENARIOS[0]) for t in FILES[mutant.path]]
        if "sim" in FILES[mutant.path]:
            plan += [("sim", n) for n in SCENARIOS[1:]]
        linked = {}
        for test, scenarios in plan:
            if test not in linked:
                linked[test] = self.builder.link(program_of(test), mutant.path)
            if not passes(linked[test], arguments_of(test, scenarios),
                          self.limit_s(test, scenarios)):
                return test
        return None


# --- what was judged ----------------------------------------------------------


def judged_read(mutants):
    """By name: (verdict, reason). Ends with what is not true any more."""
    names = {m.name: m for m in mutants}
    judged, wrong = {}, []
    if not os.path.exists(JUDGED):
        return judged
    with open(JUDGED) as f:
        for number, line in enumerate(f, 1):
            if not line.strip() or line.startswith("#"):
                continue
            where = f"FAILED {JUDGED}:{number}:"
            name, line_id, verdict, reason = line.rstrip("\n").split(" ", 3)
            if verdict not in ("equivalent", "lives"):
                wrong.append(f"{where} neither equivalent nor lives")
            elif name not in names:
                wrong.append(f"{where} there is no {name}")
            elif names[name].id != line_id:
                wrong.append(f"{where} the line of {name} has changed "
                             f"(now {names[name].id}): judge it again")
            judged[name] = (verdict, reason)
    if wrong:
        sys.exit("\n".join(wrong))
    return judged


# --- the run ------------------------------------------------------------------


class Report:
    def __init__(self, judged):
        self.judged = judged
        self.counts = dict.fromkeys(
            ("killed", "lives", "equivalent", "same code", "no code"), 0)
        self.faults = 0

    def fault(self, text):
        self.faults += 1
        print("FAILED", text, flush=True)

    def add(self, mutant, killer, took):
        verdict, reason = self.judged.get(mutant.name, ("", ""))
        if killer is not None:
            self.counts["killed"] += 1
            print(f"killed  {took:5.1f} s  {mutant.name}  {killer}", flush=True)
            if verdict:
                self.fault(f"{mutant.name} is judged to live, but {killer} "
                           f"tells it: remove it from {JUDGED}")
        elif verdict:
            self.counts[verdict] += 1
            print(f"{verdict:10} {mutant.name}: {reason}", flush=True)
        else:
            self.counts["lives"] += 1
            self.fault(f"{mutant.name} {mutant.id} lives: {mutant.change()}")

    def end(self, started):
        c = self.counts
        told = c["killed"] + c["lives"]
        share = 100 * c["killed"] / told if told > 0 else 100
        print(f"{told + c['equivalent']} mutants in "
              f"{time.monotonic() - started:.0f} s: {c['killed']} killed, "
              f"{c['lives']} live, {c['equivalent']} judged equivalent; "
              f"{share:.1f} % killed of those not equivalent. Besides "
              f"{c['same code']} changes with the code of the original or of "
              f"another mutant, {c['no code']} that do not compile.")
        if share < KILLED_LEAST:
            self.fault(f"less than {KILLED_LEAST} % are killed")
        print(f"{c['killed']} passed, {self.faults} failed, 0 skipped")
        return self.faults == 0


def chosen(mutants):
    only, sample = os.environ.get("ONLY"), os.environ.get("SAMPLE")
    if only:
        mutants = [m for m in mutants if fnmatch.fnmatch(m.name, only)]
    if sample:
        seed = os.environ.get("SEED") or "1"
        mutants = random.Random(seed).sample(
            mutants, min(int(sample), len(mutants)))
    return mutants


def alarm(*_):
    raise TimeoutError


def main():
    signal.signal(signal.SIGALRM, alarm)
    every = [m for path in FILES for m in mutants_of(path)]
    judged = judged_read(every)
    mutants, started = chosen(every), time.monotonic()
    if os.environ.get("LIST"):
        for m in mutants:
            print(m.name, m.id, m.change())
        return 0
    report = Report(judged)
    with tempfile.TemporaryDirectory() as directory:
        builder = Builder(directory)
        tests = Tests(builder)
        for m in mutants:
            begun, same = time.monotonic(), builder.same_as(m)
            if same is None or same:
                report.counts["no code" if same is None else "same code"] += 1
                if m.name in judged:
                    report.fault(f"{m.name} is judged, but is no mutant")
                continue
            killer = tests.killer(m)
            report.add(m, killer, time.monotonic() - begun)
    return 0 if report.end(started) else 1


if __name__ == "__main__":
    sys.exit(main())
