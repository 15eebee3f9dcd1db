#!/usr/bin/env python3
"""Prints a Markdown page as Doxygen takes it: links between pages, and names for the pages and their sections.

Links to what has no page in the site, such as a program, become plain text.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def page_of(path):
    """The name of a page: docs/speed.md is speed, bench/README.md is bench."""
    path = path.relative_to(ROOT)
    if path.name != "README.md":
        return path.stem.lower()
    return path.parent.name or "readme"


def slug(title):
    """As GitHub makes it from a heading."""
    title = re.sub(r"[`*]|\(https?:[^)]*\)|\[|\]", "", title.strip().lower())
    return re.sub(r"[^\w\- ]", "", title).replace(" ", "-")


def is_page(path):
    text = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else ""
    return path.suffix == ".md" and path.is_file() and not text.startswith(("tests/", "docs/site/", ".github/"))


def main(name):
    source = pathlib.Path(name).resolve()
    page = page_of(source)

    def link(match):
        image, text, target = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group(0)
        target, _, section = target.partition("#")
        path = (source.parent / target).resolve() if target else source
        if image:
            return f"![{text}]({path.name})"
        if path.is_dir() and (path / "README.md").is_file():
            path = path / "README.md"
        if not is_page(path):
            return text
        file = "index" if page_of(path) == "index" else page_of(path)
        return f"[{text}]({file}.html{'#' + page_of(path) + '_' + section if section else ''})"

    fence = first = False
    used = {}
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fence = not fence
            line = re.sub(r"^```(cpp|sh|text|python|cmake)$", r"```{.\1}", line)
        elif fence or line.startswith("    "):
            pass
        elif re.match(r"<!-- [a-z ]+:.*-->$|<!-- end of .* -->$", line):
            continue
        elif match := re.match(r"(#+) (.*)", line):
            name = f"{page}_{slug(match[2])}" if first else page
            first = True
            used[name] = used.get(name, 0) + 1
            if used[name] > 1:
                name += f"-{used[name] - 1}"
            line = f"{match[1]} {match[2]}" + (" {#" + name + "}" if name != "index" else "")
        else:
            line = re.sub(r"(!?)\[([^\]]*)\]\(([^()\s]+)\)", link, line)
            # Doxygen takes `it's` for text in quotes.
            line = re.sub(r"(?<!`)`([^`]*'[^`]*)`(?!`)", r"``\1``", line)
        print(line)


main(sys.argv[1])
