"""Entries of `keras_larp.evaluation`."""

import functools

import numpy as np
from fuzz.bad_values import (
    TEXT,
    TEXT_OR_NONE,
    Kind,
    boolean,
    choice,
    existing_path,
    floats,
    function,
    ids,
    instance,
    integer,
    integers,
    mapping,
    names,
    number,
    path,
)
from fuzz.entries.data import (
    COUNT,
    ON_ERROR,
    SEED,
    SOURCE,
    folder,
    shapes,
)
from fuzz.entries.layers import POSITIVE, random_floats, random_ids
from fuzz.entries.models import frame_generator, generator, tokenizer
from fuzz.entry import Entry
from hypothesis import strategies as st

from keras_larp import evaluation

_ORIGINALS = (1, 4, 16, 16, 3)
_PIXELS = {"unit": True, "or_uint8": True, "mentions": ("video",)}
_SHARDS = Kind(
    lambda valid: st.one_of(
        integers(2, minimum=0).bad(valid),
        st.tuples(st.integers(1, 10), st.just(1)),
        st.sampled_from([(3, 2), (0, 0), (0, -1), (-1, 1)]),
    )
)


@functools.cache
def _clips():
    return evaluation.EvaluationClips(shapes(), 4, 16)


@functools.cache
def _extractor():
    return evaluation.FeatureExtractor(
        lambda clips: np.asarray(clips).mean(axis=(1, 2, 3)), "colors"
    )


@functools.cache
def _classifier():
    return evaluation.ClipClassifier(12)


COMMON = {
    "folder": path(),
    "tokenizer": instance(),
    "clips": instance("EvaluationClips"),
    "batch_size": POSITIVE,
    "shard": _SHARDS,
    "save_videos": boolean(),
    "overwrite": boolean(),
    "settings": mapping(optional=True),
    "verbose": integer(0, 1),
}
OPTIONS = {
    "generate_options": Kind(
        lambda valid: st.one_of(
            mapping(optional=True).bad(valid),
            number("[0, inf)").bad(1.0).map(lambda t: {"temperature": t}),
        ),
        ("temperature",),
    )
}


def _evaluate(function_, **kwargs):
    arguments = {"overwrite": True, "verbose": 0, **kwargs}
    return function_(**arguments)


def _functions():
    common = {
        "tokenizer": tokenizer(),
        "clips": _clips(),
        "batch_size": 2,
        "shard": (0, 1),
    }
    output = folder() / "evaluation"
    yield (
        evaluation.evaluate_reconstruction,
        {"folder": output / "reconstruction", **common},
        {
            **COMMON,
            "feature_extractor": instance(optional=True),
            "perceptual_model": instance(optional=True),
        },
    )
    yield (
        evaluation.evaluate_generation,
        {
            "folder": output / "generation",
            **common,
            "generator": generator(),
            "labels": np.array([0, 1]),
            "feature_extractor": _extractor(),
        },
        {
            **COMMON,
            **OPTIONS,
            "generator": instance(),
            "labels": ids(3, None, negative=True, mentions=("class ids",)),
            "feature_extractor": instance(),
            "classifier": instance(optional=True),
            "motion_classifier": instance(optional=True),
        },
    )
    yield (
        evaluation.evaluate_frame_prediction,
        {
            "folder": output / "frame_prediction",
            **common,
            "generator": frame_generator(),
            "feature_extractor": _extractor(),
            "compare_size": 16,
        },
        {
            **COMMON,
            **OPTIONS,
            "generator": instance(),
            "feature_extractor": instance(),
            "num_condition_frames": integer(1, 3, optional=True),
            "compare_size": POSITIVE,
        },
    )


@functools.cache
def _evaluated():
    """The folder of a complete evaluation."""
    found = folder() / "evaluation" / "complete"
    _evaluate(
        evaluation.evaluate_reconstruction,
        folder=found,
        tokenizer=tokenizer(),
        clips=_clips(),
        batch_size=2,
    )
    return found


def _comparisons():
    def folders():
        return {"first": _evaluated(), "second": _evaluated()}

    comparison = evaluation.MetricComparison(
        *("PSNR", 20.0, 20.8, 0.6, 1.0),
        num_clips=(64, 64),
        paired=True,
        larger_is_better=True,
        unit="dB",
    )
    yield Entry(
        "evaluation.compare_evaluations",
        evaluation.compare_evaluations,
        lambda: {**folders(), "num_resamples": 10},
        {
            "first": path(),
            "second": path(),
            "confidence": number("(0, 1)"),
            "num_resamples": integer(2),
            "seed": SEED,
        },
    )
    yield Entry(
        "evaluation.comparison_grid",
        evaluation.comparison_grid,
        folders,
        {"first": path(), "second": path(), "num_clips": POSITIVE},
    )
    for name in ("comparison_table", "comparison_verdict"):
        yield Entry(
            f"evaluation.{name}",
            getattr(evaluation, name),
            lambda: {"comparisons": [comparison], "names": ["a", "b"]},
            {"comparisons": instance(), "names": names()},
        )


def _damaged_file():
    path_ = folder() / "i3d.pt"
    path_.write_bytes(b"not weights")
    return path_


def entries():
    yield Entry(
        "evaluation.EvaluationClips",
        evaluation.EvaluationClips,
        lambda: {"source": shapes(), "num_frames": 4, "image_size": 16},
        {
            "source": SOURCE,
            "num_frames": POSITIVE,
            "image_size": POSITIVE,
            "frame_sampling": choice(
                "random", "first", "center", "uniform", "windows"
            ),
            "num_clips": COUNT,
            "seed": SEED,
            "on_error": ON_ERROR,
            "allow_fewer": boolean(),
        },
    )
    for function_, valid, kinds in _functions():
        yield Entry(
            f"evaluation.{function_.__name__}",
            functools.partial(_evaluate, function_),
            lambda v=valid: v,
            kinds,
        )
    yield Entry(
        "evaluation.FeatureExtractor",
        evaluation.FeatureExtractor,
        lambda: {"function": len, "name": "length"},
        {
            "function": function(),
            "name": TEXT,
            "distance": TEXT,
            "min_frames": POSITIVE,
        },
    )
    yield Entry(
        "evaluation.FeatureExtractor.call",
        lambda videos: _extractor()(videos),
        lambda: {"videos": random_floats(2, 4, 16, 16, 3)},
        {
            "videos": floats(
                None, None, None, None, 3, unit=True, mentions=("clips",)
            )
        },
    )
    yield Entry(
        "evaluation.ClipClassifier",
        evaluation.ClipClassifier,
        lambda: {"num_classes": 12},
        {
            "num_classes": POSITIVE,
            "seed": SEED,
            "motion_only": boolean(),
        },
    )
    yield Entry(
        "evaluation.i3d_features",
        evaluation.i3d_features,
        lambda: {"source": _damaged_file()},
        {
            "source": existing_path(),
            "sha256": TEXT_OR_NONE,
            "epsilon": number("(0, inf)"),
        },
        can_run=False,
    )
    yield Entry(
        "evaluation.load_or_train_classifier",
        evaluation.load_or_train_classifier,
        lambda: {"train": shapes(), "test": shapes(), "num_frames": 4},
        {
            "train": SOURCE,
            "test": SOURCE,
            "motion_only": boolean(),
            "path": path(optional=True),
            "num_frames": POSITIVE,
        },
        can_run=False,
    )
    yield Entry(
        "evaluation.class_features",
        evaluation.class_features,
        lambda: {"classifier": _classifier()},
        {"classifier": instance()},
    )
    yield from _comparisons()
    yield Entry(
        "evaluation.merge",
        evaluation.merge,
        lambda: {"folder": _evaluated()},
        {"folder": path()},
    )
    yield Entry(
        "evaluation.overlapping_files",
        evaluation.overlapping_files,
        lambda: {"source": shapes(), "training": shapes()},
        {"source": SOURCE, "training": SOURCE},
    )
    yield Entry(
        "evaluation.append_to_report",
        evaluation.append_to_report,
        lambda: {
            "path": folder() / "report",
            "results": {"PSNR": 20.0},
            "settings": {"kind": "reconstruction"},
        },
        {"path": path(), "results": mapping(), "settings": mapping()},
    )
    usage = {"token_ids": random_ids(8, 4, 6), "codebook_size": 8}
    kinds = {
        "token_ids": ids(8, None, None, mentions=("ids",)),
        "codebook_size": integer(2),
        "num_bins": POSITIVE,
    }
    yield Entry(
        "evaluation.codebook_usage_by_position",
        evaluation.codebook_usage_by_position,
        lambda: usage,
        kinds,
    )
    yield Entry(
        "evaluation.write_codebook_usage",
        evaluation.write_codebook_usage,
        lambda: {"path": folder() / "usage.png", **usage},
        {"path": path(), **kinds},
    )
    yield Entry(
        "evaluation.resample_suffix",
        evaluation.resample_suffix,
        lambda: {
            "generator": generator(),
            "tokenizer": tokenizer(),
            "token_ids": random_ids(32, 2, 6),
            "condition": np.array([0, 1]),
            "counts": [2],
        },
        {
            "generator": instance(),
            "tokenizer": instance(),
            "token_ids": ids(32, 2, 6, mentions=("tokens",)),
            "condition": ids(3, 2, negative=True, mentions=("class",)),
            "counts": integers(1, minimum=0),
            "seed": integer(0, 2**64 - 1),
        },
    )
    yield Entry(
        "evaluation.truncation_video",
        evaluation.truncation_video,
        lambda: {
            "clips": random_floats(2, 1, 4, 16, 16, 3),
            "originals": random_floats(1, 4, 16, 16, 3),
            "counts": [0, 4],
            "names": ["a"],
        },
        {
            "clips": floats(2, *_ORIGINALS, **_PIXELS),
            "originals": floats(*_ORIGINALS, **_PIXELS),
            "counts": integers(2, minimum=0),
            "names": names(),
        },
    )
    rows = [
        {
            "method": "tokenizer",
            "setting": "6 tokens",
            "bits_per_pixel": 0.03,
            "PSNR": 9.0,
        }
    ]
    bad_rows = Kind(
        lambda _: st.sampled_from(
            [None, [], {}, 1, "rows", [1], [{}], [*rows, {}], [{"PSNR": 1.0}]]
        )
    )
    yield Entry(
        "evaluation.rate_distortion_table",
        evaluation.rate_distortion_table,
        lambda: {"rows": rows},
        {"rows": bad_rows},
    )
    yield Entry(
        "evaluation.plot_rate_distortion",
        evaluation.plot_rate_distortion,
        lambda: {"rows": rows, "output_png": folder() / "rates.png"},
        {"rows": bad_rows, "output_png": path()},
    )
    yield Entry(
        "evaluation.rate_distortion",
        functools.partial(evaluation.rate_distortion, codecs=()),
        lambda: {
            "tokenizer": tokenizer(),
            "videos": random_floats(1, 4, 16, 16, 3),
        },
        {
            "tokenizer": instance(),
            "videos": floats(
                None, 4, 16, 16, 3, unit=True, mentions=("clips",)
            ),
            "num_tokens": Kind(
                lambda _: st.sampled_from([[], 3, [0], [7], [1.5], "6", [[3]]])
            ),
            "perceptual_model": instance(optional=True),
            "batch_size": POSITIVE,
        },
    )
    yield Entry(
        "evaluation.rate_distortion codecs",
        lambda codecs: evaluation.rate_distortion(
            tokenizer(), random_floats(1, 4, 16, 16, 3), codecs=codecs
        ),
        lambda: {"codecs": []},
        {
            "codecs": Kind(
                lambda _: st.sampled_from(["h264", 1, None, ["x"], [1], {}])
            )
        },
    )
    yield Entry(
        "evaluation.plot_run",
        evaluation.plot_run,
        lambda: {"csv_file": _log(), "output_png": folder() / "run.png"},
        {"csv_file": path(), "output_png": path()},
    )


@functools.cache
def _log():
    path_ = folder() / "log.csv"
    path_.write_text("epoch,loss\n0,1.0\n1,0.5\n")
    return path_
