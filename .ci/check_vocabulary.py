"""Checks prose against the idioms of `vocabulary.toml`.

    python .ci/check_vocabulary.py            # all tracked files
    python .ci/check_vocabulary.py README.md  # some files
    python .ci/check_vocabulary.py --list     # the idioms

It reads the text of Markdown files, the comments of configuration files, and
the comments, strings and function names of Python files. Code in Markdown and
in docstrings is skipped, except for its comments.
"""

import argparse
import ast
import io
import pathlib
import re
import subprocess
import sys
import tokenize
import tomllib

VOCABULARY = pathlib.Path(__file__).with_name("vocabulary.toml")
COMMENTED = {".cff", ".sh", ".toml", ".yaml", ".yml"}
COMMENTED_NAMES = {".gitignore", "Makefile", "run"}

FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
COMMENT = re.compile(r"(?:^|\s)#+ (.*)")


class Idiom:
    """A pattern to avoid, what to write instead, and exceptions.

    In patterns, a space matches any white space, so that idioms are found
    across line breaks.
    """

    def __init__(self, pattern, write, allow=(), examples=(), accepts=()):
        self.pattern, self.write = pattern, write
        self.examples, self.accepts = examples, accepts
        self._regex = _compile(pattern)
        self._allow = [_compile(expression) for expression in allow]

    def find(self, text):
        """Yields the matches in `text` that no exception covers."""
        exceptions = [
            match.span()
            for regex in self._allow
            for match in regex.finditer(text)
        ]
        for match in self._regex.finditer(text):
            if not any(
                start < match.end() and match.start() < end
                for start, end in exceptions
            ):
                yield match


def _compile(expression):
    expression = expression.replace(" ", r"\s+")
    return re.compile(expression, re.IGNORECASE | re.MULTILINE)


def load_vocabulary(path=VOCABULARY):
    """Returns the `Idiom` objects and the skipped files of a vocabulary."""
    table = tomllib.loads(pathlib.Path(path).read_text("utf-8"))
    return [Idiom(**entry) for entry in table["idiom"]], table["skip"]


def _blank(match):
    """Replaces a match by its line breaks, which keeps line numbers."""
    return "_" + "\n" * match[0].count("\n")


def _only_comments(match):
    return "\n".join(
        "".join(COMMENT.findall(line)) for line in match[0].split("\n")
    )


def strip_code(markdown):
    """Removes code from Markdown, except for comments in fenced blocks."""
    text = FENCE.sub(_only_comments, markdown)
    return INLINE_CODE.sub(_blank, text)


def _python_comments(source):
    """Yields `(line, text)` for each run of comments on adjacent lines."""
    start, lines = 0, []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if lines and token.start[0] != start + len(lines):
            yield start, "\n".join(lines)
            lines = []
        if not lines:
            start = token.start[0]
        lines.append(token.string.lstrip("#! "))
    if lines:
        yield start, "\n".join(lines)


def _python_strings(tree):
    """Yields `(line, text)` for each string and function or class name."""
    inside_f_strings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v for v in node.values if isinstance(v, ast.Constant)]
            inside_f_strings.update(map(id, parts))
            yield (
                node.lineno,
                "".join(
                    v.value if isinstance(v, ast.Constant) else "_"
                    for v in node.values
                ),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in inside_f_strings:
                yield node.lineno, node.value
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.lineno, node.name.replace("_", " ").strip()


def blocks(path, text):
    """Yields `(line, prose)` for each piece of prose in a file."""
    path = pathlib.Path(path)
    if path.suffix == ".md":
        yield 1, strip_code(text)
    elif path.suffix == ".py":
        yield from _python_comments(text)
        for line, string in _python_strings(ast.parse(text)):
            yield line, strip_code(string)
    elif path.suffix in COMMENTED or path.name in COMMENTED_NAMES:
        yield (
            1,
            "\n".join(
                "".join(COMMENT.findall(line)) for line in text.split("\n")
            ),
        )


def check(path, text, idioms):
    """Returns a sorted list of `(line, matched text, replacement)`."""
    found = set()
    for line, prose in blocks(path, text):
        for idiom in idioms:
            for match in idiom.find(prose):
                position = line + prose[: match.start()].count("\n")
                matched = " ".join(match[0].split())
                found.add((position, matched, idiom.write))
    return sorted(found)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", help="default: all tracked files")
    parser.add_argument("--list", action="store_true", help="list the idioms")
    options = parser.parse_args(arguments)
    idioms, skipped = load_vocabulary()
    if options.list:
        for idiom in idioms:
            print(f"{idiom.examples[0]!r:45} -> {idiom.write}")
        return 0
    files = options.files
    if not files:
        listing = subprocess.check_output(["git", "ls-files"], text=True)
        files = sorted({*listing.splitlines()} - {*skipped})
    count = 0
    for file in map(pathlib.Path, files):
        if not file.is_file() or not (
            file.suffix in COMMENTED | {".md", ".py"}
            or file.name in COMMENTED_NAMES
        ):
            continue
        for line, matched, write in check(
            file, file.read_text("utf-8"), idioms
        ):
            print(f'{file}:{line}: "{matched}": write {write}')
            count += 1
    if count:
        print(f"{count} idioms; see {VOCABULARY.name}")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
