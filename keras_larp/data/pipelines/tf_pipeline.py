import collections.abc
from typing import Any

import numpy as np

from keras_larp.data.pipelines.clip_loader import ClipLoader
from keras_larp.data.sources.tfio_reader import TfioReader
from keras_larp.data.sources.video_source import VideoSource
from keras_larp.data.video.transforms import to_unit_range
from keras_larp.utils.checks import check_boolean, check_choice, check_integer
from keras_larp.utils.optional_imports import require


def tf_video_dataset(
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
    repeat: bool = False,
    drop_remainder: bool = False,
    with_labels: bool = True,
    on_error: str = "raise",
    reader: str = "pyav",
) -> Any:
    """A `tf.data` pipeline of batches of clips.

    For further `tf.data` operations or training under `tf.distribute`.
    Otherwise use `video_dataset`, which resumes after interruptions. If the
    data set does not repeat, `fit` iterates over it once per epoch, in a
    different order each time.

    Args:
        source: `VideoSource`, such as `UCF101` or `VideoFolder`.
        num_frames: Integer. Number of frames per clip. Defaults to the
            source's `default_num_frames`, 16 for files.
        image_size: Integer. Height and width of clips in pixels. Defaults to
            the source's `default_image_size`, 128 for files.
        batch_size: Integer. Number of clips per batch. Defaults to 8.
        shuffle: Boolean. Whether to shuffle the clips. Defaults to `True`.
        seed: Integer. Defaults to 0.
        frame_sampling: String. Which frames form a clip; see `video_dataset`.
            Defaults to `"random"`.
        horizontal_flip: Boolean. Whether to mirror half of the clips. Defaults
            to `False`.
        crop_scale: Pair of floats. Area ratios of random crops; see
            `video_dataset`. Defaults to `None`, the center crop.
        crop_ratio: Pair of floats. Aspect ratios of random crops. Defaults to
            (3/4, 4/3).
        augment: Function of a clip and a seed; see `video_dataset`. Defaults
            to `None`.
        resize: String. `"pillow"` or `"ffmpeg"`; see `video_dataset`. Defaults
            to `"pillow"`.
        repeat: Boolean. Whether the data set is endless. Defaults to `False`.
        drop_remainder: Boolean. Whether to drop an incomplete last batch.
            Defaults to `False`.
        with_labels: Boolean. Whether batches are pairs of clips and class
            ids instead of clips only. Defaults to `True`.
        on_error: String. What to do with videos that do not decode: `"raise"`
            or `"skip"`. Defaults to `"raise"`.
        reader: String. What decodes files: `"pyav"`, or `"tfio"` for
            tensorflow-io; see `TfioReader` for its requirements. Defaults to
            `"pyav"`.

    Returns:
        A `tf.data.Dataset` of float32 `(batch_size, num_frames, image_size,
        image_size, 3)` in [0, 1], with labels int32 `(batch_size,)`, -1 for no
        class.

    Raises:
        TypeError: If `source` is not a `VideoSource`.
        ValueError: If an argument is out of range.
        ImportError: If TensorFlow is not installed, or the reader does not
            load.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    dataset = keras_larp.data.tf_video_dataset(source, batch_size=8)
    dataset = dataset.take(100)
    ```
    """
    tf = require("tensorflow", "tensorflow")
    if check_choice("reader", reader, ("pyav", "tfio")) == "tfio":
        source = TfioReader(source)
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
    check_integer("batch_size", batch_size, 1)
    for name, value in (
        ("shuffle", shuffle),
        ("repeat", repeat),
        ("drop_remainder", drop_remainder),
        ("with_labels", with_labels),
    ):
        check_boolean(name, value)
    size = loader.image_size
    shape = (loader.num_frames, size, size, 3)

    def load(epoch, index):
        clip = loader.load(int(epoch), int(index))
        if loader.keep(clip):
            return to_unit_range(clip["video"]), clip["label"], True
        return np.zeros(shape, "float32"), np.int32(-1), False

    def load_in_graph(epoch, index):
        video, label, kept = tf.numpy_function(
            load, (epoch, index), (tf.float32, tf.int32, tf.bool)
        )
        return tf.ensure_shape(video, shape), tf.ensure_shape(label, ()), kept

    dataset = tf.data.Dataset.range(len(loader))
    # Iterators do not know the epoch: a random number takes its place.
    epochs = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    if shuffle:
        dataset = dataset.shuffle(len(loader), seed=seed)
    if repeat:
        dataset = dataset.repeat()
    dataset = tf.data.Dataset.zip((epochs, dataset))
    dataset = dataset.map(load_in_graph, tf.data.AUTOTUNE)
    dataset = dataset.filter(lambda video, label, kept: kept)
    if with_labels:
        dataset = dataset.map(lambda video, label, kept: (video, label))
    else:
        dataset = dataset.map(lambda video, label, kept: video)
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    if on_error == "raise" and not repeat:
        count = len(loader) // batch_size
        if len(loader) % batch_size and not drop_remainder:
            count += 1
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return dataset.prefetch(1)
