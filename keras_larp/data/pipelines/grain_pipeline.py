import collections.abc
import os
import signal

import numpy as np

from keras_larp.data.pipelines.batch_dataset import BatchDataset, ItemStream
from keras_larp.data.pipelines.clip_loader import ClipLoader, batch_clips
from keras_larp.data.sources.video_source import VideoSource
from keras_larp.utils.checks import (
    check_boolean,
    check_integer,
    check_integers,
)
from keras_larp.utils.freed_memory import reuse_freed_memory
from keras_larp.utils.optional_imports import require

grain = require("grain")

# Decoding threads: FFmpeg releases Python's global interpreter lock.
MAX_WORKERS = 1024
_NUM_THREADS = min(4, os.cpu_count() or 1)
# Workers send several clips per message: each message wakes the process that
# trains.
_CLIPS_PER_MESSAGE = 4
# Grain would pass arrays of at least this many bytes in shared memory. That is
# no faster than a pipe, is limited in containers, and leaks if a run is killed.
_MIN_SHARED_MEMORY_BYTES = 2**62


def video_dataset(
    source: VideoSource,
    num_frames: int | None = None,
    image_size: int | None = None,
    batch_size: int = 8,
    shuffle: bool = True,
    seed: int = 0,
    frame_sampling: str = "random",
    horizontal_flip: bool = False,
    crop_scale: tuple[float, float] | None = None,
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    augment: collections.abc.Callable | None = None,
    resize: str = "pillow",
    repeat: bool = True,
    num_workers: int = 0,
    shard_index: int = 0,
    shard_count: int = 1,
    drop_remainder: bool = False,
    with_labels: bool = True,
    on_error: str = "raise",
    clip_sizes: collections.abc.Sequence[tuple[int, int]] | None = None,
) -> "VideoDataset":
    """A Grain pipeline of batches of clips, for `fit` on every backend.

    It reads only the frames that a clip needs, resizes, crops and batches.
    Equal arguments produce equal batches in the same order, regardless of the
    number of workers. All shards together have the clips of the unsharded
    pipeline, and each reads only its own.

    Repeating pipelines are endless. `fit` of this package's models uses their
    `steps_per_epoch`, so that an epoch is one pass over the videos, rounded
    to complete batches. Pass it explicitly to other Keras models. Each epoch
    has a different order and different random starts.

    Args:
        source: `VideoSource`, such as `UCF101`, `VideoFolder` or
            `MovingShapes`.
        num_frames: Integer. Number of frames per clip. Defaults to the
            source's `default_num_frames`, 16 for files.
        image_size: Integer. Height and width of clips in pixels. Defaults to
            the source's `default_image_size`, 128 for files.
        batch_size: Integer. Number of clips per batch, over all processes
            after `keras_larp.distribution.initialize`. Defaults to 8.
        shuffle: Boolean. Whether to shuffle the clips. Defaults to `True`.
        seed: Integer. Seed of the order, of random starts and of augmentation.
            Defaults to 0.
        frame_sampling: String. Which frames form a clip. `"random"`, `"first"`
            and `"center"`: consecutive frames from a random start, the
            beginning or the middle. `"uniform"`: evenly spaced over the
            video. `"windows"`: all non-overlapping windows of the video, each
            of which is a clip. Defaults to `"random"`.
        horizontal_flip: Boolean. Whether to mirror half of the clips. Defaults
            to `False`.
        crop_scale: Pair of floats. Random resized crops: the range of the
            ratio of the crop's area to that of the frame. Defaults to `None`,
            the center crop.
        crop_ratio: Pair of floats. The range of the aspect ratio (width /
            height) of random crops. Defaults to (3/4, 4/3).
        augment: Function of a clip, float32 `(num_frames, image_size,
            image_size, 3)` in [0, 1], and an integer seed. Returns the
            augmented clip. See `LayerAugmentation`. The seed depends on
            `seed`, the epoch and the clip. Defaults to `None`.
        resize: String. How frames of files are resized: `"pillow"`, with
            antialiasing as in the reference implementation, or `"ffmpeg"`
            during conversion to RGB, which nearly halves the time of the
            pipeline and changes pixels by about 1 of 255. Defaults to
            `"pillow"`.
        repeat: Boolean. Whether the data set is endless; otherwise it is one
            epoch. Defaults to `True`.
        num_workers: Integer. Number of decoding processes, each decoding one
            clip at a time. Defaults to 0, which decodes in threads.
        shard_index: Integer. Index of the shard. Defaults to 0.
        shard_count: Integer. Number of shards. Defaults to 1.
        drop_remainder: Boolean. Whether to drop an incomplete last batch if
            the data set does not repeat. Defaults to `False`.
        with_labels: Boolean. Whether batches are pairs of clips and class
            ids instead of clips only. Defaults to `True`.
        on_error: String. What to do with videos that do not decode:
            `"raise"` an error that names the file, or `"skip"` them and count
            them in `skipped`. Defaults to `"raise"`.
        clip_sizes: List of pairs of integers, numbers of frames and image
            sizes. The clips of each batch have one of these sizes, drawn at
            random, instead of `num_frames` and `image_size`. Training compiles
            one step per size. Such a data set resumes only with the same
            batch size. Defaults to `None`.

    Returns:
        A `VideoDataset`, a `grain.IterDataset` of float32 `(batch_size,
        num_frames, image_size, image_size, 3)` in [0, 1], with labels int32
        `(batch_size,)`, -1 for no class.

    Raises:
        TypeError: If `source` is not a `VideoSource`.
        ValueError: If an argument is out of range, or `horizontal_flip` would
            change labels.
        VideoDecodeError: During iteration; see `on_error`.
        ImportError: If Grain is not installed.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    dataset = keras_larp.data.video_dataset(
        source, batch_size=8, horizontal_flip=True, num_workers=2
    )
    tokenizer.fit(dataset, epochs=10)
    ```
    """
    if clip_sizes is not None:
        clip_sizes = check_clip_sizes(
            clip_sizes, num_frames, image_size, frame_sampling, on_error
        )
        num_frames, image_size = clip_sizes[0]
    loader = ClipLoader(
        source,
        num_frames,
        image_size,
        frame_sampling,
        horizontal_flip,
        crop_scale,
        crop_ratio,
        augment,
        resize,
        seed,
        on_error,
    )
    check_integer("num_workers", num_workers, 0, MAX_WORKERS)
    check_boolean("with_labels", with_labels)
    stream = ItemStream(
        len(loader),
        batch_size,
        shuffle,
        seed,
        repeat,
        shard_index,
        shard_count,
        drop_remainder,
    )
    if clip_sizes is not None:
        # The size of a clip depends on its batch.
        stream.settings |= {"clip_sizes": clip_sizes, "batch_size": batch_size}

    # Clips carry their position in the stream, so that runs can resume.
    def load(position, index):
        size = None
        if clip_sizes is not None:
            generator = np.random.default_rng([seed, position // batch_size])
            size = clip_sizes[generator.integers(len(clip_sizes))]
        epoch = position // stream.length
        return position, loader.load(epoch, index, size)

    clips = stream.indices.map_with_index(load)
    local_batch_size = stream.local_batch_size
    buffer_size = max(2 * local_batch_size, _NUM_THREADS)  # In clips.

    def make_batches(clips):
        if num_workers:
            clips = decode_in_workers(clips, num_workers, buffer_size)
        else:
            clips = clips.to_iter_dataset(
                grain.ReadOptions(_NUM_THREADS, buffer_size)
            )
        # This process filters errors and batches clips, so that batches do
        # not depend on the number of workers.
        batches = clips.filter(lambda item: loader.keep(item[1])).batch(
            local_batch_size,
            drop_remainder=stream.drop_remainder,
            batch_fn=batch_clips,
        )
        if with_labels:
            return batches.map(
                lambda item: (item[0], (item[1]["video"], item[1]["label"]))
            )
        return batches.map(lambda item: (item[0], item[1]["video"]))

    return VideoDataset(clips, make_batches, stream, loader, clip_sizes)


def check_clip_sizes(
    clip_sizes: collections.abc.Sequence[tuple[int, int]],
    num_frames: int | None,
    image_size: int | None,
    frame_sampling: str,
    on_error: str,
) -> list[list[int]]:
    """Checks `clip_sizes` of `video_dataset` and the arguments it excludes.

    Returns:
        The sizes as lists, as JSON stores them.
    """
    if not isinstance(clip_sizes, list | tuple) or not clip_sizes:
        raise ValueError(
            "`clip_sizes` must be a list of pairs (num_frames, image_size). "
            f"Received: clip_sizes={clip_sizes!r}"
        )
    sizes = [list(check_integers("clip_sizes", s, 2)) for s in clip_sizes]
    for name, value, expected in (
        ("num_frames", num_frames, None),
        ("image_size", image_size, None),
        ("on_error", on_error, "raise"),
    ):
        if value != expected:
            raise ValueError(
                f"With `clip_sizes`, `{name}` must be {expected!r}. "
                f"Received: {name}={value!r}"
            )
    if frame_sampling == "windows":
        raise ValueError(
            "The windows of a video depend on the number of frames, so that "
            "`clip_sizes` needs another `frame_sampling`. Received: "
            f"frame_sampling={frame_sampling!r}"
        )
    return sizes


def decode_in_workers(clips, num_workers, buffer_size):
    """Computes the items of a `MapDataset` in worker processes, in order."""
    messages = clips.batch(_CLIPS_PER_MESSAGE, batch_fn=list)
    per_worker = buffer_size // (num_workers * _CLIPS_PER_MESSAGE)
    # One thread per worker: more would wait for each other and for the pipe.
    messages = messages.to_iter_dataset(
        grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    ).mp_prefetch(
        grain.MultiprocessingOptions(
            num_workers, per_worker_buffer_size=max(2, per_worker)
        ),
        worker_init_fn=_init_worker,
    )
    messages = grain.experimental.WithOptionsIterDataset(
        messages,
        grain.experimental.DatasetOptions(
            min_shm_size=_MIN_SHARED_MEMORY_BYTES
        ),
    )
    return grain.experimental.FlatMapIterDataset(messages, _UnpackMessage())


class _UnpackMessage(grain.experimental.FlatMapTransform):
    max_fan_out = _CLIPS_PER_MESSAGE

    def flat_map(self, element):
        return element


def _init_worker(worker_index, worker_count):
    # Augmentation layers must not occupy GPU memory.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    # Ctrl-C reaches all processes of a terminal. The process that trains stops
    # its workers when it has saved a checkpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reuse_freed_memory()


class VideoDataset(BatchDataset):
    """Batches of clips, created by `video_dataset`.

    Interrupted runs resume with `get_state` and `set_state`; see
    `BatchDataset`.

    Attributes:
        source: The `VideoSource`.
        steps_per_epoch: Integer. Number of batches per epoch.
        repeats: Boolean. Whether the data set is endless.
        skipped: Dictionary from the error message of each skipped video to
            how often it was skipped, with `on_error="skip"`.
        clip_sizes: List of pairs of integers, or `None` if all clips have the
            same size.
    """

    def __init__(self, clips, make_batches, stream, loader, clip_sizes=None):
        super().__init__(clips, make_batches, stream)
        self.clip_sizes = clip_sizes
        self._loader = loader
        self.source = loader.source

    @property
    def skipped(self) -> dict[str, int]:
        return dict(self._loader.skipped)
