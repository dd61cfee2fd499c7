"""The README's Python blocks run, in their order, as a newcomer's session;
the commands of all documents have the flags that they are given."""

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
README = ROOT / "README.md"


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """A working folder with a little UCF101, and a hub that answers."""
    hub = pytest.importorskip("huggingface_hub")
    for name, group in (("Archery", 1), ("Archery", 9), ("YoYo", 8)):
        clip = np.random.default_rng(group).random((20, 48, 64, 3))
        file = f"v_{name}_g{group:02d}_c01.avi"
        data.write_video(tmp_path / "UCF-101" / name / file, clip)
    tiny_tokenizer().save_to_preset(tmp_path / "downloaded")
    monkeypatch.setattr(
        hub, "snapshot_download", lambda *_, **__: str(tmp_path / "downloaded")
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_code_blocks_run(newcomer):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    assert len(blocks) >= 7
    namespace = {}
    for block in blocks:
        exec(compile(block, f"README.md: {block[:60]!r}", "exec"), namespace)
    assert tuple(namespace["shapes"].shape) == (3, 16, 32, 32, 3)
    assert tuple(namespace["clips"].shape) == (3, 8, 32, 32, 3)
    assert tuple(namespace["clip"].shape) == (2, 8, 32, 32, 3)
    assert (newcomer / "clips.gif").stat().st_size > 1000


@pytest.mark.once
@pytest.mark.parametrize(
    "document", ["README.md", "docs/evaluation.md", "docs/own_videos.md"]
)
def test_commands_parse(document):
    text = (ROOT / document).read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [line for line in lines if line.startswith("keras-larp ")]
    assert len(commands) >= 5
    for line in commands:
        _, name, *arguments = shlex.split(line)
        if name not in COMMANDS:
            name = f"{name} {arguments.pop(0)}"
        module = re.sub("[- ]", "_", name)
        command = importlib.import_module(f"keras_larp.cli.{module}")
        rest = copy.deepcopy(command.FLAGS)([name, *arguments])
        assert len(rest) == 1 + hasattr(command, "POSITIONAL"), line
