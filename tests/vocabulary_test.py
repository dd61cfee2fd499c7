"""The vocabulary check of `.ci`."""

import importlib.util
import pathlib

import pytest

pytestmark = pytest.mark.once

SCRIPT = pathlib.Path(__file__).parents[1] / ".ci/check_vocabulary.py"
spec = importlib.util.spec_from_file_location("check_vocabulary", SCRIPT)
vocabulary = importlib.util.module_from_spec(spec)
spec.loader.exec_module(vocabulary)
IDIOMS, _ = vocabulary.load_vocabulary()


def lines(path, text):
    return [line for line, _, _ in vocabulary.check(path, text, IDIOMS)]


@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda i: i.examples[0])
def test_examples_are_flagged_by_their_idiom(idiom):
    for example in idiom.examples:
        assert list(idiom.find(example)), example


@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda i: i.examples[0])
def test_accepted_text_passes_every_idiom(idiom):
    for text in idiom.accepts:
        assert not vocabulary.check("page.md", text, IDIOMS), text


def test_markdown_is_checked_across_line_breaks():
    assert lines("page.md", "\nIt makes 16 tokens\na clip.\n") == [2]


def test_code_in_markdown_is_skipped_but_its_comments_are_not():
    page = (
        "Use `misfit` here.\n"
        "```python\n"
        "misfit = 1  # A misfit.\n"
        "misfit = 2\n"
        "```\n"
        "A misfit.\n"
    )
    assert lines("page.md", page) == [3, 6]


def test_comments_strings_and_names_of_python_are_checked():
    source = (
        '"""Describes\n'
        'the misfit."""\n'
        "\n"
        "# Samples that are\n"
        "# looked at.\n"
        "misfit = 1\n"
        'message = f"a misfit of {misfit}"\n'
        "def describe_misfit():\n"
        '    return "the misfit"\n'
    )
    assert lines("module.py", source) == [2, 4, 7, 8, 9]


def test_code_in_docstrings_is_skipped():
    source = '"""Compares.\n\n```python\nmisfit = 1\n```\n"""\n'
    assert not lines("module.py", source)


def test_only_comments_of_configuration_are_checked():
    assert lines("Makefile", "misfit:  # A misfit.\n\techo misfit\n") == [1]
    assert lines("mkdocs.yml", "misfit: 1\n# A misfit.\n") == [2]


def test_exit_status_and_report(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("A mismatch.\n")
    assert vocabulary.main([str(page)]) == 0
    page.write_text("Fine.\nA misfit.\n")
    assert vocabulary.main([str(page)]) == 1
    expected = f'{page}:2: "misfit": write "mismatch"\n'
    assert capsys.readouterr().out.startswith(expected)


def test_idioms_are_listed(capsys):
    assert vocabulary.main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(IDIOMS)
