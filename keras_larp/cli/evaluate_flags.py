"""Flags and functions shared by the `evaluate` commands."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

from absl import flags, logging

import keras_larp
from keras_larp.cli import data_flags, launcher, model_flags

# Flags to report, if defined: those that affect results, and those that only
# locate files, which may differ between the shards of an evaluation.
_REPORTED = ("fold", "games", "on_error", "quantize")
_PATHS = ("data", "test_data", "tokenizer", "generator")


def define(
    values: flags.FlagValues, output: str, num_clips: int | None = None
) -> None:
    """Defines the flags of data, tokenizer, features, output and report.

    Args:
        values: `flags.FlagValues` to which the flags are added.
        output: String. The default output folder.
        num_clips: Integer. Default number of clips, or fewer if the data has
            fewer. `None` selects all clips. Defaults to `None`.
    """
    model_flags.define_tokenizer(values)
    data_flags.define(values, batch_size=8)
    options: dict[str, Any] = {
        "flag_values": values,
        "module_name": "Evaluation",
    }
    text = "Number of clips, selected at random by --seed."
    if num_clips is None:
        text += " If omitted, all clips."
    else:
        text += " By default, all clips are used if there are fewer."
    flags.DEFINE_integer("num_clips", num_clips, text, 1, **options)
    flags.DEFINE_string(
        "i3d",
        None,
        "I3D weights for FVD: i3d_pretrained_400.pt, rgb_imagenet.pt (with "
        "--i3d_epsilon=1e-3) or i3d_torchscript.pt.",
        **options,
    )
    flags.DEFINE_float(
        "i3d_epsilon",
        1e-5,
        "Epsilon of I3D's batch normalization.",
        1e-12,
        **options,
    )
    flags.DEFINE_string(
        "i3d_sha256", None, "SHA-256 checksum of --i3d to verify.", **options
    )
    flags.DEFINE_enum(
        "features",
        None,
        ["random", "classes"],
        "Features to use without --i3d: those of a small network with random "
        "weights, or of one trained to classify --data. Distances between them "
        "are not FVD. By default random, and none for reconstructions.",
        **options,
    )
    flags.DEFINE_string(
        "classifier",
        None,
        "Weights file, ending in .weights.h5, of the classifier for "
        "--features=classes and --class_fidelity. If it does not exist, a "
        "classifier is trained and saved. If omitted, classifier.weights.h5 in "
        "--output.",
        **options,
    )
    options["module_name"] = "Output"
    flags.DEFINE_string(
        "output", output, "Output folder of the evaluation.", **options
    )
    flags.DEFINE_string(
        "shard",
        None,
        "Evaluate only shard i of n, written i/n with i from 0 to n - 1, such "
        "as 0/8, and merge all shards with `evaluate merge`. If omitted, all "
        "clips are evaluated, by all processes of a launcher.",
        **options,
    )
    flags.DEFINE_bool(
        "overwrite",
        False,
        "Evaluate again and replace existing results in --output.",
        **options,
    )
    flags.DEFINE_bool(
        "save_videos", False, "Also write the clips as video files.", **options
    )
    define_report(values)


def define_report(values: flags.FlagValues) -> None:
    """Defines `--report`."""
    flags.DEFINE_string(
        "report",
        None,
        "Path, without extension, of the .csv and .md files to which results "
        "are appended. If omitted, `report` in the folder of the evaluation.",
        flag_values=values,
        module_name="Output",
    )


def load_tokenizer_and_extractor(
    values: flags.FlagValues, default: str | None = None
) -> tuple:
    """Loads the tokenizer and the feature extractor.

    Args:
        values: The parsed flags.
        default: String. `--features` if neither `--i3d` nor `--features` is
            given. Defaults to `None`.

    Returns:
        Pair of the `LARPTokenizer` and the `FeatureExtractor`, or `None` if no
        features are selected.
    """
    features = values.features or (None if values.i3d else default)
    if values.i3d and features:
        raise ValueError(
            "Pass either --i3d or --features. Received: --i3d="
            f"{values.i3d} and --features={features}"
        )
    extractor = None
    if values.i3d:  # first, since this file is the most likely to be missing
        extractor = keras_larp.evaluation.i3d_features(
            values.i3d, values.i3d_sha256, values.i3d_epsilon
        )
    if features == "random":
        extractor = keras_larp.evaluation.random_features()
    tokenizer = model_flags.load_tokenizer(values)
    if features == "classes":
        extractor = keras_larp.evaluation.class_features(
            load_classifier(values, tokenizer.num_frames)
        )
    return tokenizer, extractor


def load_classifier(
    values: flags.FlagValues, num_frames: int, motion_only: bool = False
):
    """Loads the classifier of the data's classes, or trains and saves it."""
    flag = "motion_classifier" if motion_only else "classifier"
    path = pathlib.Path(values.output) / f"{flag}.weights.h5"
    if flag in values and values[flag].value:
        path = values[flag].value
    sources = data_flags.make_classified_sources(
        values, num_frames, keras_larp.evaluation.small_video_network.IMAGE_SIZE
    )
    return keras_larp.evaluation.load_or_train_classifier(
        *sources, path, num_frames, motion_only=motion_only
    )


def choose_clips(
    values: flags.FlagValues,
    split: str,
    tokenizer,
    frame_sampling: str,
    flag: str | None = "num_clips",
):
    """Selects clips of the size of the tokenizer's input.

    Args:
        values: The parsed flags.
        split: String. `"train"` or `"test"`.
        tokenizer: `LARPTokenizer`.
        frame_sampling: String. See `EvaluationClips`.
        flag: String. Name of the flag with the number of clips. `None` selects
            all clips. Defaults to `"num_clips"`.

    Returns:
        `EvaluationClips`.
    """
    sizes = tokenizer.num_frames, tokenizer.image_size
    num_clips, fewer = None, False
    if flag is not None:
        num_clips, fewer = values[flag].value, values[flag].using_default_value
    return keras_larp.evaluation.EvaluationClips(
        data_flags.make_source(values, split, *sizes),
        *sizes,
        frame_sampling=frame_sampling,
        num_clips=num_clips,
        seed=values.seed,
        on_error=values.on_error,
        allow_fewer=fewer,
    )


def split_name(values: flags.FlagValues, split: str) -> str:
    """Returns the name in reports of the videos used as `"train"`/`"test"`."""
    if split == "test" and values.test_data:
        return "all of --test_data"
    kind = data_flags.data_format(values)
    if kind in data_flags.CLASSIFIED:
        return split
    return "all of --data (no test split)"


def check_overlap(values: flags.FlagValues, clips) -> str:
    """Checks whether test videos are also training videos.

    Args:
        values: The parsed flags.
        clips: `EvaluationClips` of test videos.

    Returns:
        String for the report. An overlap is also printed.
    """
    source = clips.loader.source
    if source.path(0) is None:
        return "none, clips are computed"
    has_split = data_flags.data_format(values) == "ucf101"
    if not has_split and not values.test_data:
        return "not known: no --test_data was given"
    sizes = clips.loader.num_frames, clips.loader.image_size
    try:
        training = data_flags.make_source(values, "train", *sizes)
    except ValueError:  # The folder only has videos of the test split.
        return "not known: there are no training videos"
    files = keras_larp.evaluation.overlapping_files(source, training)
    if not files:
        return "none"
    text = (
        f"{len(files)} of {len(source)} videos are training videos: "
        f"{', '.join(pathlib.PurePath(file).name for file in files[:10])}"
        f"{', ...' if len(files) > 10 else ''}"
    )
    if keras_larp.distribution.is_chief():
        logging.warning("%s", text)
        print(f"Overlap: {text}")
    return text


def settings(values: flags.FlagValues, **others) -> dict:
    """Returns the settings to report: those of flags, and `others`."""

    def defined(names):
        return {name: values[name].value for name in names if name in values}

    return {
        keras_larp.evaluation.shards.PATHS: defined(_PATHS),
        "data_format": data_flags.data_format(values),
        **defined(_REPORTED),
        **others,
    }


@contextlib.contextmanager
def run_evaluation(
    values: flags.FlagValues, num_clips: int | None
) -> Iterator[dict]:
    """Yields arguments of the functions of `keras_larp.evaluation`.

    Afterwards, it merges and reports the results, unless `--shard` requests
    one shard only. The processes of a launcher each evaluate a shard, and the
    first one merges them.

    Args:
        values: The parsed flags.
        num_clips: Integer. Maximum number of clips, to check the number of
            shards. `None` disables the check.

    Raises:
        BlockingIOError: If another process evaluates to the same folder.
    """
    launcher.initialize(values)
    shard = launcher.shard(values)
    if num_clips is not None:
        num_batches = -(-num_clips // values.batch_size)
        keras_larp.evaluation.shards.shard_batches(num_batches, *shard)
    is_chief = keras_larp.distribution.is_chief()
    options = {
        "batch_size": values.batch_size,
        "shard": shard,
        "save_videos": values.save_videos,
        "overwrite": values.overwrite,
        "verbose": int(is_chief),
    }
    if values.shard:
        yield options
        name = keras_larp.evaluation.shards.shard_name(*shard)
        print(f"Wrote {pathlib.Path(values.output) / name}")
        return
    lock = keras_larp.distribution.lock_job_folder(values.output)
    with lock as wait_for_all:
        if values.overwrite and shard[1] > 1:
            keras_larp.distribution.on_chief(
                lambda: keras_larp.evaluation.shards.remove_shards(
                    values.output, shard[1]
                )
            )
        yield options
        wait_for_all()
        if is_chief:
            report(values.output, values.report)


def report(folder: str, path: str | None) -> None:
    """Merges the shards of a folder, prints the results and reports them."""
    results, settings_ = keras_larp.evaluation.merge(folder)
    path = path or pathlib.Path(folder) / "report"
    keras_larp.evaluation.append_to_report(path, results, settings_)
    for name, value in results.items():
        text = f"{value:.6g}" if isinstance(value, float) else value
        print(f"{name} {text}")
    print(f"Appended the results to {path}.csv and {path}.md")
