"""Bits per pixel against quality, of tokenizers and video codecs."""

import csv

import numpy as np
import pytest
from keras import ops
from run_command import run_here, written
from tiny_models import clips, tiny_tokenizer

from keras_larp import evaluation, metrics, models
from keras_larp.cli import evaluate_rate_distortion


def elastic():
    return tiny_tokenizer(token_dropout={"rate": 0.5}, seed=0)


def test_tokens_are_measured():
    tokenizer, videos = elastic(), clips()
    rows = evaluation.rate_distortion(
        tokenizer, videos, num_tokens=[2, 6], codecs=[], batch_size=2
    )
    assert [row["setting"] for row in rows] == ["6 tokens", "2 tokens"]
    # 5 bits per token, 4 x 16 x 16 pixels.
    bits = [row["bits_per_pixel"] for row in rows]
    np.testing.assert_allclose(bits, [30 / 1024, 10 / 1024])
    for row, count in zip(rows, [6, 2], strict=True):
        ids = tokenizer.encode(videos, num_tokens=count)
        decoded = ops.convert_to_numpy(tokenizer.decode(ids))
        psnr, ssim = (
            np.mean(ops.convert_to_numpy(metric(videos, decoded)))
            for metric in (metrics.psnr, metrics.ssim)
        )
        np.testing.assert_allclose(row["PSNR"], psnr, rtol=1e-5)
        np.testing.assert_allclose(row["SSIM"], ssim, rtol=1e-4)


def test_numbers_of_tokens_by_default():
    (row,) = evaluation.rate_distortion(tiny_tokenizer(), clips(), codecs=[])
    assert row["setting"] == "6 tokens"
    rows = evaluation.rate_distortion(elastic(), clips(), codecs=[])
    assert [r["setting"].split()[0] for r in rows] == ["6", "3", "1"]


def test_codecs_are_measured():
    rows = evaluation.rate_distortion(tiny_tokenizer(), clips(), codecs=["av1"])
    rows = [row for row in rows if row["method"] == "av1"]
    bits = [row["bits_per_pixel"] for row in rows]
    assert bits == sorted(bits, reverse=True)
    assert rows[0]["PSNR"] > rows[-1]["PSNR"]
    assert set(rows[0]) == {
        "method", "setting", "bits_per_pixel", "PSNR", "SSIM"
    }  # fmt: skip


def test_perceptual_distances_are_measured():
    videos = np.random.default_rng(0).random((3, 2, 32, 32, 3), "float32")
    tokenizer = tiny_tokenizer(num_frames=2, image_size=32)
    lpips = models.LPIPS(seed=0)
    (row,) = evaluation.rate_distortion(
        tokenizer, videos, None, [], lpips, batch_size=2
    )
    decoded = tokenizer.decode(tokenizer.encode(videos))
    distances = ops.convert_to_numpy(lpips(videos, decoded))
    np.testing.assert_allclose(row["LPIPS"], distances.mean(), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_tokens": [7]}, "num_tokens"),
        ({"num_tokens": 3}, "num_tokens"),
        ({"num_tokens": []}, "num_tokens"),
        ({"codecs": "h264"}, "codecs"),
        ({"codecs": ["vp9"]}, "codecs"),
        ({"perceptual_model": 1}, "perceptual_model"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_invalid_arguments(options, message):
    with pytest.raises((ValueError, TypeError), match=f"{message}.*Received"):
        evaluation.rate_distortion(elastic(), clips(), **options)


def test_fixed_tokenizer_has_one_number_of_tokens():
    with pytest.raises(ValueError, match="token_dropout"):
        evaluation.rate_distortion(
            tiny_tokenizer(), clips(), num_tokens=[3], codecs=[]
        )


@pytest.mark.once
def test_command_writes_table_and_plot(tmp_path):
    elastic().save_to_preset(tmp_path / "tokenizer")
    run_here(
        evaluate_rate_distortion,
        f"--tokenizer={tmp_path / 'tokenizer'}",
        f"--output={tmp_path / 'output'}",
        "--num_clips=3",
        "--num_tokens=6,2",
        "--codec=h264",
    )
    names = [f"rate_distortion.{suffix}" for suffix in ("csv", "md", "png")]
    assert [n for n in written(tmp_path / "output") if n[0] != "."] == names
    with open(tmp_path / "output" / "rate_distortion.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == 2 * ["tokenizer"] + 6 * ["h264"]


@pytest.mark.once
@pytest.mark.parametrize("counts", ["a", "6,", "1.5", "-1"])
def test_invalid_numbers_of_tokens(tmp_path, counts):
    with pytest.raises(ValueError, match="--num_tokens.*Received"):
        run_here(
            evaluate_rate_distortion,
            "--tokenizer=larp_tiny_moving_shapes_tokenizer",
            f"--output={tmp_path}",
            f"--num_tokens={counts}",
        )
