"""Runs of the command line that are killed and go on."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from run_log import last_row
from tiny_models import tiny_tokenizer

from keras_larp import data, presets

TOKENIZER = [
    "--recipe=larp_l_long_tokenizer",
    *("--num_frames=4", "--image_size=16", "--batch_size=4", "--epochs=3"),
    *("--patch_size=2,8,8", "--num_tokens=6", "--codebook_size=32"),
    *("--code_dim=4", "--hidden_dim=16", "--num_heads=2", "--dtype=float32"),
    *("--encoder_num_layers=1", "--decoder_num_layers=1", "--prior=gptc-tiny"),
    *("--discriminator_hidden_dim=16", "--discriminator_num_heads=2"),
    *("--discriminator_num_layers=1", "--discriminator_every=2"),
    *("--warmup_epochs=0.5", "--learning_rate=0.001", "--show_every=3"),
    *("--steps_per_epoch=4", "--verbose=2", "--ema_decay=0.9"),
]
# VGG16's random weights, where they do not take minutes to compile.
PERCEPTUAL = "random" if keras.backend.backend() == "torch" else "none"
TOKENIZER.append(f"--perceptual_model={PERCEPTUAL}")


def run(*arguments):
    command = [sys.executable, "-m", "keras_larp.cli.main", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def kill_after(folder, step, *arguments):
    """Starts a run and kills it when its checkpoint of a step is there."""
    command = [sys.executable, "-m", "keras_larp.cli.main", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    checkpoint = folder / "checkpoints" / f"step_{step:08d}"
    while not checkpoint.exists():
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_run_that_is_killed_twice_ends_as_the_unbroken_one(tmp_path):
    check_tokenizer(tmp_path)


@pytest.mark.once
def test_a_run_on_video_files_too(tmp_path, shared_dir):
    # A folder a class: these two are of the test split of UCF101.
    videos = f"--data={shared_dir / 'data' / 'UCF-101'}"
    # Half precision has a loss scale to remember.
    half = "--dtype=mixed_float16"
    check_tokenizer(tmp_path, videos, "--data_format=folder", half)


@pytest.mark.once
def test_a_generator_of_written_tokens_too(tmp_path):
    source = data.MovingShapes(40, num_frames=4, image_size=16)
    data.write_token_dataset(tmp_path / "tokens", source, tiny_tokenizer())
    check_killing(
        tmp_path,
        "train-generator",
        f"--tokens={tmp_path / 'tokens'}",
        f"--test_tokens={tmp_path / 'tokens'}",
        *("--recipe=larp_l_long_generator", "--size=llama-abs-tiny"),
        *("--batch_size=4", "--epochs=3", "--steps_per_epoch=4"),
        *("--warmup_epochs=0.5", "--dropout=0.1", "--ema_decay=0.9"),
        *("--dtype=float32", "--verbose=2", "--show_every=0"),
    )


def check_tokenizer(tmp_path, *source):
    check_killing(tmp_path, "train-tokenizer", *TOKENIZER, *source)
    whole = tmp_path / "whole"
    config = json.loads((whole / "config.json").read_text())
    assert config["settings"]["learning_rate"] == 0.001
    assert config["versions"]["keras"] == keras.version()
    assert list((whole / "reconstructions").iterdir())
    logged = set(last_row(whole))
    assert {"ssim", "logits_real"} <= logged
    assert ("perceptual_loss" in logged) == (PERCEPTUAL == "random")


def check_killing(tmp_path, command, *flags):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    start = [command, *flags, "--save_every_steps=1"]
    run(*start, f"--output={whole}")
    kill_after(broken, 3, *start, f"--output={broken}")
    # It knows all other flags.
    go_on = [command, f"--output={broken}", "--resume"]
    kill_after(broken, 6, *go_on)
    run(*go_on)

    expected, received = last_row(whole), last_row(broken)
    assert {"loss", "learning_rate", "clips_per_second"} <= set(expected)
    for name, value in expected.items():
        if name not in ("clips_per_second", "epoch"):
            np.testing.assert_allclose(
                float(received[name]), float(value), rtol=1e-5, err_msg=name
            )
    for preset in ("preset", "preset_raw"):
        pair = [
            presets.load(folder / preset).get_weights()
            for folder in (whole, broken)
        ]
        for one, other in zip(*pair, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert (whole / "curves.png").stat().st_size > 1000
