"""Flags that name video, and the sources and pipelines that they stand for."""

import collections
import functools
import pathlib

import keras
from absl import flags

from keras_larp import data

COMPUTED = ["moving_shapes", "atari"]
FILES = ["ucf101", "kinetics600", "folder", "csv"]
# Those with classes and a test split.
CLASSIFIED = [*COMPUTED, "ucf101"]
_NUM_TEST_CLIPS = 96  # Of the sources that are computed.
# Of each class, for a classifier to be trained and tested on, and the seed.
_NUM_CLASS_CLIPS, _CLASS_SEED = {"train": 80, "test": 20}, 1_000_003


def define(values, batch_size=None):
    """Defines the flags of data.

    Args:
        values: A `flags.FlagValues`.
        batch_size: Optional integer, the default of a flag for it, for
            commands that do not train and have no recipe.
    """
    flags.DEFINE_list(
        "data",
        None,
        "Folders or csv files of video. Several are mixed; one that is named "
        "twice is seen twice a pass. kinetics600:k600.csv says what it is.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "test_data",
        None,
        "The same to evaluate on, for formats that have no test split; of "
        "UCF101, its test split.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "data_format",
        None,
        [*COMPUTED, *FILES],
        "What --data is where it does not say so: UCF-101 as it unpacks, a csv "
        "of path,label of Kinetics-600 or of your own, a folder (of classes); "
        "or, without --data, moving_shapes or atari, which are computed. Where "
        "not given, --data is looked at; without it, it is moving_shapes.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "num_computed_clips",
        4096,
        "Clips for training of moving_shapes or atari.",
        1,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "fold", 1, "Split of UCF101.", 1, 3, flag_values=values
    )
    flags.DEFINE_integer(
        "num_workers", 0, "Processes that decode video.", 0, flag_values=values
    )
    flags.DEFINE_integer(
        "seed", 0, "Seed of data and weights.", 0, flag_values=values
    )
    flags.DEFINE_enum(
        "on_error",
        "raise",
        ["raise", "skip"],
        "What to do with videos that do not decode or that a list names but "
        "do not exist: stop with an error, or skip and count them.",
        flag_values=values,
    )
    if batch_size is None:  # It trains, and so meets each video many times.
        _define_training(values)
    else:
        flags.DEFINE_integer(
            "batch_size", batch_size, "Clips at once.", 1, flag_values=values
        )


def _define_training(values):
    """Defines the flags of data that is trained on."""
    flags.DEFINE_bool(
        "keep_in_memory",
        False,
        "Make each video once and keep it, as bytes of clip size.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "frame_sampling",
        "random",
        ["random", "uniform", "windows"],
        "Which frames of a training video make a clip: from a random start, "
        "spread over the whole, or all windows, each a clip.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "crop_scale",
        None,
        "Least and largest share of a training video's area that is cut out "
        "at random, such as 0.5,1; the middle square where not given.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "rand_augment",
        None,
        "Strength of Keras' RandAugment of training clips, up to 1; none where "
        "not given.",
        0.0,
        1.0,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "resize",
        "pillow",
        ["pillow", "ffmpeg"],
        "What resizes training video: the exact one, or the faster one.",
        flag_values=values,
    )


def load_class_names(kind):
    """Names of classes, by class id.

    Args:
        kind: `ucf101`, `moving_shapes` or `atari`, or the path of a text file
            with a name a line.

    Returns:
        List of strings.
    """
    known = {"ucf101": data.UCF101, "moving_shapes": data.MovingShapes}
    if kind in known:
        return list(known[kind].class_names)
    if kind == "atari":  # The installed package knows its games.
        return list(data.AtariGameplay(1).class_names)
    return pathlib.Path(kind).read_text().splitlines()


def data_format(values):
    """The format of the data, or of a mixture's parts, separated by commas."""
    if not values.data:
        return values.data_format or "moving_shapes"
    kinds = [_kind_and_path(values, entry)[0] for entry in values.data]
    return ",".join(dict.fromkeys(kinds))


def _kind_and_path(values, entry):
    """Format and path of an entry of --data, which may say its format."""
    kind, colon, path = entry.partition(":")
    if colon and kind in FILES:
        return kind, path
    if colon and not pathlib.Path(entry).exists():
        raise ValueError(
            f"There is no {entry}, and a format before a colon is one of "
            f"{', '.join(FILES)}. Received: {kind!r}"
        )
    return values.data_format or _look_at(pathlib.Path(entry)), entry


def _look_at(path):
    """The format that a path looks like."""
    if path.suffix == ".csv":
        return "csv"
    folders = [f.name for f in path.glob("*/") if any(f.glob("v_*.avi"))]
    classes = set(data.UCF101.class_names)
    return "ucf101" if folders and classes.issuperset(folders) else "folder"


def has_test_split(values):
    """Whether the flags name videos to test on, apart from the training's."""
    return bool(values.test_data) or data_format(values) in CLASSIFIED


def make_source(values, split, num_frames, image_size, num_clips=None):
    """The videos of `"train"` or `"test"`, as the flags say; `num_clips` of
    them, where they are computed."""
    kind = data_format(values)
    if values.data and values.data_format in COMPUTED:
        raise ValueError(
            f"--data_format={values.data_format} is computed and takes no "
            f"--data. Received: --data={','.join(values.data)}"
        )
    if kind in COMPUTED:
        if num_clips is None:
            num_clips = _NUM_TEST_CLIPS
            if split == "train":
                num_clips = values.num_computed_clips
        sizes = num_clips, num_frames, image_size
        return _make_computed(kind, split, values.seed, *sizes)
    if not values.data:
        raise ValueError(f"--data_format={kind} needs --data.")
    entries = values.data
    if split == "test" and values.test_data:
        entries = values.test_data
    repeats = collections.Counter(entries)
    if split == "test":
        repeats = dict.fromkeys(entries, 1)
        for entry in [] if values.test_data else entries:
            if _kind_and_path(values, entry)[0] not in CLASSIFIED:
                _say(
                    f"{entry} has no test split: the videos to test on are "
                    "those to train on. --test_data names others."
                )
    sources = [_make_files(values, entry, split) for entry in repeats]
    if sum(repeats.values()) == 1:
        return sources[0]
    _tell_mixture(repeats, sources)
    return data.ConcatSource(sources, list(repeats.values()))


def _tell_mixture(repeats, sources):
    """Says how many videos and which class ids the parts of a mixture have."""
    first = 0
    for (entry, count), source in zip(repeats.items(), sources, strict=True):
        last = first + len(source.class_names) - 1
        ids = f"classes {first} to {last}" if last >= first else "no classes"
        times = f" {count} times" if count > 1 else ""
        _say(f"{entry}: {len(source)} videos{times}, {ids}")
        first = last + 1
    named = collections.Counter(n for s in sources for n in s.class_names if n)
    several = [name for name, count in named.items() if count > 1]
    if several:
        _say(
            "Named in several parts, and a class of its own in each: "
            f"{', '.join(several[:5])}{', ...' if len(several) > 5 else ''}"
        )


@functools.cache
def _say(text):
    """Prints a line once: a command makes some of its sources twice."""
    print(text)


def _make_computed(kind, split, seed, *sizes):
    if kind == "atari":
        return data.AtariGameplay(*sizes, split=split, seed=seed)
    return data.MovingShapes(*sizes, seed=seed + (split == "test"))


def kept(values, source, image_size):
    """The source, kept in memory where the flag says so."""
    if not values.keep_in_memory:
        return source
    if values.num_workers:
        raise ValueError(
            "--keep_in_memory is for this process alone: each worker would "
            "keep videos of its own. Leave one of the two out. Received: "
            f"--num_workers={values.num_workers}"
        )
    return data.CachedSource(source, image_size)


def _make_files(values, entry, split):
    """The source of an entry of --data; says how many files are not there."""
    kind, path = _kind_and_path(values, entry)
    if kind == "folder":
        return data.VideoFolder(path)
    if kind == "ucf101":
        source = data.UCF101(path, split, values.fold, on_error=values.on_error)
    elif kind == "kinetics600":  # Paths are relative to the list.
        folder = pathlib.Path(path).parent
        source = data.Kinetics600(folder, path, on_error=values.on_error)
    else:
        source = data.VideoList(path, on_error=values.on_error)
    if source.num_missing:
        _say(
            f"{path} names {source.num_missing} videos that are not there and "
            f"are skipped; {len(source)} are there."
        )
    return source


def make_classified_sources(values, *sizes):
    """Two sources of the same classes, of so many frames and so large, to
    train a classifier on and to test it; computed ones are of seeds that no
    run has by chance."""
    kind = data_format(values)
    if kind in COMPUTED:
        classes = _make_computed(kind, "test", 0, 1, *sizes).class_names
        return tuple(
            _make_computed(
                kind, split, _CLASS_SEED, each * len(classes), *sizes
            )
            for split, each in _NUM_CLASS_CLIPS.items()
        )
    if kind not in CLASSIFIED and not values.test_data:
        raise ValueError(
            "A classifier of these classes needs videos to state its accuracy "
            f"on. Pass --test_data. Received: --data={values.data}"
        )
    train, test = (
        make_source(values, split, *sizes) for split in ("train", "test")
    )
    if train.class_names != test.class_names:
        differing = sorted({*train.class_names} ^ {*test.class_names})
        raise ValueError(
            "--test_data must have the classes of --data, all of them and in "
            f"their order. Received: {len(test.class_names)} classes in place "
            f"of {len(train.class_names)}; in one of them alone: {differing}"
        )
    return train, test


def make_test_clips(values, tokenizer):
    """The test videos, and one pass over their middle clips, of the size that
    a tokenizer takes."""
    sizes = tokenizer.num_frames, tokenizer.image_size
    source = make_source(values, "test", *sizes)
    return source, make_dataset(
        values, source, *sizes, values.batch_size, False
    )


def make_dataset(
    values,
    source,
    num_frames,
    image_size,
    batch_size,
    training,
    horizontal_flip=False,
):
    """Random clips for ever in training; else one pass over the middle ones."""
    options = {"frame_sampling": "center"}
    if training:
        options = {
            "frame_sampling": values.frame_sampling,
            "horizontal_flip": horizontal_flip
            and not source.flip_changes_label,
            "crop_scale": values.crop_scale,
            "augment": _augmentation(values.rand_augment),
            "resize": values.resize,
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
