#!/usr/bin/env python3
"""Prints which lines of include/rotary the tests run, and fails if one of the others has no reason next to it.

    tests/coverage.py <build directory of the preset `coverage`, with its tests run>

tests/run.sh --coverage calls it. A line that cannot run carries a comment:

    std::abort();  // not covered: the process ends before the counts are written

A comment that stands alone holds for the statement below it, and one at a line that opens a block for the whole block.

Counted is what Clang compiles on this processor, but lines of closing brackets: neither branches of the preprocessor for others, nor templates that no
test instantiates. What each test runs is written to <build directory>/lines_of_tests.json, for tests/mutate.py.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

INCLUDE = pathlib.Path(__file__).resolve().parent.parent / "include" / "rotary"
MARK = re.compile(r"// not covered: \S")


def lines_run(programs, profile):
    """{header: {line: how often it ran}} of all headers of the library."""
    command = ["llvm-cov", "export", "-format=lcov", f"-instr-profile={profile}", str(programs[0])]
    for program in programs[1:]:
        command += ["-object", str(program)]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    counts = collections.defaultdict(dict)
    header = None
    for line in report.splitlines():
        if line.startswith("SF:"):
            path = pathlib.Path(line[3:]).resolve()
            header = str(path.relative_to(INCLUDE)) if path.is_relative_to(INCLUDE) else None
        elif header and line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            counts[header][int(number)] = int(count)
    return counts


def code_lines(header):
    """The lines that hold more than closing brackets or the preprocessor's."""
    lines = (INCLUDE / header).read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if not re.fullmatch(r"\s*(#.*|[})\];,]*)", line)}


def merge(profiles, merged):
    subprocess.run(["llvm-profdata", "merge", "-sparse", *map(str, profiles), "-o", str(merged)], check=True)
    return merged


def excused_lines(header):
    """The lines that have a reason not to run."""
    excused = set()
    lines = (INCLUDE / header).read_text().splitlines()
    for first, line in enumerate(lines):
        if not MARK.search(line):
            continue
        depth, number = 0, first
        if line.lstrip().startswith("//"):
            number += 1
        while True:
            excused.add(number + 1)
            code = lines[number].split("//")[0].rstrip()
            depth += code.count("{") - code.count("}")
            number += 1
            if depth <= 0 and code.endswith((";", "}")):
                break
    return excused


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    tests = build / "tests"
    profiles = collections.defaultdict(list)
    for profile in sorted((tests / "profiles").glob("*.profraw")):
        profiles[profile.name.split(".")[0]].append(profile)
    if not profiles:
        sys.exit(f"no profiles in {tests}/profiles: run the tests first")

    def lines_of(test):
        profile = merge(profiles[test], tests / "profiles" / f"{test}.profdata")
        counts = lines_run([tests / test], profile)
        return profile, {header: [line for line, count in lines.items() if count] for header, lines in counts.items()}

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lines_of, profiles))
    merged = [profile for profile, _ in results]
    lines_of_tests = {test: lines for test, (_, lines) in zip(profiles, results)}
    (build / "lines_of_tests.json").write_text(json.dumps(lines_of_tests))
    counts = lines_run([tests / test for test in profiles], merge(merged, build / "all.profdata"))

    # Of several programs together, llvm-cov counts some lines behind an early return as not run that a test has run.
    run = collections.defaultdict(set)
    for lines in lines_of_tests.values():
        for header, numbers in lines.items():
            run[header].update(numbers)

    folders, missing = collections.defaultdict(lambda: [0, 0, 0]), []
    print(f"\n{'header':45} lines  not run  without a reason")
    for header in sorted(counts):
        code, excused = code_lines(header), excused_lines(header)
        lines = {line: count for line, count in counts[header].items() if line in code}
        idle = [line for line, count in sorted(lines.items()) if not count and line not in run[header]]
        bare = [line for line in idle if line not in excused]
        print(f"{header:45} {len(lines):5} {len(idle):8} {len(bare):17}")
        missing += [(header, line) for line in bare]
        for folder in {str(pathlib.Path(header).parent), "all"}:
            for index, number in enumerate((len(lines), len(idle), len(bare))):
                folders[folder][index] += number
    print("\n| folder of include/rotary | lines | run | not run, for a reason | not run |\n|---|---|---|---|---|")
    for folder in sorted(folders, key=lambda name: (name == "all", name)):
        lines, idle, bare = folders[folder]
        print(f"| {folder} | {lines} | {100 * (lines - idle) / lines:.2f} % | {idle - bare} | {bare} |")
    if missing:
        print(f"\n{len(missing)} lines that no test runs and that have no reason next to them:")
        for header, line in missing:
            print(f"include/rotary/{header}:{line}: {(INCLUDE / header).read_text().splitlines()[line - 1].strip()}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
