"""Flags that select videos, and the sources and pipelines they define."""

import collections
import functools
import pathlib
from typing import Any

from absl import flags

from keras_larp import data
from keras_larp.cli import lazy_keras as keras
from keras_larp.data.sources.video_files import is_hidden
from keras_larp.data.sources.video_source import VideoSource
from keras_larp.data.video.video_reader import GEOMETRIES
from keras_larp.utils.json_files import read_text

COMPUTED = ["moving_shapes", "atari"]
FILES = ["ucf101", "kinetics600", "folder", "csv"]
# Formats whose class names are those of the folder or list.
_NAMED = ["kinetics600", "folder", "csv"]
# Formats with classes and a test split.
CLASSIFIED = [*COMPUTED, "ucf101"]
_NUM_TEST_CLIPS = 96  # of computed formats
# Clips per class for training and testing a classifier, and their seed, which
# no run uses by chance.
_NUM_CLASS_CLIPS, _CLASS_SEED = {"train": 80, "test": 20}, 1_000_003


def define(values: flags.FlagValues, batch_size: int | None = None) -> None:
    """Defines the flags that select and read videos.

    Args:
        values: `flags.FlagValues` to which the flags are added.
        batch_size: Integer. Default of `--batch_size`. `None` defines the
            flags of training data instead, for commands whose recipe has a
            batch size. Defaults to `None`.
    """
    options: dict[str, Any] = {"flag_values": values, "module_name": "Data"}
    flags.DEFINE_list(
        "data",
        None,
        "Folders or CSV files of videos. Several datasets are concatenated; "
        "listing one twice samples it twice per epoch. A prefix specifies the "
        "format, as in kinetics600:k600.csv; see --data_format. If omitted, "
        "clips are computed.",
        **options,
    )
    flags.DEFINE_list(
        "test_data",
        None,
        "Videos for evaluation, in the same form as --data. Needed for formats "
        "without a test split. For UCF101 its test split is used.",
        **options,
    )
    flags.DEFINE_enum(
        "data_format",
        None,
        [*COMPUTED, *FILES],
        "Format of --data: ucf101 (the extracted UCF-101 folder), kinetics600 "
        "(a CSV file of Kinetics-600), csv (a CSV file with the columns path "
        "and label; labels are class ids or names), or folder (one subfolder "
        "per class, or no classes). If omitted it is inferred. Without --data: "
        "moving_shapes (the default) or atari, which are computed.",
        **options,
    )
    flags.DEFINE_integer(
        "num_computed_clips",
        4096,
        "Number of training clips of moving_shapes or atari.",
        1,
        **options,
    )
    flags.DEFINE_list(
        "games",
        None,
        "Games of atari, such as boxing,pong. If omitted, all games.",
        **options,
    )
    flags.DEFINE_integer(
        "fold", 1, "Train/test split of UCF101: 1, 2 or 3.", 1, 3, **options
    )
    flags.DEFINE_integer(
        "num_workers",
        0,
        "Number of worker processes that decode video. 0 decodes in the main "
        "process.",
        0,
        **options,
    )
    flags.DEFINE_enum(
        "geometry",
        "display",
        GEOMETRIES,
        "How to read frames of video files: as a player shows them, or as they "
        "are stored, without rotation, mirroring and sample aspect ratio.",
        **options,
    )
    flags.DEFINE_integer(
        "max_frame_pixels",
        None,
        "Largest number of pixels per frame of a video file; larger files are "
        "errors. Default: 35389440 (8192 x 4320).",
        1,
        **options,
    )
    flags.DEFINE_integer(
        "max_decoded_pixels",
        None,
        "Largest number of pixels to decode for one clip of a video file; see "
        "set_video_limits. Default: 100 billion.",
        1,
        **options,
    )
    is_training = batch_size is None
    text = f"Random seed of the data{' and weights' if is_training else ''}."
    flags.DEFINE_integer("seed", 0, text, 0, **options)
    flags.DEFINE_enum(
        "on_error",
        "raise",
        ["raise", "skip"],
        "What to do with videos that cannot be decoded, and with listed videos "
        "that do not exist: stop with an error, or skip and count them.",
        **options,
    )
    if is_training:
        _define_training(options)
    else:
        flags.DEFINE_integer(
            "batch_size", batch_size, "Clips per batch.", 1, **options
        )


def _define_training(options):
    """Defines the flags of training data."""
    flags.DEFINE_bool(
        "keep_in_memory",
        False,
        "Decode each video once and cache its resized frames in memory as "
        "uint8.",
        **options,
    )
    flags.DEFINE_enum(
        "frame_sampling",
        "random",
        ["random", "uniform", "windows"],
        "Frames of a training clip: consecutive from a random start, evenly "
        "spread over the video, or every non-overlapping window as a clip.",
        **options,
    )
    flags.DEFINE_list(
        "crop_scale",
        None,
        "Range of the area of random training crops as a fraction of the "
        "frame, such as 0.5,1. If omitted, frames are center-cropped.",
        **options,
    )
    flags.DEFINE_float(
        "rand_augment",
        None,
        "Strength of Keras RandAugment on training clips, from 0 to 1. If "
        "omitted, it is disabled.",
        0.0,
        1.0,
        **options,
    )
    flags.DEFINE_enum(
        "resize",
        "pillow",
        ["pillow", "ffmpeg"],
        "Library that resizes training videos: pillow is antialiased, ffmpeg "
        "is faster.",
        **options,
    )


def load_class_names(name_or_path: str) -> list[str]:
    """Loads class names, indexed by class id.

    Args:
        name_or_path: String. `"ucf101"`, `"moving_shapes"`, `"atari"`, or the
            path of a text file with one name per line.

    Returns:
        List of strings.
    """
    if name_or_path == "ucf101":
        return list(data.UCF101.class_names)
    if name_or_path == "moving_shapes":
        return list(data.MovingShapes.class_names)
    if name_or_path == "atari":  # depends on the installed games
        return list(data.AtariGameplay(1).class_names)
    return read_text(name_or_path).splitlines()


def data_format(values: flags.FlagValues) -> str:
    """Returns the format of --data; formats are comma-separated."""
    if not values.data:
        return values.data_format or "moving_shapes"
    formats = [_format_and_path(values, entry)[0] for entry in values.data]
    return ",".join(dict.fromkeys(formats))


def _format_and_path(values, entry):
    """Returns the format and the path of an entry of --data."""
    prefix, colon, path = entry.partition(":")
    if colon and prefix in FILES:
        return prefix, path
    if colon and not pathlib.Path(entry).exists():
        raise ValueError(
            f"{entry} does not exist, and the prefix before the colon must be "
            f"a format: {', '.join(FILES)}. Received: {prefix!r}"
        )
    return values.data_format or _infer_format(pathlib.Path(entry)), entry


def _infer_format(path):
    if path.suffix.lower() == ".csv":
        return "csv"
    folders = {
        folder.name.lower()
        for folder in (path.iterdir() if path.is_dir() else [])
        if folder.is_dir() and not is_hidden(folder.name)
        if any(_has_ucf101_name(file.name) for file in folder.iterdir())
    }
    classes = {name.lower() for name in data.UCF101.class_names}
    return "ucf101" if folders and folders <= classes else "folder"


def _has_ucf101_name(name):
    return name.lower().startswith("v_") and name.lower().endswith(".avi")


def has_test_split(values: flags.FlagValues) -> bool:
    """Whether there are test videos in addition to the training videos."""
    return bool(values.test_data) or data_format(values) in CLASSIFIED


def make_source(
    values: flags.FlagValues,
    split: str,
    num_frames: int,
    image_size: int,
    num_clips: int | None = None,
    use_train_classes: bool = True,
) -> VideoSource:
    """Creates the source of videos that the flags select.

    Args:
        values: The parsed flags.
        split: String. `"train"` or `"test"`.
        num_frames: Integer. Frames per computed clip.
        image_size: Integer. Height and width of computed clips.
        num_clips: Integer. Number of computed clips. `None` selects the
            number of the flags and of the split. Defaults to `None`.
        use_train_classes: Boolean. Whether class ids of --test_data are those
            of --data, for test videos that lack some classes. Defaults to
            `True`.

    Returns:
        `VideoSource`.
    """
    format_ = data_format(values)
    if values.data and values.data_format in COMPUTED:
        raise ValueError(
            f"--data_format={values.data_format} is computed and cannot be "
            f"used with --data. Received: --data={','.join(values.data)}"
        )
    for entry in values.test_data or []:
        _check_test_data(values, entry)
    if values.games and format_ != "atari":
        raise ValueError(
            "--games selects the games of --data_format=atari. Received: "
            f"--games={','.join(values.games)} with {format_}"
        )
    if format_ in COMPUTED:
        if num_clips is None:
            num_clips = _NUM_TEST_CLIPS
            if split == "train":
                num_clips = values.num_computed_clips
        sizes = num_clips, num_frames, image_size
        return _make_computed(values, split, values.seed, *sizes)
    if not values.data:
        raise ValueError(f"--data_format={format_} requires --data.")
    entries = values.data
    if split == "test" and values.test_data:
        entries = values.test_data
    repeats = collections.Counter(entries)
    if split == "test":
        repeats = dict.fromkeys(entries, 1)
        for entry in [] if values.test_data else entries:
            if _format_and_path(values, entry)[0] not in CLASSIFIED:
                _print_once(
                    f"{entry} has no test split, so the training videos are "
                    "used for evaluation. Pass --test_data to use others."
                )
    sources = [_make_files(values, entry, split) for entry in repeats]
    if entries is values.test_data and use_train_classes:
        sources = _with_train_classes(values, list(repeats), sources)
    for entry, source in zip(repeats, sources, strict=True):
        _print_summary(values, entry, split, source)
    if sum(repeats.values()) == 1:
        return sources[0]
    _print_datasets(repeats, sources)
    return data.ConcatSource(sources, list(repeats.values()))


def _crop_scale(values):
    """Returns `--crop_scale` as numbers, or `None`."""
    if values.crop_scale is None:
        return None
    try:
        return tuple(map(float, values.crop_scale))
    except ValueError as error:
        raise ValueError(
            "--crop_scale must be two numbers, such as 0.5,1. Received: "
            f"--crop_scale={','.join(values.crop_scale)}"
        ) from error


def _check_test_data(values, entry):
    if not values.data:
        raise ValueError(
            "--test_data needs --data, the training videos. Received: "
            f"--test_data={entry} alone"
        )
    path = _format_and_path(values, entry)[1]
    if not pathlib.Path(path).exists():
        raise FileNotFoundError(f"--test_data={entry} does not exist.")


def _with_train_classes(values, entries, sources):
    """Returns test sources whose class ids are those of the training data."""
    train_entries = list(dict.fromkeys(values.data))
    train = [
        _make_files(values, entry, "train").class_names
        for entry in train_entries
    ]
    if len(train) == len(sources):
        for i, (entry, names) in enumerate(zip(entries, train, strict=True)):
            own = sources[i].class_names
            # Lists of class ids have "" for classes without videos.
            is_part = own and own != names and {*own} <= {*names, ""}
            if is_part and _format_and_path(values, entry)[0] in _NAMED:
                sources[i] = _make_files(values, entry, "test", names)
    test = [source.class_names for source in sources]
    if any(train) and any(test) and sum(train, ()) != sum(test, ()):
        _print_once(
            "--test_data has other classes than --data, and its class ids are "
            "those of its own classes. Losses and metrics that depend on the "
            "class may not be meaningful."
        )
    return sources


def _print_datasets(repeats, sources):
    """Prints the number of videos and the class ids of each dataset."""
    first = 0
    for (entry, count), source in zip(repeats.items(), sources, strict=True):
        last = first + len(source.class_names) - 1
        ids = f"classes {first} to {last}" if last >= first else "no classes"
        times = f" {count} times" if count > 1 else ""
        _print_once(f"{entry}: {len(source)} videos{times}, {ids}")
        first = last + 1
    counts = collections.Counter(n for s in sources for n in s.class_names if n)
    shared = [name for name, count in counts.items() if count > 1]
    if shared:
        _print_once(
            "Classes with the same name in several datasets remain separate "
            f"classes: {', '.join(shared[:5])}"
            f"{', ...' if len(shared) > 5 else ''}"
        )


@functools.cache
def _print_once(text):
    """Prints a line only once, since commands create some sources twice."""
    print(text)


def _make_computed(values, split, seed, *sizes):
    if data_format(values) == "atari":
        return data.AtariGameplay(
            *sizes, games=values.games, split=split, seed=seed
        )
    return data.MovingShapes(*sizes, seed=seed + (split == "test"))


def kept(
    values: flags.FlagValues, source: VideoSource, image_size: int
) -> VideoSource:
    """Caches the source in memory if `--keep_in_memory` is set."""
    if not values.keep_in_memory:
        return source
    if values.num_workers:
        raise ValueError(
            "--keep_in_memory cannot be combined with --num_workers, since "
            "each worker process would have its own cache. Received: "
            f"--num_workers={values.num_workers}"
        )
    return data.CachedSource(source, image_size)


def _make_files(values, entry, split, class_names=None):
    """Creates the source of an entry of --data."""
    format_, path = _format_and_path(values, entry)
    data.set_video_limits(values.max_frame_pixels, values.max_decoded_pixels)
    geometry, on_error = values.geometry, values.on_error
    if format_ == "folder":
        return data.VideoFolder(path, class_names, geometry)
    if format_ == "ucf101":
        return data.UCF101(
            path, split, values.fold, on_error=on_error, geometry=geometry
        )
    if format_ == "kinetics600":  # Paths are relative to the CSV file.
        folder = pathlib.Path(path).parent
        return data.Kinetics600(folder, path, class_names, on_error, geometry)
    return data.VideoList(path, None, class_names, on_error, geometry)


def _print_summary(values, entry, split, source):
    """Prints the videos and classes of a source, and the files left out."""
    format_ = _format_and_path(values, entry)[0]
    suffix = f" ({split} split)" if format_ == "ucf101" else ""
    _print_once(f"{entry}{suffix}: {source.summary()}")


def make_classified_sources(
    values: flags.FlagValues, num_frames: int, image_size: int
) -> tuple[VideoSource, VideoSource]:
    """Creates the sources to train and to test a classifier on.

    Args:
        values: The parsed flags.
        num_frames: Integer. Frames per computed clip.
        image_size: Integer. Height and width of computed clips.

    Returns:
        Pair of sources with the same classes.
    """
    sizes = num_frames, image_size
    format_ = data_format(values)
    if format_ in COMPUTED:
        classes = _make_computed(values, "test", 0, 1, *sizes).class_names
        return tuple(
            _make_computed(
                values, split, _CLASS_SEED, per_class * len(classes), *sizes
            )
            for split, per_class in _NUM_CLASS_CLIPS.items()
        )
    if format_ not in CLASSIFIED and not values.test_data:
        raise ValueError(
            "A classifier of these classes needs test videos to measure its "
            f"accuracy. Pass --test_data. Received: --data={values.data}"
        )
    train, test = (
        make_source(values, split, *sizes, use_train_classes=False)
        for split in ("train", "test")
    )
    if train.class_names != test.class_names:
        differing = sorted({*train.class_names} ^ {*test.class_names})
        raise ValueError(
            "--test_data must have the same classes as --data, in the same "
            f"order. Received: {len(test.class_names)} classes instead of "
            f"{len(train.class_names)}; only in one of them: {differing}"
        )
    return train, test


def make_test_clips(values: flags.FlagValues, tokenizer) -> tuple:
    """Creates the test source and a dataset of its center clips.

    The dataset yields one epoch of clips of the size of the tokenizer's input.
    """
    sizes = tokenizer.num_frames, tokenizer.image_size
    source = make_source(values, "test", *sizes)
    return source, make_dataset(
        values, source, *sizes, values.batch_size, False
    )


def make_dataset(
    values: flags.FlagValues,
    source: VideoSource,
    num_frames: int | None,
    image_size: int | None,
    batch_size: int,
    training: bool,
    horizontal_flip: bool = False,
    clip_sizes: list[tuple[int, int]] | None = None,
):
    """Creates the dataset of a source.

    For training it yields random clips indefinitely. Otherwise it yields one
    epoch of center clips.
    """
    options = {"frame_sampling": "center"}
    if training:
        options = {
            "frame_sampling": values.frame_sampling,
            "horizontal_flip": horizontal_flip
            and not source.flip_changes_label,
            "crop_scale": _crop_scale(values),
            "augment": _augmentation(values.rand_augment),
            "resize": values.resize,
            "clip_sizes": clip_sizes,
        }
    return data.video_dataset(
        source,
        num_frames,
        image_size,
        batch_size,
        shuffle=training,
        seed=values.seed,
        repeat=training,
        num_workers=values.num_workers,
        on_error=values.on_error,
        **options,
    )


def _augmentation(strength):
    if not strength:
        return None
    return data.LayerAugmentation(
        keras.layers.RandAugment(value_range=(0, 1), factor=strength)
    )
