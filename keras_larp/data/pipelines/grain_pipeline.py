import os

from keras_larp.data.pipelines.batch_dataset import BatchDataset, ItemStream
from keras_larp.data.pipelines.clip_loader import ClipLoader, batch_clips
from keras_larp.utils.checks import check_integer
from keras_larp.utils.freed_memory import reuse_freed_memory
from keras_larp.utils.optional_imports import require

grain = require("grain")

# Threads that decode: FFmpeg works outside of Python's lock.
_NUM_THREADS = min(4, os.cpu_count() or 1)
# What a worker hands over at once: each message wakes the process that trains.
_CLIPS_OF_MESSAGE = 4
# Arrays of at least so many bytes would be handed over in shared memory, which
# is no faster than a pipe, is scarce in containers, and stays behind when a run
# is killed.
_NO_SHARED_MEMORY = 2**62


def video_dataset(
    source,
    num_frames=None,
    image_size=None,
    batch_size=8,
    shuffle=True,
    seed=0,
    frame_sampling="random",
    horizontal_flip=False,
    crop_scale=None,
    crop_ratio=(3 / 4, 4 / 3),
    augment=None,
    resize="pillow",
    repeat=True,
    num_workers=0,
    shard_index=0,
    shard_count=1,
    drop_remainder=False,
    with_labels=True,
    on_error="raise",
):
    """A Grain pipeline of batches of clips, for `fit` on every backend.

    It reads only the frames that a clip needs, resizes, crops and batches.
    The same arguments give the same batches in the same order, whatever the
    number of workers; the clips of all shards together are those of the
    unsharded pipeline.

    Repeating pipelines never end. `fit` of this package's models takes
    `steps_per_epoch` from them, so that an epoch is one pass over the videos
    (rounded to whole batches); pass it yourself to other Keras models. Each
    epoch has its own order and its own random starts.

    Args:
        source: `UCF101`, `VideoFolder`, `VideoList`, `MovingShapes`, or any
            sequence of `VideoFile` or of dictionaries with `video`
            (`(T, H, W, 3)`, uint8 or floats in [0, 1]) and `label`.
        num_frames: Integer, length of a clip; by default the source's own, 16
            for files.
        image_size: Integer, height and width of a clip; by default the
            source's own, 128 for files.
        batch_size: Integer, clips in a batch.
        shuffle: Boolean.
        seed: Integer, of the order, the random starts and the mirroring.
        frame_sampling: String, which frames make a clip: consecutive ones from a
            `"random"` start, the `"first"` or the `"center"` ones; frames
            spread over the video, `"uniform"`; or all of its non-overlapping
            `"windows"`, each a clip.
        horizontal_flip: Boolean, whether half of the clips are mirrored.
        crop_scale: Optional pair of floats. Where given, clips are not the
            middle square of the video: a part with a share of its area in
            this range is drawn for each clip and resized.
        crop_ratio: Pair of floats, the range of such a part's width over its
            height.
        augment: Optional function of a clip, float32 `(num_frames,
            image_size, image_size, 3)` in [0, 1], and an integer seed, that
            returns the changed clip; such as a `LayerAugmentation`. The seed
            follows from `seed`, the epoch and the clip.
        resize: String, what resizes the frames of files: `"pillow"`, with
            antialiasing as in the authors' code, or `"ffmpeg"` while
            converting to RGB, which nearly halves the pipeline's time and
            changes pixels by about 1 of 255.
        repeat: Boolean, whether to go on for ever; otherwise one pass.
        num_workers: Integer, processes that decode, each one clip at a time;
            0 to do it in threads of this process.
        shard_index: Integer, which part of the videos, from 0.
        shard_count: Integer, how many parts there are.
        drop_remainder: Boolean, whether a last batch that is not full is left
            out, where the pipeline ends.
        with_labels: Boolean, whether batches are pairs of clips and class
            ids, or clips alone.
        on_error: String: `"raise"` an error that names the file that does not
            decode, or `"skip"` it, and count it in `skipped`.

    Returns:
        A `VideoDataset`, a `grain.IterDataset` of float32 `(batch_size,
        num_frames, image_size, image_size, 3)` in [0, 1], with labels int32
        `(batch_size,)`, -1 for "no class".

    Raises:
        ValueError: If an argument is out of range, or mirroring is asked for
            where it changes the class.
        VideoDecodeError: While iterating; see `on_error`.
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
    check_integer("num_workers", num_workers, 0)
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
    # The place in the stream goes along, so that a stopped run can go on.
    clips = stream.indices.map_with_index(
        lambda place, index: (
            place,
            loader.load(place // stream.length, index),
        )
    )

    buffer_size = max(2 * batch_size, _NUM_THREADS)  # in clips

    def make_batches(clips):
        if num_workers:
            clips = decode_in_workers(clips, num_workers, buffer_size)
        else:
            clips = clips.to_iter_dataset(
                grain.ReadOptions(_NUM_THREADS, buffer_size)
            )
        # Errors are met here, in the process that trains, and batches are
        # made here, so that they are the same for any number of workers.
        batches = clips.filter(lambda item: loader.keep(item[1])).batch(
            batch_size,
            drop_remainder=stream.drop_remainder,
            batch_fn=batch_clips,
        )
        if with_labels:
            return batches.map(
                lambda item: (item[0], (item[1]["video"], item[1]["label"]))
            )
        return batches.map(lambda item: (item[0], item[1]["video"]))

    return VideoDataset(clips, make_batches, stream, loader)


def decode_in_workers(clips, num_workers, buffer_size):
    """The items of a `MapDataset` in order, made by processes of their own."""
    messages = clips.batch(_CLIPS_OF_MESSAGE, batch_fn=list)
    per_worker = buffer_size // (num_workers * _CLIPS_OF_MESSAGE)
    # One thread in each: more of them wait for one another and for the pipe.
    messages = messages.to_iter_dataset(
        grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    ).mp_prefetch(
        grain.MultiprocessingOptions(
            num_workers, per_worker_buffer_size=max(2, per_worker)
        ),
        worker_init_fn=_begin_worker,
    )
    messages = grain.experimental.WithOptionsIterDataset(
        messages,
        grain.experimental.DatasetOptions(min_shm_size=_NO_SHARED_MEMORY),
    )
    return grain.experimental.FlatMapIterDataset(messages, _ClipsOfMessage())


class _ClipsOfMessage(grain.experimental.FlatMapTransform):
    max_fan_out = _CLIPS_OF_MESSAGE

    def flat_map(self, element):
        return element


def _begin_worker(worker_index, worker_count):
    # Layers that augment must not take memory that training wants.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    reuse_freed_memory()


class VideoDataset(BatchDataset):
    """Batches of clips, made by `video_dataset`.

    `get_state` and `set_state` let a stopped run go on; see `BatchDataset`.

    Attributes:
        steps_per_epoch: Integer, batches of one pass over the videos.
        repeats: Boolean, whether it never ends.
        skipped: Dictionary from the error of each video that was left out to
            how many times it was met, with `on_error="skip"`.
    """

    def __init__(self, clips, make_batches, stream, loader):
        super().__init__(clips, make_batches, stream)
        self._loader = loader

    @property
    def skipped(self):
        return dict(self._loader.skipped)
