"""The example scripts, as people start them, at the smallest sizes."""

import pathlib
import subprocess
import sys

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
SMALL = ["--num_frames=4", "--image_size=16", "--batch_size=4"]


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


def test_scripts_train_reconstruct_and_generate(tmp_path):
    steps = ["--epochs=1", "--steps_per_epoch=2"]
    run(
        "train_tokenizer.py",
        f"--output={tmp_path}/tokenizer",
        *SMALL,
        *steps,
        "--patch_size=2,8,8",
        "--num_tokens=6",
        "--codebook_size=32",
        "--hidden_dim=16",
        "--num_heads=2",
        "--num_layers=1",
        "--prior=gptc-XXS",
    )
    tokenizer = f"--tokenizer={tmp_path}/tokenizer/preset"
    run(
        "train_generator.py",
        f"--output={tmp_path}/generator",
        "--size=llama-abs-S",
        "--batch_size=4",
        tokenizer,
        *steps,
    )
    output = run(
        "reconstruct.py", f"--output={tmp_path}", tokenizer, "--num_clips=3"
    )
    assert "3 clips, PSNR" in output
    run(
        "generate.py",
        f"--generator={tmp_path}/generator/preset",
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
