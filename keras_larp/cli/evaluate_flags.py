"""Flags that the evaluations share, and what they stand for."""

import pathlib

from absl import flags, logging

from keras_larp import evaluation
from keras_larp.cli import data_flags, model_flags
from keras_larp.evaluation.shards import PATHS, parse_shard, shard_batches
from keras_larp.evaluation.small_video_network import IMAGE_SIZE

# Flags for the report: those that results depend on, and those that say where
# files lie, which may differ between shards.
_REPORTED = ("fold", "on_error", "quantize")
_PATHS = ("data", "test_data", "tokenizer", "generator")


def define(values, output, num_clips=None):
    """Defines the flags of data, shards, extractor and report.

    Args:
        values: A `flags.FlagValues`.
        output: String, the default folder.
        num_clips: Integer, the default of clips, of all where there are
            fewer; all of them where `None`.
    """
    data_flags.define(values, batch_size=8)
    model_flags.define_tokenizer(values)
    unset = "all" if num_clips is None else f"{num_clips}, or all if fewer,"
    flags.DEFINE_integer(
        "num_clips",
        num_clips,
        f"How many clips, drawn with --seed; {unset} where not given.",
        1,
        flag_values=values,
    )
    flags.DEFINE_string(
        "i3d",
        None,
        "File of I3D's weights for FVD: i3d_pretrained_400.pt, "
        "rgb_imagenet.pt (with --i3d_epsilon=1e-3) or i3d_torchscript.pt.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "i3d_epsilon",
        1e-5,
        "Of I3D's batch normalization.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "i3d_sha256", None, "Checksum of --i3d.", flag_values=values
    )
    flags.DEFINE_enum(
        "features",
        None,
        ["random", "classes"],
        "Without --i3d: features of a small network that is random, or was "
        "trained to tell the classes of --data. Their distances are not "
        "called FVD.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "classifier",
        None,
        "File, ending in .weights.h5, of the network that --features=classes "
        "and --class_fidelity judge by: read where it is there, else trained "
        "and written. One in --output where not given.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "output",
        output,
        "Folder of this evaluation and its shards.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "shard",
        None,
        "i/n, to do only a part, i from 0; then `evaluate merge`. Everything "
        "where not given.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "overwrite",
        False,
        "Do again what --output has already.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "save_videos", False, "Write the clips too.", flag_values=values
    )
    define_report(values)


def define_report(values):
    """Defines the flag of the report."""
    flags.DEFINE_string(
        "report",
        None,
        "Path without ending of the report, .csv and .md, to append to; "
        "`report` in the folder of the evaluation where not given.",
        flag_values=values,
    )


def load_tokenizer_and_extractor(values, default=None):
    """The tokenizer, and the `FeatureExtractor` that the flags name or
    `None`; the file of I3D first, since it is the likeliest to be missing."""
    features = values.features or (None if values.i3d else default)
    if values.i3d and features:
        raise ValueError(
            "Pass --i3d or --features. Received: both, --i3d="
            f"{values.i3d} and --features={features}"
        )
    extractor = None
    if values.i3d:
        extractor = evaluation.i3d_features(
            values.i3d, values.i3d_sha256, values.i3d_epsilon
        )
    if features == "random":
        extractor = evaluation.random_features()
    tokenizer = model_flags.load_tokenizer(values)
    if features == "classes":
        extractor = evaluation.class_features(
            load_classifier(values, tokenizer.num_frames)
        )
    return tokenizer, extractor


def load_classifier(values, num_frames):
    """The classifier of the data's classes, from its file or trained once."""
    path = pathlib.Path(values.output) / "classifier.weights.h5"
    if "classifier" in values and values.classifier:
        path = values.classifier
    sources = data_flags.make_classified_sources(values, num_frames, IMAGE_SIZE)
    return evaluation.load_or_train_classifier(*sources, path, num_frames)


def choose_clips(values, split, tokenizer, frame_sampling, flag="num_clips"):
    """`EvaluationClips` of the tokenizer's size, as many as a flag says, or all
    where it is `None`."""
    sizes = tokenizer.num_frames, tokenizer.image_size
    num_clips, fewer = None, False
    if flag is not None:
        num_clips, fewer = values[flag].value, values[flag].using_default_value
    return evaluation.EvaluationClips(
        data_flags.make_source(values, split, *sizes),
        *sizes,
        frame_sampling=frame_sampling,
        num_clips=num_clips,
        seed=values.seed,
        on_error=values.on_error,
        allow_fewer=fewer,
    )


def split_name(values, split):
    """What a report calls the videos that stand for `"train"` or `"test"`."""
    if split == "test" and values.test_data:
        return "all of --test_data"
    kind = data_flags.data_format(values)
    if kind in data_flags.CLASSIFIED:
        return split
    return "all of --data (no test split)"


def check_overlap(values, clips):
    """What to report of real clips that are among the training videos.

    Args:
        values: The parsed flags.
        clips: `EvaluationClips` that should not be.

    Returns:
        String; also printed where there are such.
    """
    source = clips.loader.source
    if source.path(0) is None:
        return "none, clips are computed"
    has_split = data_flags.data_format(values) == "ucf101"
    if not has_split and not values.test_data:
        return "not known: there is no --test_data beside --data"
    sizes = clips.loader.num_frames, clips.loader.image_size
    try:
        training = data_flags.make_source(values, "train", *sizes)
    except ValueError:  # The folder has only those of the test part.
        return "not known: there are no training videos"
    files = evaluation.overlapping_files(source, training)
    if not files:
        return "none"
    text = (
        f"{len(files)} of {len(source)} videos are in the training list: "
        f"{', '.join(pathlib.PurePath(file).name for file in files[:10])}"
        f"{', ...' if len(files) > 10 else ''}"
    )
    logging.warning("%s", text)
    print(f"Overlap: {text}")
    return text


def settings(values, **more):
    """The flags that results depend on, for the report."""
    paths = [name for name in _PATHS if name in values]
    reported = [name for name in _REPORTED if name in values]
    return {
        PATHS: {name: values[name].value for name in paths},
        "data_format": data_flags.data_format(values),
        **{name: values[name].value for name in reported},
        **more,
    }


def shard_options(values, num_clips):
    """Arguments of the functions of `keras_larp.evaluation`.

    Args:
        values: The parsed flags.
        num_clips: Integer, how many clips there are at most, or `None`.
    """
    shard = parse_shard(values.shard or "0/1")
    if num_clips is not None:
        shard_batches(-(-num_clips // values.batch_size), *shard)
    return {
        "batch_size": values.batch_size,
        "shard": shard,
        "save_videos": values.save_videos,
        "overwrite": values.overwrite,
    }


def finish(values, shard):
    """Merges and reports, unless only a part was asked for.

    Args:
        values: The parsed flags.
        shard: Path that was written.
    """
    if values.shard:
        print(f"Wrote {shard}")
        return
    report(values.output, values.report)


def report(folder, path):
    """Merges the shards of a folder, prints the results and appends them."""
    results, settings_ = evaluation.merge(folder)
    path = path or pathlib.Path(folder) / "report"
    evaluation.append_to_report(path, results, settings_)
    for name, value in results.items():
        text = f"{value:.6g}" if isinstance(value, float) else value
        print(f"{name} {text}")
    print(f"Reported to {path}.csv and {path}.md")
