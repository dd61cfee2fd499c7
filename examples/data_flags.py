"""Flags that name video, and the sources and pipelines that they stand for."""

from absl import flags

from keras_larp import data

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "data",
    None,
    "A folder such as UCF-101, or a csv file of path,label. Without it, "
    "moving shapes are drawn.",
)
flags.DEFINE_enum(
    "data_format",
    "ucf101",
    ["ucf101", "folder", "csv"],
    "How --data is laid out.",
)
flags.DEFINE_integer("fold", 1, "Split of UCF101: 1, 2 or 3.", 1, 3)
flags.DEFINE_integer("num_frames", 16, "Frames of a clip.", 1)
flags.DEFINE_integer("image_size", 128, "Height and width of a clip.", 8)
flags.DEFINE_integer("batch_size", 8, "Clips in a batch.", 1)
flags.DEFINE_integer("num_workers", 0, "Processes that decode video.", 0)
flags.DEFINE_integer("seed", 0, "Seed of data and weights.", 0)
flags.DEFINE_bool("skip_broken", False, "Skip videos that do not decode.")


def make_source(split):
    """The videos of `"train"` or `"test"`.

    Only UCF101 and the moving shapes have parts; a folder or a csv file is
    taken whole.
    """
    if FLAGS.data is None:
        seed = {"train": 0, "test": 1}[split]
        count = {"train": 4096, "test": 48}[split]
        return data.MovingShapes(
            count, FLAGS.num_frames, FLAGS.image_size, seed
        )
    if FLAGS.data_format == "ucf101":
        return data.UCF101(FLAGS.data, split, FLAGS.fold, missing="skip")
    if FLAGS.data_format == "folder":
        return data.VideoFolder(FLAGS.data)
    return data.VideoList(FLAGS.data)


def make_dataset(source, training):
    """Random clips for ever in training; else one pass over the middle ones."""
    return data.video_dataset(
        source,
        FLAGS.num_frames,
        FLAGS.image_size,
        FLAGS.batch_size,
        shuffle=training,
        seed=FLAGS.seed,
        sampling="random" if training else "center",
        horizontal_flip=training and not source.has_direction,
        repeat=training,
        num_workers=FLAGS.num_workers,
        on_error="skip" if FLAGS.skip_broken else "raise",
    )
