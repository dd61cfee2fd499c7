"""Bundled presets."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from keras import ops

from keras_larp import data, metrics, models

ROOT = pathlib.Path(__file__).parents[2]
NAME = "larp_tiny_moving_shapes"
# Tokens of the first clip below, computed with PyTorch.
TOKENS = """
125 125 162 171 18 162 18 18 125 125 125 171 171 144 162 171 171 46 171 171 171
255 171 232 56 46 171 171 225 46 171 18 162 98 92 179 144 149 54 171 171 46 46
171 171 171 144 171 183 2 171 231 98 46 112 92 46 98 171 171 56 56 171 125
"""
# Tokens of the first boxing clip, computed with PyTorch.
ATARI_TOKENS = """
748 257 232 232 305 356 232 784 85 152 201 860 305 986 257 305 542 454 701 997
336 904 567 336 595 815 305 567 552 831 986 986 791 815 831 986 237 696 696 238
305 237 1021 970 305 305 986 257 356 1021 748 356 837 701 356 646 567 170 356
232 805 454 356 356
"""


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def tokenizer():
    return models.LARPTokenizer.from_preset(f"{NAME}_tokenizer")


@pytest.fixture(scope="module")
def clips():
    """One clip per class, with a seed that was not used in training."""
    source = data.MovingShapes(12, 16, 32, seed=1000)
    return np.stack([source.render(i) for i in range(len(source))])


def psnr(videos, others):
    metric = metrics.PSNR()
    metric.update_state(videos, others)
    return float(metric.result())


def test_unseen_clips_are_reconstructed(tokenizer, clips):
    token_ids = tokenizer.encode(clips)
    assert psnr(clips, tokenizer.decode(token_ids)) > 27.5


def test_tokens_are_equal_on_every_backend(tokenizer, clips):
    token_ids = numpy(tokenizer.encode(clips))[0]
    assert token_ids.tolist() == [int(x) for x in TOKENS.split()]


def test_generated_clips_move_in_the_direction_of_their_class(tokenizer):
    generator = models.ARVideoGenerator.from_preset(f"{NAME}_generator")
    names = data.MovingShapes.class_names
    labels = np.arange(12).repeat(4)
    videos = generator.generate(
        labels, guidance_scale=1.25, seed=0, tokenizer=tokenizer
    )
    correct = [
        names[label].endswith(motion(video))
        for label, video in zip(labels, numpy(videos), strict=True)
    ]
    assert np.mean(correct) > 0.95


def motion(video):
    """Direction of the bright shape, from its first and last centroid."""
    weights = (video.max(axis=-1) > 0.5).astype(float)  # (T, H, W)
    weights /= weights.sum(axis=(1, 2), keepdims=True) + 1e-6
    positions = np.arange(video.shape[1])
    down = (weights.sum(axis=2) @ positions)[[0, -1]]
    right = (weights.sum(axis=1) @ positions)[[0, -1]]
    down, right = down[1] - down[0], right[1] - right[0]
    if abs(down) > abs(right):
        return "down" if down > 0 else "up"
    return "right" if right > 0 else "left"


def test_predicted_frames_beat_a_still_image(tokenizer, clips):
    predictor = models.ARVideoGenerator.from_preset(f"{NAME}_frame_prediction")
    count = predictor.num_condition_frames
    videos = predictor.predict_frames(clips[:, :count], tokenizer, seed=0)
    still = np.repeat(clips[:, count - 1 : count], 16 - count, axis=1)
    predicted = psnr(clips[:, count:], numpy(videos)[:, count:])
    assert predicted > psnr(clips[:, count:], still) + 3.0


def test_unseen_games_have_equal_tokens_on_every_backend():
    pytest.importorskip("ale_py")
    games = ["boxing", "breakout", "freeway", "pong"]
    source = data.AtariGameplay(4, 16, 64, games, split="test", seed=1000)
    videos = np.stack([source.render(i) for i in range(len(source))])
    tokenizer = models.LARPTokenizer.from_preset("larp_small_atari_tokenizer")
    token_ids = tokenizer.encode(videos)
    first = numpy(token_ids)[0]
    assert first.tolist() == [int(x) for x in ATARI_TOKENS.split()]
    assert psnr(videos, tokenizer.decode(token_ids)) > 27.0


@pytest.mark.once
def test_wheel_contains_presets_and_model_cards(tmp_path):
    # Build from a copy, because building writes files next to the sources.
    sources = tmp_path / "sources"
    shutil.copytree(ROOT / "keras_larp", sources / "keras_larp")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, sources)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", f"--wheel-dir={tmp_path}"]
    result = subprocess.run(
        [*pip, *options, str(sources)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 12e6
    folder = ROOT / "keras_larp" / "presets" / "bundled"
    bundled = {
        str(path.relative_to(ROOT))
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert len(bundled) == 17  # Five presets of three files, two model cards.
    assert bundled <= set(zipfile.ZipFile(wheel).namelist())
