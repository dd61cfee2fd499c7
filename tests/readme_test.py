"""Documentation as code: the Python blocks of README.md, of every page and of
the model cards run in order, in one namespace per page; every `keras-larp`
command parses."""

import copy
import importlib
import pathlib
import re
import shlex

import numpy as np
import pytest
from tiny_models import tiny_tokenizer

from keras_larp import data
from keras_larp.cli.main import COMMANDS

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "keras_larp" / "presets").rglob("README.md")),
]
# A block that cannot run here is marked ```python notest, with the reason in
# a comment on its first line.
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.S | re.M)


def pages_with(pattern):
    return [
        pytest.param(page, id=str(page.relative_to(ROOT)))
        for page in PAGES
        if pattern.search(page.read_text())
    ]


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    """A folder with a few videos, and a hub that serves a tiny tokenizer."""
    hub = pytest.importorskip("huggingface_hub")
    for name, group in (("Archery", 1), ("Archery", 9), ("YoYo", 8)):
        clip = np.random.default_rng(group).random((20, 48, 64, 3))
        file = f"v_{name}_g{group:02d}_c01.avi"
        data.write_video(tmp_path / "UCF-101" / name / file, clip)
    for i, name in enumerate(("dog", "dog", "street", "street")):
        clip = np.random.default_rng(i).random((20, 48, 64, 3))
        data.write_video(tmp_path / "videos" / name / f"{i}.mp4", clip)
    tiny_tokenizer().save_to_preset(tmp_path / "downloaded")
    monkeypatch.setattr(
        hub, "snapshot_download", lambda *_, **__: str(tmp_path / "downloaded")
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", pages_with(PYTHON_BLOCK))
def test_python_blocks_run(page, working_folder):
    namespace = {}
    for block in PYTHON_BLOCK.findall(page.read_text()):
        exec(compile(block, f"{page}: {block[:60]!r}", "exec"), namespace)
    if page == ROOT / "README.md":
        assert tuple(namespace["clips"].shape) == (2, 8, 32, 32, 3)
        assert (working_folder / "shapes.gif").stat().st_size > 1000


@pytest.mark.once
@pytest.mark.parametrize("page", pages_with(SHELL_BLOCK))
def test_commands_parse(page):
    blocks = SHELL_BLOCK.findall(page.read_text())
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    for line in lines:
        if line.startswith("keras-larp ") and "--help" not in line:
            check_command(line)


def check_command(line):
    _, name, *arguments = shlex.split(line, comments=True)
    if name not in COMMANDS:
        name = f"{name} {arguments.pop(0)}"
    module = re.sub("[- ]", "_", name)
    command = importlib.import_module(f"keras_larp.cli.{module}")
    rest = copy.deepcopy(command.FLAGS)([name, *arguments])
    assert len(rest) == 1 + len(getattr(command, "POSITIONAL", ())), line


@pytest.mark.once
def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
