"""Entries of `keras_larp.losses` and `keras_larp.metrics`."""

import atexit
import functools
import pathlib
import shutil
import tempfile

import numpy as np
from fuzz.bad_values import (
    TEXT,
    TEXT_OR_NONE,
    choice,
    floats,
    function,
    ids,
    instance,
    integer,
    number,
    path,
)
from fuzz.entries.layers import ONES, WEIGHTS, B, N, random_floats, random_ids
from fuzz.entry import Entry

from keras_larp import losses, metrics

K = 8
SHAPE = (B, 2, 16, 16, 3)
LOSSES = ("non_saturating_smooth", "non_saturating", "hinge")


def _logits():
    return random_floats(B, 1)


def _mean_colors(videos):
    return np.asarray(videos).mean(axis=(1, 2, 3))


def _statistics(features=None):
    statistics = metrics.FeatureStatistics("colors")
    statistics.update(random_floats(8, 3) if features is None else features)
    return statistics


@functools.cache
def _saved_statistics():
    folder = tempfile.mkdtemp(prefix="keras_larp_fuzz_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path_ = pathlib.Path(folder) / "statistics.npz"
    _statistics().save(path_)
    return path_


def entries():
    logits = floats(B, 1, mentions=("sample_weight", "noise"))
    pair = {"logits_real": _logits(), "logits_fake": _logits()}
    weighted = {"sample_weight": ONES}
    yield Entry(
        "losses.discriminator_loss",
        losses.discriminator_loss,
        lambda: {
            **pair,
            **weighted,
            "noise": (_logits(), _logits()),
        },
        {
            "noise": instance(optional=True),
            "logits_real": logits,
            "logits_fake": logits,
            "kind": choice(*LOSSES, mentions=("adversarial loss",)),
            "sample_weight": WEIGHTS,
        },
    )
    yield Entry(
        "losses.adversarial_loss",
        losses.adversarial_loss,
        lambda: {"logits_fake": _logits(), **weighted},
        {
            "logits_fake": logits,
            "kind": choice(*LOSSES, mentions=("adversarial loss",)),
            "sample_weight": WEIGHTS,
        },
    )
    yield Entry(
        "losses.lecam_penalty",
        losses.lecam_penalty,
        lambda: {**pair, **weighted, "average_real": 0.5, "average_fake": 0.1},
        {
            "logits_real": logits,
            "logits_fake": logits,
            "average_real": number("(-inf, inf)"),
            "average_fake": number("(-inf, inf)"),
            "sample_weight": WEIGHTS,
        },
    )
    yield Entry(
        "losses.token_cross_entropy",
        losses.token_cross_entropy,
        lambda: {
            "logits": random_floats(B, N, K),
            "token_ids": random_ids(K, B, N),
            "token_mask": np.ones((B, N), "float32"),
            **weighted,
        },
        {
            "logits": floats(B, N, None, mentions=("token_ids",)),
            "token_ids": ids(K, B, N, mentions=("ids",)),
            "sample_weight": WEIGHTS,
            "token_mask": floats(B, N, optional=True),
        },
    )
    videos = {
        "videos": random_floats(*SHAPE),
        "reconstructions": random_floats(*SHAPE),
    }
    video = floats(*SHAPE, unit=True, mentions=("video", "frames", "clips"))
    unclipped = floats(*SHAPE, unclipped=True, mentions=("reconstructions",))
    for name in ("psnr", "ssim"):
        yield Entry(
            f"metrics.{name}",
            getattr(metrics, name),
            lambda: videos,
            {"videos": video, "reconstructions": unclipped},
        )
        cls = getattr(metrics, name.upper())
        yield Entry(
            f"metrics.{name.upper()}.update_state",
            lambda cls=cls, **kwargs: cls().update_state(**kwargs),
            lambda: {
                "y_true": videos["videos"],
                "y_pred": videos["reconstructions"],
                **weighted,
            },
            {
                "y_true": video,
                "y_pred": unclipped,
                "sample_weight": WEIGHTS,
            },
        )
    threshold = number("(0, 1)")
    for name, cls in (
        ("moving_psnr", metrics.MovingPSNR),
        ("still_flicker", metrics.StillFlicker),
    ):
        yield Entry(
            f"metrics.{name}",
            getattr(metrics, name),
            lambda: videos,
            {
                "videos": video,
                "reconstructions": unclipped,
                "threshold": threshold,
            },
        )
        yield Entry(
            f"metrics.{cls.__name__}", cls, dict, {"threshold": threshold}
        )
        yield Entry(
            f"metrics.{cls.__name__}.update_state",
            lambda cls=cls, **kwargs: cls().update_state(**kwargs),
            lambda: {
                "y_true": videos["videos"],
                "y_pred": videos["reconstructions"],
                **weighted,
            },
            {"y_true": video, "y_pred": unclipped, "sample_weight": WEIGHTS},
        )
    yield Entry(
        "metrics.moving_pixels",
        metrics.moving_pixels,
        lambda: {"videos": videos["videos"]},
        {
            "videos": floats(*[None] * 5, finite=True, mentions=("clips",)),
            "threshold": threshold,
        },
    )
    yield Entry(
        "metrics.median_frame",
        metrics.median_frame,
        lambda: {"videos": videos["videos"]},
        {"videos": floats(any_rank=True, finite=True)},
    )
    yield Entry(
        "metrics.CodeStatistics",
        metrics.CodeStatistics,
        lambda: {"codebook_size": K},
        {"codebook_size": integer(2)},
    )
    yield Entry(
        "metrics.CodeStatistics.update_state",
        lambda **kwargs: metrics.CodeStatistics(K).update_state(**kwargs),
        lambda: {
            "token_ids": random_ids(K, B, N),
            "token_mask": np.ones((B, N), "float32"),
        },
        {
            "token_ids": ids(K, any_rank=True, mentions=("ids",)),
            "token_mask": floats(B, N, optional=True),
        },
    )
    yield Entry(
        "metrics.FeatureStatistics",
        metrics.FeatureStatistics,
        dict,
        {"extractor": TEXT},
    )
    yield Entry(
        "metrics.FeatureStatistics.update",
        lambda features: _statistics(random_floats(4, 3)).update(features),
        lambda: {"features": random_floats(8, 3)},
        {"features": floats(None, 3, finite=True, or_integers=True)},
    )
    yield Entry(
        "metrics.FeatureStatistics.save",
        lambda path: _statistics().save(path),
        lambda: {"path": _saved_statistics()},
        {"path": path()},
    )
    yield Entry(
        "metrics.FeatureStatistics.load",
        metrics.FeatureStatistics.load,
        lambda: {"path": _saved_statistics()},
        {"path": path()},
    )
    yield Entry(
        "metrics.FrechetVideoDistance",
        metrics.FrechetVideoDistance,
        lambda: {"feature_extractor": _mean_colors, "extractor_name": "a"},
        {"feature_extractor": function(), "extractor_name": TEXT_OR_NONE},
    )
    yield Entry(
        "metrics.frechet_distance",
        metrics.frechet_distance,
        lambda: {"first": _statistics(), "second": _statistics()},
        {
            "first": instance("FeatureStatistics"),
            "second": instance("FeatureStatistics"),
        },
    )
