"""The example scripts, as people start them, at the smallest sizes."""

import json
import pathlib
import subprocess
import sys

import pytest
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import data

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def run(script, *arguments):
    result = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_quickstart_shows_the_preset(tmp_path):
    output = run("quickstart.py", f"--output={tmp_path}", "--part=preset")
    assert "| PSNR of reconstructions | 2" in output
    names = ["continued", "generated", "reconstructions"]
    pictures = {f"{name}.{end}" for name in names for end in ("gif", "png")}
    assert {p.name for p in tmp_path.iterdir()} == {"metrics.md", *pictures}


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


@pytest.mark.once
@pytest.mark.parametrize("script", ["train_tokenizer", "train_generator"])
def test_training_scripts_are_the_commands(script):
    output = run(f"{script}.py", "--help")
    assert "--learning_rate" in output and "resume" in output


@pytest.mark.once
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
        "settings.json",
    ]


@pytest.mark.once
def test_prior_ablation_compares_two_kinds_of_tokenizers(tmp_path):
    arguments = [f"--output={tmp_path}", "--num_seeds=1", "--epochs=1"]
    arguments += ["--tokenizer_steps=2", "--generator_steps=2"]
    arguments += ["--num_evaluated=16"]
    # Judges that need no training.
    arguments += ["--data_format=folder", f"--data={shapes_folder(tmp_path)}"]
    output = run("prior_ablation.py", *arguments)
    assert "| generation_random_frechet_distance |" in output
    assert (tmp_path / "comparison.png").exists()
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["flags"]["tokenizer_steps"] == 2
    # Neither paths of results nor flags of other packages.
    assert not {"output", "log_dir", "test_tmpdir"} & set(written["flags"])
    # What is done is not done again.
    (tmp_path / "prior_0" / "reconstruction").rename(tmp_path / "moved")
    again = run("prior_ablation.py", *arguments)
    assert again == output[output.index("Mean and") :]


def shapes_folder(tmp_path):
    """A folder of two classes with two clips each."""
    source = data.MovingShapes(4, num_frames=8, image_size=32)
    for i in range(4):
        name = f"class_{i % 2}/{i}.mp4"
        data.write_video(tmp_path / "videos" / name, source.render(i))
    return tmp_path / "videos"
