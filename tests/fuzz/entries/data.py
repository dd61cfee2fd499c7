"""Entries of `keras_larp.data`."""

import functools
import pathlib
import shutil
import tempfile

import keras
import numpy as np
from fuzz.bad_values import (
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
    interval,
    names,
    number,
    path,
)
from fuzz.entries.layers import POSITIVE, random_floats
from fuzz.entries.models import generator, tokenizer
from fuzz.entry import Entry
from hypothesis import strategies as st

from keras_larp import data

SEED = integer(0)
NUM_WORKERS = integer(0)
GEOMETRY = choice("display", "stored")
ON_ERROR = choice("raise", "skip")
SOURCE = instance("VideoSource", "source")
FRAMES = floats(
    None,
    None,
    None,
    3,
    finite=True,
    or_integers=True,
    mentions=("video", "frames", "clip"),
)
CLIPS = floats(
    None,
    None,
    None,
    None,
    3,
    unit=True,
    or_uint8=True,
    mentions=("array", "clips", "video"),
)
COUNT = integer(1, optional=True)
LIMIT = 10**8  # Clips of a computed source.


@functools.cache
def folder():
    """A folder with three videos in two classes, a CSV file and tokens."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="keras_larp_fuzz_"))
    import atexit

    atexit.register(shutil.rmtree, root, ignore_errors=True)
    video = (255 * random_floats(6, 16, 16, 3)).astype("uint8")
    names_ = ["videos/cats/a.mp4", "videos/cats/b.mp4", "videos/dogs/c.mp4"]
    names_ += ["ucf101/Archery/v_Archery_g08_c01.avi"]
    names_ += ["k600/cats/a_000000_000010.mp4"]
    for name in names_:
        data.write_video(root / name, video)
    lines = ["path,label", "cats/a.mp4,cats", "dogs/c.mp4,dogs"]
    (root / "videos.csv").write_text("\n".join(lines) + "\n")
    lines = ["path,action", "cats/a_000000_000010.mp4,cats"]
    (root / "k600.csv").write_text("\n".join(lines) + "\n")
    data.write_token_dataset(root / "tokens", shapes(), tokenizer())
    return root


@functools.cache
def shapes():
    return data.MovingShapes(6, num_frames=4, image_size=16)


def _outputs(name):
    return pathlib.Path(folder()) / "outputs" / name


def _sources():
    computed = {
        "num_clips": integer(1, LIMIT),
        "num_frames": POSITIVE,
        "image_size": integer(8),
        "seed": SEED,
    }
    yield data.MovingShapes, lambda: {"num_clips": 4}, computed
    yield (
        data.AtariGameplay,
        lambda: {"num_clips": 4},
        {
            **computed,
            "games": names(optional=True),
            "frame_skip": integer(1, 8),
            "split": choice("train", "test"),
        },
    )
    yield (
        data.VideoFolder,
        lambda: {"root": folder() / "videos"},
        {
            "root": existing_path(),
            "class_names": names(optional=True),
            "geometry": GEOMETRY,
        },
    )
    yield (
        data.VideoList,
        lambda: {
            "csv_file": folder() / "videos.csv",
            "root": folder() / "videos",
        },
        {
            "csv_file": existing_path(),
            "root": existing_path(optional=True),
            "class_names": names(optional=True),
            "on_error": ON_ERROR,
            "geometry": GEOMETRY,
        },
    )
    yield (
        data.Kinetics600,
        lambda: {
            "root": folder() / "k600",
            "csv_file": folder() / "k600.csv",
            "class_names": ["cats", *map(str, range(599))],
        },
        {
            "root": existing_path(),
            "csv_file": existing_path(),
            "class_names": names(),
            "on_error": ON_ERROR,
            "geometry": GEOMETRY,
        },
    )
    yield (
        data.UCF101,
        lambda: {"root": folder() / "ucf101"},
        {
            "root": existing_path(),
            "split": choice("train", "test", "all"),
            "fold": integer(1, 3),
            "split_lists": existing_path(optional=True),
            "on_error": ON_ERROR,
            "geometry": GEOMETRY,
        },
    )
    yield (
        data.set_video_limits,
        dict,
        {"max_frame_pixels": COUNT, "max_decoded_pixels": COUNT},
    )
    yield (
        data.CachedSource,
        lambda: {"source": shapes()},
        {"source": SOURCE, "image_size": COUNT},
    )
    yield (
        data.ConcatSource,
        lambda: {"sources": [shapes()], "repeats": [2]},
        {
            "sources": instance("source"),
            "repeats": integers(1, optional=True),
        },
    )
    yield (
        data.FileSource,
        lambda: {"files": [data.VideoFile(str(folder() / "a.mp4"))]},
        {
            "files": instance(),
            "root": path(optional=True),
            "class_names": names(),
            "skipped": instance(),
            "geometry": GEOMETRY,
        },
    )
    yield (
        data.VideoFile,
        lambda: {"path": "a.mp4"},
        {"path": path(), "label": integer(-1, 10**6)},
    )
    yield (
        data.LayerAugmentation,
        lambda: {"layer": keras.layers.RandomBrightness(0.1, seed=0)},
        {"layer": instance()},
    )
    yield (
        data.TokenSource,
        lambda: {"folder": folder() / "tokens"},
        {"folder": existing_path()},
    )


def _methods():
    index = integer(0, 5, mentions=("clips", "index", "videos"))
    source = shapes()
    for name in ("render", "label", "name"):
        method = getattr(source, name)
        yield f"MovingShapes.{name}", method, {"index": 1}, {"index": index}


_CLIP_SIZES = st.sampled_from(
    [[], (), 16, "4x16", {}, 1.5, True, [4, 16], [(4, 16, 16)], [(4, 0)]]
    + [[(4.5, 16)], [(True, 16)], [("4", 16)], [None], [(4, 16), 8]]
)
PIPELINE = {
    "source": SOURCE,
    "num_frames": COUNT,
    "image_size": COUNT,
    "batch_size": POSITIVE,
    "shuffle": boolean(),
    "seed": SEED,
    "frame_sampling": choice("random", "first", "center", "uniform", "windows"),
    "horizontal_flip": boolean(mentions=("flip",)),
    "crop_scale": interval(optional=True),
    "crop_ratio": interval(),
    "augment": function(optional=True),
    "resize": choice("pillow", "ffmpeg"),
    "repeat": boolean(),
    "drop_remainder": boolean(),
    "with_labels": boolean(),
    "on_error": ON_ERROR,
}
SHARDS = {
    "shard_index": integer(0, 0, mentions=("shard",)),
    "shard_count": integer(1, mentions=("shard",)),
}


def _pipelines():
    yield (
        data.video_dataset,
        lambda: {"source": shapes(), "batch_size": 2},
        {
            **PIPELINE,
            **SHARDS,
            "num_workers": NUM_WORKERS,
            "clip_sizes": Kind(lambda _: _CLIP_SIZES),
        },
    )
    if keras.backend.backend() == "tensorflow":
        yield (
            data.tf_video_dataset,
            lambda: {"source": shapes(), "batch_size": 2},
            {**PIPELINE, "reader": choice("pyav", "tfio")},
        )
    yield (
        data.token_dataset,
        lambda: {"folder": folder() / "tokens", "batch_size": 2},
        {
            "folder": existing_path(),
            "batch_size": POSITIVE,
            "shuffle": boolean(),
            "seed": SEED,
            "repeat": boolean(),
            **SHARDS,
            "drop_remainder": boolean(),
            "vocab_size": COUNT,
            "num_tokens": COUNT,
            "conditioning": choice("class"),
        },
    )
    kinds = {
        "folder": path(),
        "source": SOURCE,
        "frame_sampling": PIPELINE["frame_sampling"],
        "include_flips": boolean(mentions=("flip",)),
        "num_condition_frames": integer(1, 3, optional=True),
        "num_tokens": integer(1, 6, optional=True),
        "batch_size": POSITIVE,
        "clips_per_shard": POSITIVE,
        "seed": SEED,
        "num_workers": NUM_WORKERS,
        "on_error": ON_ERROR,
    }
    yield (
        data.write_token_dataset,
        lambda: {
            "folder": folder() / "tokens",
            "source": shapes(),
            "tokenizer": tokenizer(),
        },
        {**kinds, "tokenizer": instance()},
    )
    # The folder is complete, so that no cluster is started.
    yield (
        data.write_token_dataset_with_ray,
        lambda: {
            "folder": folder() / "tokens",
            "source": shapes(),
            "load_tokenizer": tokenizer,
        },
        {
            **kinds,
            "load_tokenizer": function(),
            "num_actors": POSITIVE,
            "gpus_per_actor": number("[0, inf)"),
            "ray_address": TEXT_OR_NONE,
        },
    )


def _boxes():
    """Crop boxes that are not inside of frames of 16 by 20 pixels."""
    sizes = st.integers(-5, 30)
    box = st.tuples(sizes, sizes, sizes, sizes).filter(
        lambda b: (
            b[0] < 0
            or b[1] < 0
            or b[2] < 1
            or b[3] < 1
            or b[0] + b[2] > 16
            or b[1] + b[3] > 20
        )
    )
    return st.one_of(box, integers(4, minimum=0).bad((0, 0, 8, 8)))


def _functions():
    video = (255 * random_floats(4, 16, 20, 3)).astype("uint8")
    box = Kind(lambda _: _boxes(), ("crop", "box"))
    optional_box = Kind(
        lambda _: _boxes().filter(lambda value: value is not None),
        ("crop", "box"),
    )
    size = {"image_size": POSITIVE}
    generator_ = np.random.default_rng(0)
    yield (
        data.center_crop,
        {"video": video, "image_size": 8},
        {"video": FRAMES, "image_size": integer(1, 16, mentions=("pixels",))},
    )
    yield data.horizontal_flip, {"video": video}, {"video": FRAMES}
    yield (
        data.resize_shorter_side,
        {"video": video, "image_size": 8},
        {"video": FRAMES, **size},
    )
    yield (
        data.resized_crop,
        {"video": video, "box": (0, 0, 8, 8), "image_size": 8},
        {"video": FRAMES, "box": box, **size},
    )
    yield (
        data.preprocess_clip,
        {"video": video, "image_size": 8},
        {
            "video": FRAMES,
            **size,
            "horizontal_flip": boolean(),
            "crop_box": optional_box,
        },
    )
    yield (
        data.random_crop_box,
        {
            "height": 16,
            "width": 20,
            "scale": (0.5, 1.0),
            "ratio": (0.75, 1.25),
            "generator": generator_,
        },
        {
            "height": POSITIVE,
            "width": POSITIVE,
            "scale": interval(),
            "ratio": interval(),
            "generator": instance(),
        },
    )
    yield (
        data.frame_indices,
        {"total": 8, "num_frames": 4, "generator": generator_},
        {
            "total": POSITIVE,
            "num_frames": POSITIVE,
            "frame_sampling": choice("random", "first", "center", "uniform"),
        },
    )
    yield (
        data.frame_indices,
        {
            "total": 8,
            "num_frames": 4,
            "frame_sampling": "random",
            "generator": generator_,
        },
        {"generator": instance()},
    )
    yield (
        data.window_starts,
        {"total": 8, "num_frames": 4},
        {"total": POSITIVE, "num_frames": POSITIVE},
    )
    clips = random_floats(2, 4, 16, 16, 3)
    yield (
        data.video_grid,
        {"videos": clips, "num_columns": 2},
        {
            "videos": CLIPS,
            "num_columns": POSITIVE,
            "padding": integer(0),
            "row_names": names(optional=True),
        },
    )
    yield (
        data.film_strips,
        {"videos": clips, "num_frames": 2},
        {
            "videos": CLIPS,
            "num_frames": POSITIVE,
            "padding": integer(0),
            "num_columns": POSITIVE,
            "row_names": names(optional=True),
        },
    )


def _files():
    video = random_floats(4, 16, 16, 3)
    yield (
        data.write_video,
        lambda: {"path": _outputs("a.mp4"), "video": video},
        {
            "path": path(),
            "video": FRAMES_TO_WRITE,
            "fps": number("[0.01, inf)"),
            "audio_from": existing_path(optional=True),
        },
    )
    yield (
        data.write_image,
        lambda: {"path": _outputs("a.png"), "image": video[0]},
        {
            "path": path(),
            "image": floats(
                None,
                None,
                3,
                unit=True,
                or_uint8=True,
                mentions=("array", "video"),
            ),
        },
    )
    file = {"path": existing_path(), "geometry": GEOMETRY}
    yield (
        data.count_frames,
        lambda: {"path": folder() / "videos/cats/a.mp4"},
        {"path": existing_path()},
    )
    yield (
        data.frame_rate,
        lambda: {"path": folder() / "videos/cats/a.mp4"},
        {"path": existing_path()},
    )
    yield (
        data.stream_frames,
        lambda: {"path": folder() / "videos/cats/a.mp4"},
        file,
    )
    yield (
        data.read_clip,
        lambda: {"path": folder() / "videos/cats/a.mp4"},
        {**file, "start": integer(0, 5), "num_frames": POSITIVE},
    )
    yield (
        data.read_frames,
        lambda: {
            "path": folder() / "videos/cats/a.mp4",
            "indices": np.array([0, 2]),
        },
        {
            **file,
            "indices": ids(6, None, mentions=("frame",)),
            "image_size": COUNT,
        },
    )


FRAMES_TO_WRITE = floats(
    None,
    None,
    None,
    3,
    unit=True,
    or_uint8=True,
    mentions=("array", "frames"),
)


def entries():
    for cls, valid, kinds in _sources():
        yield Entry(f"data.{cls.__name__}", cls, valid, kinds)
    for name, method, valid, kinds in _methods():
        yield Entry(f"data.{name}", method, lambda v=valid: v, kinds)
    for function_, valid, kinds in (*_pipelines(), *_files()):
        yield Entry(f"data.{function_.__name__}", function_, valid, kinds)
    for function_, valid, kinds in _functions():
        yield Entry(
            f"data.{function_.__name__}", function_, lambda v=valid: v, kinds
        )
    yield Entry(
        "data.model_fingerprint",
        data.model_fingerprint,
        lambda: {"model": generator()},
        {"model": instance()},
    )
