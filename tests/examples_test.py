"""The example scripts, as people start them, at the smallest sizes."""

import pathlib
import subprocess
import sys

import pytest
from tiny_models import tiny_generator, tiny_tokenizer

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def run(script, *arguments):
    result = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_quickstart_writes_clips_curves_and_metrics(tmp_path):
    steps = ["--tokenizer_steps=8", "--generator_steps=8"]
    output = run("quickstart.py", f"--output={tmp_path}", *steps)
    assert "| tokenizer | psnr |" in output
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        "curves.png",
        "generated.gif",
        "generated.png",
        "generator",
        "metrics.md",
        "reconstructions.gif",
        "reconstructions.png",
        "tokenizer",
    }


@pytest.mark.parametrize("script", ["train_tokenizer", "train_generator"])
def test_training_scripts_are_the_commands(script):
    output = run(f"{script}.py", "--help")
    assert "--learning_rate" in output and "resume" in output


def test_scripts_reconstruct_and_generate(tmp_path):
    tiny_tokenizer().save_to_preset(tmp_path / "tokenizer")
    tiny_generator(num_classes=12).save_to_preset(tmp_path / "generator")
    tokenizer = f"--tokenizer={tmp_path}/tokenizer"
    output = run(
        "reconstruct.py", f"--output={tmp_path}", tokenizer, "--num_clips=3"
    )
    assert "3 clips, PSNR" in output
    run(
        "generate.py",
        f"--generator={tmp_path}/generator",
        f"--output={tmp_path}/clips",
        tokenizer,
        "--classes=0,7",
        "--num_samples=2",
        "--batch_size=3",
    )
    written = sorted(path.name for path in (tmp_path / "clips").iterdir())
    assert written == [
        "class_000_000.mp4",
        "class_000_001.mp4",
        "class_007_000.mp4",
        "class_007_001.mp4",
        "grid.gif",
    ]
