"""Flags that name video, and the sources and pipelines that they stand for."""

import pathlib

from absl import flags

from keras_larp import data

COMPUTED = ["moving_shapes", "atari"]
FORMATS = [*COMPUTED, "ucf101", "kinetics600", "folder", "csv"]
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
        "Folders or csv files of video; several, of one format, are mixed.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "test_data",
        None,
        "The same to evaluate on, for formats that have no test split.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "data_format",
        None,
        FORMATS,
        "What --data is: UCF-101 as it unpacks, a csv of path,label of "
        "Kinetics-600 or of your own, a folder (of classes); or, without "
        "--data, moving_shapes or atari, which are computed. Where not given, "
        "--data is looked at; without it, it is moving_shapes.",
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
    flags.DEFINE_bool(
        "skip_broken",
        False,
        "Skip and count videos that do not decode.",
        flag_values=values,
    )
    if batch_size is None:  # It trains, and so meets each video many times.
        flags.DEFINE_bool(
            "keep_in_memory",
            False,
            "Make each training video once and keep it, as bytes of clip size.",
            flag_values=values,
        )
    else:
        flags.DEFINE_integer(
            "batch_size", batch_size, "Clips at once.", 1, flag_values=values
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
    """The format of the data: what the flag says, or what --data looks like."""
    if values.data_format is not None:
        return values.data_format
    if not values.data:
        return "moving_shapes"
    path = pathlib.Path(values.data[0])
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
    if kind in COMPUTED:
        if values.data:
            raise ValueError(
                f"--data_format={kind} is computed and takes no --data. "
                f"Received: --data={','.join(values.data)}"
            )
        if num_clips is None:
            num_clips = _NUM_TEST_CLIPS
            if split == "train":
                num_clips = values.num_computed_clips
        sizes = num_clips, num_frames, image_size
        return _make_computed(kind, split, values.seed, *sizes)
    if not values.data:
        raise ValueError(f"--data_format={kind} needs --data.")
    paths = values.data
    if split == "test" and values.test_data:
        paths, split = values.test_data, "all"
    sources = [_make_files(kind, path, split, values.fold) for path in paths]
    return sources[0] if len(sources) == 1 else data.Mixed(sources)


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
    return data.InMemory(source, image_size)


def _make_files(kind, path, split, fold):
    if kind == "ucf101":
        return data.UCF101(path, split, fold, missing="skip")
    if kind == "kinetics600":  # Paths are relative to the list.
        return data.Kinetics600(pathlib.Path(path).parent, path)
    return {"folder": data.VideoFolder, "csv": data.VideoList}[kind](path)


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
    return tuple(
        make_source(values, split, *sizes) for split in ("train", "test")
    )


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
    return data.video_dataset(
        source,
        num_frames,
        image_size,
        batch_size,
        shuffle=training,
        seed=values.seed,
        sampling="random" if training else "center",
        horizontal_flip=horizontal_flip and not source.has_direction,
        repeat=training,
        num_workers=values.num_workers,
        on_error="skip" if values.skip_broken else "raise",
    )
