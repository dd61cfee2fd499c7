"""The example scripts, run as users run them, with tiny settings."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from keras_larp import data

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def run(script, *arguments, folder=None):
    result = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def run_shortened(script, folder, **constants):
    """Runs a copy of an example with other values of its constants."""
    text = (EXAMPLES / script).read_text()
    for name, value in constants.items():
        text, count = re.subn(
            rf"^{name} = \d+$", f"{name} = {value}", text, flags=re.MULTILINE
        )
        assert count == 1, name
    (folder / script).write_text(text)
    return run(folder / script, folder=folder)


def test_quickstart_uses_the_preset(tmp_path):
    output = run("quickstart.py", f"--output={tmp_path}", "--part=preset")
    assert "| PSNR of reconstructions | 2" in output
    names = ["continued", "generated", "reconstructions"]
    images = {f"{name}.{end}" for name in names for end in ("gif", "png")}
    assert {p.name for p in tmp_path.iterdir()} == {"metrics.md", *images}


def test_quickstart_trains(tmp_path):
    steps = ["--tokenizer_steps=8", "--generator_steps=8", "--part=fit"]
    output = run("quickstart.py", f"--output={tmp_path}", *steps)
    assert "| tokenizer | psnr |" in output
    assert {path.name for path in (tmp_path / "fit").iterdir()} == {
        "curves.png",
        "generated.gif",
        "generated.png",
        "generator",
        "metrics.md",
        "reconstructions.gif",
        "reconstructions.png",
        "tokenizer",
    }


def test_minimal_trains_and_generates(tmp_path):
    output = run_shortened(
        "minimal.py",
        tmp_path,
        NUM_CLIPS=24,
        STEPS_PER_EPOCH=2,
        TOKENIZER_EPOCHS=2,
        GENERATOR_EPOCHS=1,
    )
    assert "prior_loss: " in output and "top5: " in output
    names = {path.name for path in tmp_path.glob("*.gif")}
    assert names == {"reconstructed.gif", "generated.gif"}


@pytest.mark.once
def test_minimal_is_short():
    assert len((EXAMPLES / "minimal.py").read_text().splitlines()) <= 120


def test_custom_loss_is_trained_and_logged(tmp_path):
    output = run_shortened(
        "custom_loss.py", tmp_path, EPOCHS=2, STEPS_PER_EPOCH=2
    )
    assert re.search(r"^motion_loss: 0\.\d+ -> 0\.\d+$", output, re.MULTILINE)


def test_continue_frames_continues_clips(tmp_path):
    output = run_shortened(
        "continue_frames.py", tmp_path, NUM_CLIPS=2, NUM_SAMPLES=2
    )
    assert "4 given frames, 12 generated ones" in output
    assert (tmp_path / "continued.gif").stat().st_size > 1000


@pytest.mark.once
def test_prior_ablation_compares_tokenizers_with_and_without_prior(tmp_path):
    arguments = [f"--output={tmp_path}", "--num_seeds=1", "--epochs=1"]
    arguments += ["--tokenizer_steps=2", "--generator_steps=2"]
    arguments += ["--num_evaluated=16"]
    # A random network provides the features, without training.
    arguments += ["--data_format=folder", f"--data={shapes_folder(tmp_path)}"]
    output = run("prior_ablation.py", *arguments)
    assert "| generation_random_frechet_distance |" in output
    assert "| generator_loss |" in output
    assert (tmp_path / "comparison.png").exists()
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["flags"]["tokenizer_steps"] == 2
    # Neither paths of the results nor flags of other packages.
    assert not {"output", "log_dir", "test_tmpdir"} & set(written["flags"])
    # Completed runs are not repeated.
    (tmp_path / "prior_0" / "reconstruction").rename(tmp_path / "moved")
    again = run("prior_ablation.py", *arguments)
    assert again == output[output.index("Mean and") :]


def shapes_folder(tmp_path):
    """Writes a folder of two classes with two clips each."""
    source = data.MovingShapes(4, num_frames=8, image_size=32)
    for i in range(4):
        name = f"class_{i % 2}/{i}.mp4"
        data.write_video(tmp_path / "videos" / name, source.render(i))
    return tmp_path / "videos"
