#!/usr/bin/env python3
"""Changes the library in one place at a time and sees whether a test notices: mutation testing of include/rotary.

    tests/mutate.py --count 50 --files 'positions.hpp' 'variants/*'

Each mutant is one change of one header: an operator, a comparison, a constant by one, a condition, a boolean, or a
statement removed. Chosen by --seed; a larger --count begins with the mutants of a smaller one, and what an earlier run
found is not run again. For each, the tests that run the line are compiled, without the build system, and run one after
the other until one fails, does not end, or crashes. Which tests run a line is known after `tests/run.sh --coverage`; else
all are asked that include the header. A mutant that leaves the code of every object file as it was has changed
nothing.

Programs are compiled by Clang without optimisation. Kernels are the scalar ones for mutants outside kernels/: they take less
time to compile. tests/run.sh --coverage installs what is needed.

Prints a table and a summary; the exit code is 1 if fewer than 95 % of the mutants that change behaviour are killed.
Survivors that the table in tests/README.md gives a reason for are not run, and are counted as changing none.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import hashlib
import itertools
import json
import pathlib
import queue
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include" / "rotary"
TESTS = ROOT / "tests"

# ---------------------------------------------------------------- mutants

OPERATORS = {
    " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", " == ": " != ", " != ": " == ",
    " && ": " || ", " || ": " && ", " + ": " - ", " - ": " + ", " * ": " / ", " / ": " * ", " % ": " / ",
    " << ": " >> ", " >> ": " << ", " & ": " | ", " | ": " & ", " ^ ": " & ",
    " += ": " -= ", " -= ": " += ", " *= ": " /= ", " /= ": " *= ", " |= ": " &= ", " &= ": " |= ",
    "++": "--", "--": "++", "std::min": "std::max", "std::max": "std::min",
}
OPERATOR = re.compile("|".join(re.escape(text) for text in sorted(OPERATORS, key=len, reverse=True)) + r"|\b(?:true|false)\b")
NOT = re.compile(r"(?<![\w)])!(?=[A-Za-z_(])")
INTEGER = re.compile(r"(?<![\w.'])(0[xX][0-9a-fA-F']+|[0-9][0-9']*)([uUlLzZ]*)(?![\w.'])")
REAL = re.compile(r"(?<![\w.'])(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?[fF]?(?!\w)")
CONDITION = re.compile(r"\b(?:if|while) \(")
STATEMENT = re.compile(
    r"(?:\*?\(?(?:[A-Za-z_]\w*(?:<[^;<>]*>)?(?:\[[^;]*?\])?(?:\(\))?(?:::|\.|->))*[A-Za-z_]\w*(?:\[[^;{}]*?\])? ?"
    r"(?:\([^;{}]*\)|(?:[-+*/|&^%]|<<|>>)?= [^;{}]+)|\+\+\w+|\w+\+\+|return|continue|break);")
# Lines on which a change means another type, or nothing.
TYPES = re.compile(r"^\s*(?:template|requires|using|namespace|concept|static_assert|friend|class|struct|extern|ROTARY_EXTERN)\b|\basm\b")


def code_only(text):
    """The text with spaces in place of comments, literals of text, attributes and the preprocessor's lines."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])
    pattern = r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])'|^[ \t]*#(?:\\\n|[^\n])*|\[\[[^\n\]]*\]\]"
    return re.sub(pattern, blank, text, flags=re.S | re.M)


def closing(code, opening):
    depth = 0
    for index in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[index], 0)
        if depth == 0:
            return index
    return None


def mutants_of(header):
    """All (header, line, start, end, replacement) of a header, in order."""
    text = (INCLUDE / header).read_text()
    code = code_only(text)
    changes = []
    for match in OPERATOR.finditer(code):
        changes.append((match.start(), match.end(), {"true": "false", "false": "true"}.get(match[0]) or OPERATORS[match[0]]))
    for match in NOT.finditer(code):
        changes.append((match.start(), match.end(), ""))
    for match in INTEGER.finditer(code):
        value = int(match[1].replace("'", ""), 16 if match[1][:2] in ("0x", "0X") else 10)
        changes += [(match.start(), match.end(), f"{value + step}{match[2]}") for step in (1, -1) if value + step >= 0]
    for match in REAL.finditer(code):
        changes.append((match.start(), match.end(), f"({match[0]} + 1)"))
    for match in CONDITION.finditer(code):
        start, end = match.end(), closing(code, match.end() - 1)
        if end is not None:
            start = code.rfind(";", start, end) + 1 or start
            changes.append((start, end, f"!({text[start:end].strip()})"))
    for match in STATEMENT.finditer(code):
        before = code[:match.start()].rstrip()
        if before.endswith((";", "{", "}", ")", "else")) and code.count("(", match.start(), match.end()) == code.count(")", match.start(), match.end()):
            changes.append((match.start(), match.end(), ";" + "\n" * text.count("\n", match.start(), match.end())))
    lines = text.splitlines()
    mutants = []
    for start, end, replacement in sorted(set(changes)):
        line = text.count("\n", 0, start) + 1
        if not TYPES.search(lines[line - 1]):
            mutants.append((header, line, start, end, replacement))
    return mutants


def mutated(mutant):
    header, _, start, end, replacement = mutant
    text = (INCLUDE / header).read_text()
    return text[:start] + replacement + text[end:]


def shown(mutant):
    """The code around the change, before and after."""
    header, _, start, end, replacement = mutant
    text = (INCLUDE / header).read_text()
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    before, after = text[first:last], text[first:start] + replacement + text[end:last]
    return " ".join(before.split()), " ".join(after.split())


def name_of(mutant):
    """Under which its result is stored: not its line, which moves when others come before it."""
    header, line, start, _, _ = mutant
    text = (INCLUDE / header).read_text()
    lines = text.splitlines()
    same_lines = lines[:line - 1].count(lines[line - 1])
    column = start - (text.rfind("\n", 0, start) + 1)
    return "\n".join([header, str(same_lines), str(column), *shown(mutant)])


# ---------------------------------------------------------------- programs


def included(source, seen):
    """Adds the files of the project that a file includes, directly or not."""
    for quote, name in re.findall(r'^\s*#\s*include\s+(["<])([^">]+)[">]', source.read_text(), flags=re.M):
        for folder in ([source.parent, TESTS] if quote == '"' else []) + [ROOT / "include"]:
            path = (folder / name).resolve()
            if path.is_file():
                if path not in seen:
                    seen.add(path)
                    included(path, seen)
                break
    return seen


def flags(command):
    """Those that a precompiled header must share."""
    return [word for word in command if re.match("-[fmOU]", word)]


class Build:
    """Programs of one configuration. Mutants stand in copies of the headers, one for each job."""

    def __init__(self, work, name, slowest):
        self.folder = work / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.overlays = queue.SimpleQueue()  # those that no job uses
        self.overlay_count = 0
        self.locks = collections.defaultdict(threading.RLock)
        self.lock = threading.RLock()
        overlay = self.new_overlay()
        self.results_file = self.folder / "results.json"
        self.results = json.loads(self.results_file.read_text()) if self.results_file.exists() else {}
        for archive in self.folder.glob("*.a"):
            archive.unlink()
        configure = ["cmake", "-S", ROOT, "-B", self.folder / "cmake", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_COMPILER=clang++",
                     "-DCMAKE_CXX_COMPILER_LAUNCHER=", "-DCMAKE_CXX_FLAGS_RELEASE=-O0 -D__OPTIMIZE__", "-DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON",
                     "-DROTARY_BUILD_EXAMPLES=OFF", "-DROTARY_BUILD_BENCHMARKS=OFF", "-DROTARY_NATIVE=OFF"]
        if name == "scalar":
            configure.append("-DCMAKE_CXX_FLAGS=-DROTARY_NO_VECTOR_EXTENSIONS")
        subprocess.run(list(map(str, configure)), check=True, stdout=subprocess.DEVNULL)
        self.commands, self.needs, self.golden = {}, {}, set()
        for entry in json.loads((self.folder / "cmake" / "compile_commands.json").read_text()):
            source = pathlib.Path(entry["file"])
            words = [word for word in shlex.split(entry["command"]) if not word.startswith("-W") or word.startswith("-Wl")]
            output = words.index("-o")
            del words[output:output + 2]
            self.commands[source] = words + ["-w"]
            files = included(source, set())
            self.needs[source] = {str(path.relative_to(INCLUDE)) for path in files if path.is_relative_to(INCLUDE)}
            if any(path.stem.startswith("golden") for path in files):
                self.golden.add(source)
        # The target rotary_compiled is not among all targets, so CMake leaves its command out.
        any_source = TESTS / "support" / "golden.cpp"
        self.compiled = [INCLUDE / folder / "compiled.cpp" for folder in ("apply", "attention")]
        for source in self.compiled:
            self.commands[source] = [str(source) if word == str(any_source) else word for word in self.commands[any_source]]
            self.needs[source] = {str(path.relative_to(INCLUDE)) for path in included(source, set())}
        self.tests = {source.stem: source for source in self.commands if source.stem.endswith("_test")}
        self.library = [source for source in self.commands if source.parent.name == "support" or source in self.compiled]
        # Of a test and of what it takes from the library, by the names of their headers.
        by_stem = {source.stem: self.needs[source] for source in self.library}
        self.needs_with_library = {
            test: set.union(self.needs[source], *(by_stem.get(path.stem, set()) for path in included(source, set())))
            for test, source in self.tests.items()}
        self.seconds, self.linked, self.originals, self.broken = {}, {}, {}, set()
        self.slowest = slowest
        self.original_overlay = overlay
        # How long each test takes to compile and to run, from earlier runs too.
        self.costs_file = self.folder / "costs.json"
        self.costs = json.loads(self.costs_file.read_text()) if self.costs_file.exists() else {}
        self.precompile()

    def new_overlay(self):
        overlay = self.folder / f"include{self.overlay_count}"
        self.overlay_count += 1
        shutil.rmtree(overlay, ignore_errors=True)
        shutil.copytree(ROOT / "include", overlay)
        return overlay

    def precompile(self):
        """What is not the library's is parsed once."""
        names = set()
        for header in INCLUDE.rglob("*.hpp"):
            names.update(re.findall(r"^#include <([^>]+)>", header.read_text(), flags=re.M))
        names = sorted(name for name in names if not name.endswith("intrin.h") and not re.match("rotary|nlohmann|arm|cpuid", name))
        self.foreign = self.folder / "foreign.hpp"
        self.foreign.write_text("".join(f"#if __has_include(<{name}>)\n#include <{name}>\n#endif\n" for name in ["gtest/gtest.h", *names]))
        command = self.commands[TESTS / "support" / "golden.cpp"]
        self.flags_of_foreign = flags(command)
        command = [word for word in command if not word.endswith(".cpp") and word != "-c"]
        subprocess.run([*command, "-x", "c++-header", str(self.foreign), "-o", f"{self.foreign}.pch"], check=True)

    def compile(self, source, output, overlay):
        words = [word.replace(f"{ROOT}/include", str(overlay), 1) if re.match(f"(-I)?{re.escape(str(ROOT))}/include", word) else word
                 for word in self.commands[source]]
        own_macros = re.search(r"^#define (EIGEN|ROTARY)_", source.read_text(), flags=re.M)
        if not own_macros and flags(words) == self.flags_of_foreign:
            words[1:1] = ["-include", str(self.foreign)]
        try:
            return subprocess.run([*words, "-o", str(output)], stderr=subprocess.DEVNULL, timeout=900).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def original(self, source):
        """The object file of the library as it is."""
        with self.locks[source]:
            return self.original_while_locked(source)

    def original_while_locked(self, source):
        if source not in self.originals:
            output = self.folder / "original" / object_name(source)
            output.parent.mkdir(exist_ok=True)
            text = b"".join(path.read_bytes() for path in sorted(included(source, {source})))
            key = hashlib.sha256(text + str(self.commands[source]).encode()).hexdigest()
            stamp = output.with_suffix(".key")
            if not (output.exists() and stamp.exists() and stamp.read_text() == key):
                begin = children_seconds()
                if not self.compile(source, output, self.original_overlay):
                    raise RuntimeError(f"{source} does not compile")
                stamp.write_text(key)
                self.note_cost(source.stem, children_seconds() - begin)
            self.originals[source] = output
        return self.originals[source]

    def note_result(self, key, result):
        with self.lock:
            self.results[key] = result
            self.results_file.write_text(json.dumps(self.results, indent=1))

    def note_cost(self, test, seconds):
        with self.lock:
            self.costs[test] = seconds
            self.costs_file.write_text(json.dumps(self.costs, indent=1))

    def cost(self, test):
        """Seconds to compile a test; a guess if it has not been compiled yet. Golden cases need much of tests/support, too."""
        source = self.tests[test]
        return (self.costs.get(test) or 3 + len(self.needs[source]) / 20) + (30 if source in self.golden else 0)

    def link(self, objects, program):
        words = ["clang++", *map(str, objects), "-lgtest_main", "-lgtest", "-lmpfr", "-lgmp", "-lpthread", "-o", str(program)]
        return subprocess.run(words, capture_output=True, text=True)

    def prepare(self, test):
        """Builds the program of the library as it is, and runs it; False if it cannot be used."""
        with self.locks[test]:
            return self.prepare_while_locked(test)

    def prepare_while_locked(self, test):
        if test in self.linked or test in self.broken:
            return test not in self.broken
        try:
            own, program = self.original(self.tests[test]), self.folder / test
        except RuntimeError as error:
            print(f"{test} is left out: {error}", file=sys.stderr)
            self.broken.add(test)
            return False
        # Few tests need more than the kernels.
        for library in (self.compiled, self.library):
            archive = self.folder / f"library_of_{len(library)}.a"
            with self.locks[archive]:
                if not archive.exists():
                    objects = [str(self.original(source)) for source in library]
                    subprocess.run(["ar", "rcs", f"{archive}.new", *objects], check=True)
                    pathlib.Path(f"{archive}.new").rename(archive)
            link = self.link([own, archive, "-Wl,-t,-t"], program)
            if link.returncode == 0:
                break
        needed = [source for source in library if re.search(rf"\b{object_name(source)}\b", link.stdout)]
        begin = children_seconds()
        failed = run(program, self.slowest) if link.returncode == 0 else "it does not link"
        program.unlink(missing_ok=True)
        if failed:
            print(f"{test} is left out: {failed}, without any change", file=sys.stderr)
            self.broken.add(test)
            return False
        self.seconds[test] = children_seconds() - begin
        self.linked[test] = needed
        return True


def object_name(source):
    """The name of its object file: two sources may have the same name in different folders."""
    return f"{source.parent.name}_{source.stem}.o"


def children_seconds():
    """The processor's time of all programs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(program, seconds):
    """Why a program fails, or None. The seconds are those of the processor, so that a busy machine changes nothing."""
    endless = f"it does not end in {seconds:.0f} s"
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    try:
        result = subprocess.run([str(program), "--gtest_fail_fast", "--gtest_brief=1"], timeout=60 + 20 * seconds, preexec_fn=limit,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return endless
    if result.returncode == 0:
        return None
    if result.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return endless
    failed = re.search(r"^\[  FAILED  \] ([\w./]+)", result.stdout, flags=re.M)
    return failed[1] if failed else f"exit code {result.returncode}"


def try_mutant(mutant, build, tests, most):
    """What becomes of a mutant, and the test that tells."""
    try:
        overlay = build.overlays.get_nowait()
    except queue.Empty:
        with build.lock:
            overlay = build.new_overlay()
    try:
        return try_mutant_in(overlay, mutant, build, tests, most)
    finally:
        build.overlays.put(overlay)


def try_mutant_in(overlay, mutant, build, tests, most):
    header, folder = mutant[0], build.folder / f"mutant_of_{overlay.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    target = overlay / "rotary" / header
    same, objects, asked = True, {}, 0

    def compiled_object(source):
        if header not in build.needs[source]:
            return build.original(source)
        if source not in objects:
            output = folder / object_name(source)
            objects[source] = output if build.compile(source, output, overlay) else None
        return objects[source]

    for test in tests:
        if asked == most:
            break
        if not build.prepare(test):
            continue
        target.write_text(mutated(mutant))
        try:
            sources = [build.tests[test], *build.linked[test]]
            parts = [compiled_object(source) for source in sources]
        finally:
            shutil.copy(INCLUDE / header, target)
        if None in parts:
            return "does not compile", ""
        asked += 1
        if all(part.read_bytes() == build.original(source).read_bytes() for part, source in zip(parts, sources)):
            continue
        same = False
        program = folder / "program"
        link = build.link(parts, program)
        if link.returncode != 0:
            return "does not link", f"{test}: " + " ".join(re.findall("undefined reference.*|multiple definition.*", link.stderr)[:1])
        reason = run(program, 10 + 10 * build.seconds[test])
        if reason:
            return "killed", f"{test}: {reason}"
    return ("not run" if asked == 0 else "same code" if same else "survived"), f"{asked} of {len(tests)} tests"


# ---------------------------------------------------------------- the run


def known_survivors():
    """{(header, before, after): reason} of the table in README.md."""
    known = {}
    for line in (TESTS / "README.md").read_text().splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) == 6 and cells[2][:1] == cells[3][:1] == "`":
            known[cells[1], cells[2].strip("`").strip(), cells[3].strip("`").strip()] = cells[4]
    return known


def row(*cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=50, help="mutants to try")
    parser.add_argument("--files", nargs="*", default=["*"], help="headers, relative to include/rotary; patterns as in a shell")
    parser.add_argument("--tests", type=int, default=40, help="tests to ask before a mutant has survived")
    parser.add_argument("--slowest", type=int, default=60, help="seconds; tests that take longer are left out")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "mutation", help="folder for programs and results")
    parser.add_argument("--coverage", type=pathlib.Path, help="lines_of_tests.json of tests/run.sh --coverage")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once")
    parser.add_argument("--list", action="store_true", help="only print the mutants")
    options = parser.parse_args()

    headers = sorted(str(path.relative_to(INCLUDE)) for path in INCLUDE.rglob("*.hpp"))
    headers = [header for header in headers if any(fnmatch.fnmatch(header, pattern) for pattern in options.files)]
    mutants = [mutant for header in headers for mutant in mutants_of(header)]
    random.Random(options.seed).shuffle(mutants)
    print(f"{len(mutants)} mutants of {len(headers)} headers; seed {options.seed}")
    if options.list:
        for mutant in mutants[:options.count]:
            print(row(f"{mutant[0]}:{mutant[1]}", *shown(mutant)))
        return 0

    coverage = options.coverage or max(ROOT.glob("build/tests/*/lines_of_tests.json"), key=lambda path: path.stat().st_mtime, default=None)
    lines_of_tests = json.loads(coverage.read_text()) if coverage else {}
    lines_of_tests = {test: {header: set(lines) for header, lines in lines.items()} for test, lines in lines_of_tests.items()}

    builds, known = {}, known_survivors()

    def tests_for(mutant, build):
        header, line = mutant[:2]
        words = set(pathlib.Path(header).stem.split("_"))
        names = [test for test in build.tests if lines_of_tests.get(test, {}).get(header)]
        if names:
            # No test counts lines outside functions.
            names = [test for test in names if line in lines_of_tests[test][header]] or names
        else:
            names = [test for test in build.tests if header in build.needs_with_library[test]]
        def order(test):
            return (-len(words & set(test.split("_"))), build.cost(test), test)
        return sorted(names, key=order)

    def result_of(mutant):
        change = (mutant[0], *shown(mutant))
        if change in known:
            return "survived, for a reason", known[change]
        name = "vector" if mutant[0].startswith("kernels/") else "scalar"
        with lock:
            if name not in builds:
                builds[name] = Build(options.work.resolve(), name, options.slowest)
        build, key = builds[name], name_of(mutant)
        # Other tests may tell more, once it is known which tests run the line.
        if build.results.get(key, ["survived"])[0] in ("survived", "same code", "not run"):
            tests = tests_for(mutant, build)
            build.note_result(key, try_mutant(mutant, build, tests, options.tests) if tests else ("not run", ""))
        return build.results[key]

    counts, lock = {}, threading.Lock()
    print("\n" + row("header", "before", "after", "result", "by") + "\n|---|---|---|---|---|")
    tried = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        rest = iter(mutants)
        begun = collections.deque((mutant, pool.submit(result_of, mutant)) for mutant in itertools.islice(rest, options.count))
        while begun and tried < options.count:
            mutant, future = begun.popleft()
            before, after = shown(mutant)
            result, by = future.result()
            counts[result] = counts.get(result, 0) + 1
            # Those that were none are not counted.
            tried += result in ("killed", "survived", "survived, for a reason")
            print(row(f"{mutant[0]}:{mutant[1]}", f"`{before}`", f"`{after}`", result, by), flush=True)
            if tried + len(begun) < options.count:
                begun.extend((mutant, pool.submit(result_of, mutant)) for mutant in itertools.islice(rest, 1))

    print("\n" + ", ".join(f"{number} {result}" for result, number in sorted(counts.items())))
    killed, survived = counts.get("killed", 0), counts.get("survived", 0)
    share = 100 * killed / max(1, killed + survived)
    print(f"{killed} of {killed + survived} mutants that change behaviour are killed: {share:.1f} %")
    return 0 if share >= 95 else 1


if __name__ == "__main__":
    sys.exit(main())
