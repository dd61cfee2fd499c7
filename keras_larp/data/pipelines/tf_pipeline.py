import numpy as np

from keras_larp.data.pipelines.clip_loader import ClipLoader
from keras_larp.data.sources.tfio_reader import TfioReader
from keras_larp.data.video.transforms import to_unit_range
from keras_larp.utils.checks import check_choice, check_integer
from keras_larp.utils.optional_imports import require


def tf_video_dataset(
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
    repeat=False,
    drop_remainder=False,
    with_labels=True,
    on_error="raise",
    reader="pyav",
):
    """A plain `tf.data` pipeline of batches of clips.

    For those who go on with `tf.data` operations or train under
    `tf.distribute`; otherwise see `video_dataset`, whose arguments these are.
    A pipeline that does not repeat is one pass, and `fit` starts another one,
    in another order, at each epoch.

    Args:
        source: As in `video_dataset`.
        num_frames: Integer, length of a clip.
        image_size: Integer, height and width of a clip.
        batch_size: Integer, clips in a batch.
        shuffle: Boolean.
        seed: Integer.
        frame_sampling: String, which frames make a clip.
        horizontal_flip: Boolean, whether half of the clips are mirrored.
        crop_scale: Optional pair of floats, to crop at random.
        crop_ratio: Pair of floats, width over height of such a crop.
        augment: Optional function of a clip and a seed.
        resize: String, `"pillow"` or `"ffmpeg"`.
        repeat: Boolean, whether to go on for ever.
        drop_remainder: Boolean, whether a last batch that is not full is left
            out.
        with_labels: Boolean, whether batches are pairs of clips and class
            ids.
        on_error: String: `"raise"`, or `"skip"` videos that do not decode.
        reader: String, what decodes files: `"pyav"`, or `"tfio"` for
            tensorflow-io; see `TfioReader` for what that needs.

    Returns:
        A `tf.data.Dataset` of float32 `(batch, num_frames, image_size,
        image_size, 3)` in [0, 1], with labels int32 `(batch,)`.

    Raises:
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
    size = loader.image_size
    shape = (loader.num_frames, size, size, 3)

    def load(draw, index):
        clip = loader.load(int(draw), int(index))
        if loader.keep(clip):
            return to_unit_range(clip["video"]), clip["label"], True
        return np.zeros(shape, "float32"), np.int32(-1), False

    def load_in_graph(draw, index):
        video, label, kept = tf.numpy_function(
            load, (draw, index), (tf.float32, tf.int32, tf.bool)
        )
        return tf.ensure_shape(video, shape), tf.ensure_shape(label, ()), kept

    dataset = tf.data.Dataset.range(len(loader))
    # A number that is new at each pass stands for the epoch.
    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    if shuffle:
        dataset = dataset.shuffle(len(loader), seed=seed)
    if repeat:
        dataset = dataset.repeat()
    dataset = tf.data.Dataset.zip((draws, dataset))
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
