#!/usr/bin/env python3
"""Checks the documentation: links lead somewhere, files that are named exist, and public names have comments and examples.

    docs/check.py               the Markdown files in the repository, and the doc comments of include/rotary
    docs/check.py build/docs    also the pages that docs/build.sh made there
"""
import html.parser
import pathlib
import re
import sys
import urllib.parse
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
problems = []


def slug(title):
    """As GitHub makes it from a heading."""
    title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title.strip().lower())
    return re.sub(r"[^\w\- ]", "", title.replace("`", "")).replace(" ", "-")


def without_code(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def check_markdown():
    """Relative links of Markdown files: the file is there, and so is the section."""
    for page in sorted(ROOT.rglob("*.md")):
        name = str(page.relative_to(ROOT))
        if name.startswith("build"):
            continue
        for target in re.findall(r"\]\(([^()\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, section = target.partition("#")
            path = (page.parent / file).resolve() if file else page
            if not path.exists():
                problems.append(f"{name}: there is no {target}")
            elif section and path.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.M)
                if section not in map(slug, headings):
                    problems.append(f"{name}: {file or name} has no section {section}")


def check_paths():
    """Files and folders that Markdown pages name in code: `tests/layers.txt`, `core/error.hpp`."""
    bases = (ROOT, ROOT / "include", ROOT / "include" / "rotary")
    first = {path.name for base in bases for path in base.iterdir() if path.is_dir() and not path.name.startswith((".", "build"))}
    for page in sorted(ROOT.rglob("*.md")):
        name = str(page.relative_to(ROOT))
        if name.startswith("build"):
            continue
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for path in re.findall(r"`([\w.*-]+/[\w.*/-]*)", text):
            is_file = path.endswith("/") or re.search(r"\.(cpp|hpp|md|sh|py|txt|json|svg|dox)$", path)
            if path.split("/")[0] in first and is_file and not any(any(base.glob(path.rstrip("/"))) for base in (*bases, page.parent)):
                problems.append(f"{name}: there is no file {path}")


def after_brackets(text, brackets):
    """What follows the brackets that `text` begins with."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character == brackets[0]) - (character == brackets[1])
        if depth == 0:
            return text[at + 1 :].lstrip()
    return ""


def without_template(code):
    """A declaration on one line without what stands before its type."""
    while head := re.match(r"template (?=<)|requires *(?=\()|(?=\[\[)", code):
        code = code[head.end() :]
        code = after_brackets(code, {"<": "<>", "(": "()", "[": "[]"}[code[0]])
    return code


def declared(code):
    """(kind, name) of a declaration in a namespace, given on one line.

    (None, None) for what needs no comment: variables, aliases, forward declarations, specialisations, definitions outside
    of a class, operators, deduction guides.
    """
    code = without_template(code)
    if found := re.match(r"(class|struct|enum class|concept) (\w+) *([;:={<])", code):
        return (None, None) if found[3] in ";<" else (found[1], found[2])
    found = re.match(r"[^(={]*[\w>&*\]] [&*]?(\w+)\(", code)
    return ("function", found[1]) if found and "operator" not in found[0] else (None, None)


def declarations(lines):
    """(line, kind, name, comment, code) of what a header declares in the namespaces of users.

    The headers are formatted: a declaration in a namespace begins in the first column, and its body does not. A comment
    covers overloads that follow without an empty line.
    """
    is_public, previous, at = False, (None, ""), 0
    while at < len(lines):
        line = lines[at]
        if found := re.match(r"(}  // )?namespace ([^{ ]*( ROTARY_ABI[\w:]*)?)", line):  # the end of `detail` too
            is_public = bool(found[1]) or re.fullmatch(r"rotary(::inline ROTARY_ABI(?!::detail|::kernels)(::\w+)?)?", found[2])
        if not is_public or not re.match(r"///|[a-zA-Z[]", line) or re.match("namespace |using |static_assert", line):
            previous = previous if line else (None, "")
            at += 1
            continue
        comment = []
        while lines[at].startswith("///"):
            comment.append(lines[at])
            at += 1
        start = at
        at += 1
        # Up to the closing brace or semicolon: lines that are indented, and the function after `template` or `requires`.
        while at < len(lines) and (lines[at].startswith(" ") or not without_template(" ".join(lines[start:at]))):
            at += 1
        kind, name = declared(" ".join(" ".join(lines[start:at]).split()))
        if kind:
            text = "\n".join(comment) or (previous[1] if previous[0] == name else "")
            yield start + 1, kind, name, text, lines[start:at]
            previous = (name, text)


def fields_without_comment(code):
    for above, line in zip(code, code[1:]):
        field = re.match(r"  [\w:<>, ]+ (\w+)(?: = [^;]*)?;(.*)", line)
        if field and "///<" not in field[2] and not above.startswith("  ///"):
            yield field[1]


def check_comments():
    """Functions, classes, enumerations and concepts of users have a doc comment, and so do the fields of options.

    Of each function and class there is an example: in its own comment, in that of an overload, or in that of a function
    or class which its comment names in `backquotes`.
    """
    found, has_example = [], set()
    for path in sorted((ROOT / "include" / "rotary").rglob("*.hpp")):
        file = str(path.relative_to(ROOT))
        if re.search(r"rotary/kernels\b", file):  # internals
            continue
        for line, kind, name, comment, code in declarations(path.read_text(encoding="utf-8").splitlines()):
            found.append((f"{file}:{line}: {name}", kind, name, comment))
            if "@code" in comment:
                has_example.add(name)
            if re.search("(Options|Attributes)$", name):
                problems.extend(f"{file}:{line}: {name}::{field} has no comment" for field in fields_without_comment(code))
    for where, kind, name, comment in found:
        named = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", comment)))) | {name}
        if not comment:
            problems.append(f"{where} has no doc comment")
        elif kind in ("function", "class", "struct") and not named & has_example:
            problems.append(f"{where} has no example, and its comment names nothing that has one")
    return len(found)


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.names = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key in ("id", "name") and value:
                self.names.add(value)
            elif key in ("href", "src", "data") and value:
                self.links.append(value)


def check_pages(site):
    """Links and pictures of the pages."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                problems.append(f"{path.name}: there is no {link}")
            elif parts.fragment in ("nested-classes", "define-members"):
                pass  # Doxygen names them also where all of them are left out
            elif parts.fragment and target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].names:
                problems.append(f"{path.name}: nothing is named {link}")
    return len(pages)


def has_text(node):
    return any("".join(node.find(part).itertext()).strip() for part in ("briefdescription", "detaileddescription")
               if node.find(part) is not None)


def in_commented_paragraph(file, line):
    """A comment covers all declarations that follow it without an empty line."""
    source = ROOT / "include" / file
    lines = source.read_text(encoding="utf-8").splitlines()
    for above in reversed(lines[:line]):
        if not above.strip():
            return False
        if "///" in above:
            return True
    return False


def check_names(folder):
    """Every public name has a comment.

    Of functions that share a name one has it. Fields, aliases and functions without parameters may stand without: the
    comment of their class speaks of them.
    """
    count, missing = 0, {}
    for entry in xml.parse(folder / "index.xml").getroot().iter("compound"):
        if entry.get("kind") not in ("namespace", "class", "struct", "concept"):
            continue
        compound = xml.parse(folder / f"{entry.get('refid')}.xml").getroot().find("compounddef")
        name = compound.find("compoundname").text
        if not name.startswith("rotary") or re.search(r"\b(detail|kernels)\b", name) or compound.get("prot") == "private":
            continue
        is_namespace = entry.get("kind") == "namespace"
        if not is_namespace:
            count += 1
            if not has_text(compound):
                where = compound.find("location")
                missing[name] = f"{where.get('file')}:{where.get('line')}: {name}"
        found = {}
        for member in compound.iter("memberdef"):
            short, kind = member.find("name").text, member.get("kind")
            if member.get("prot") != "public" or kind == "friend" or short.startswith(("operator", "~")):
                continue
            if short == name.split("::")[-1].split("<")[0] or (is_namespace and (compound.find(f"innerclass[.='{name}::{short}']") is not None)):
                continue  # constructors and deduction guides
            where = member.find("location")
            is_said = has_text(member) or in_commented_paragraph(where.get("file"), int(where.get("line")))
            may_lack = not is_namespace and (kind in ("variable", "typedef") or member.find("param") is None)
            known = found.setdefault(short, [False, f"{where.get('file')}:{where.get('line')}: {name}::{short} ({kind})"])
            known[0] = known[0] or is_said or may_lack
        count += len(found)
        missing.update({f"{name}::{short}": text for short, (is_said, text) in found.items() if not is_said})
    problems.extend(f"{text} has no comment" for text in missing.values())
    return count


check_markdown()
check_paths()
print(f"{check_comments()} declarations checked")
if len(sys.argv) > 1:
    site = pathlib.Path(sys.argv[1])
    pages = check_pages(site)
    names = check_names(site / "xml")
    print(f"{pages} pages and {names} public names checked")
for problem in sorted(set(problems)):
    print(problem)
sys.exit(1 if problems else 0)
