"""Training runs that are killed, resumed and extended."""

import copy
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
from keras_larp.cli import train_tokenizer

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
# Compiling VGG16 takes minutes on the other backends.
PERCEPTUAL = "random" if keras.backend.backend() == "torch" else "none"
TOKENIZER.append(f"--perceptual_model={PERCEPTUAL}")


def run(*arguments):
    command = [sys.executable, "-m", "keras_larp.cli.main", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def kill_after(folder, step, *arguments):
    """Starts a run and kills it once it has saved the checkpoint of a step."""
    command = [sys.executable, "-m", "keras_larp.cli.main", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    checkpoint = folder / "checkpoints" / f"step_{step:08d}"
    while not checkpoint.exists():
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_run_that_is_killed_twice_ends_like_an_uninterrupted_run(tmp_path):
    check_tokenizer(tmp_path)


@pytest.mark.once
def test_killed_run_on_video_files(tmp_path, shared_dir):
    # As folders of classes: both videos are in the test split of UCF101.
    videos = f"--data={shared_dir / 'data' / 'UCF-101'}"
    # float16 has a loss scale to restore.
    half = "--dtype=mixed_float16"
    check_tokenizer(tmp_path, videos, "--data_format=folder", half)


@pytest.mark.once
def test_killed_run_of_a_generator(tmp_path):
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


@pytest.mark.once
def test_resuming_with_more_epochs_extends_all_schedules(tmp_path):
    def train(*arguments):
        values = copy.deepcopy(train_tokenizer.FLAGS)
        values(["", f"--output={tmp_path}", *arguments])
        return train_tokenizer.main(values)

    train(
        *TOKENIZER,
        *("--nodiscriminator", "--perceptual_model=none"),
        *("--epochs=2", "--show_every=0"),
    )
    tokenizer = train("--resume", "--epochs=3")
    # 4 steps per epoch.
    assert tokenizer.optimizer.iterations == 12
    assert tokenizer.optimizer.main_optimizer._learning_rate.total_steps == 12
    # The ramp of scheduled sampling.
    assert tokenizer.training_state.total_steps == 12
    config = json.loads((tmp_path / "config_1.json").read_text())
    assert config["settings"]["epochs"] == 2


def check_tokenizer(tmp_path, *source):
    check_killing(tmp_path, "train-tokenizer", *TOKENIZER, *source)
    folder = tmp_path / "uninterrupted"
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"]["learning_rate"] == 0.001
    assert config["versions"]["keras"] == keras.version()
    assert list((folder / "reconstructions").iterdir())
    logged = set(last_row(folder))
    assert {"ssim", "logits_real"} <= logged
    assert ("perceptual_loss" in logged) == (PERCEPTUAL == "random")


def check_killing(tmp_path, command, *flags):
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    start = [command, *flags, "--save_every_steps=1"]
    run(*start, f"--output={uninterrupted}")
    kill_after(killed, 3, *start, f"--output={killed}")
    # All other flags are restored from the run.
    resume = [command, f"--output={killed}", "--resume"]
    kill_after(killed, 6, *resume)
    run(*resume)

    expected, received = last_row(uninterrupted), last_row(killed)
    assert {"loss", "learning_rate", "clips_per_second"} <= set(expected)
    for name, value in expected.items():
        if name not in ("clips_per_second", "epoch"):
            np.testing.assert_allclose(
                float(received[name]), float(value), rtol=1e-5, err_msg=name
            )
    for preset in ("preset", "preset_raw"):
        pair = [
            presets.load(folder / preset).get_weights()
            for folder in (uninterrupted, killed)
        ]
        for one, other in zip(*pair, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert (uninterrupted / "curves.png").stat().st_size > 1000
