"""Continues clips from their first frames, and writes them as video files.

    keras-larp predict-frames --tokenizer=larp_l_long_tokenizer \\
        --generator=larp_l_long_frame_prediction \\
        --data=k600_val.csv --data_format=csv --output=runs/continued

Clips are the middle ones of the test videos. Beside a file a clip there is a
grid: a row has the original and then each of --num_samples continuations.
"""

import numpy as np
from absl import flags
from keras import ops

from keras_larp import data
from keras_larp.cli import data_flags, model_flags

FLAGS = flags.FlagValues()
data_flags.define(FLAGS, batch_size=8)
model_flags.define_tokenizer(FLAGS)
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=False)
model_flags.define_files(FLAGS, "runs/continued")
flags.DEFINE_integer("num_clips", 8, "How many clips.", 1, flag_values=FLAGS)
flags.DEFINE_integer(
    "num_samples", 2, "Continuations of each clip.", 1, flag_values=FLAGS
)
flags.DEFINE_integer(
    "num_condition_frames",
    None,
    "Frames to go on from; the generator's own where not given.",
    1,
    flag_values=FLAGS,
)


def main(values):
    """Continues clips, and writes the files.

    Args:
        values: The parsed `FLAGS`.
    """
    tokenizer = model_flags.load_tokenizer(values)
    generator = model_flags.load_generator(values)
    _, clips = data_flags.make_test_clips(values, tokenizer)
    originals = first_clips(clips, values.num_clips)
    starts = originals.repeat(values.num_samples, axis=0)
    videos = generator.predict_frames(
        starts,
        tokenizer,
        values.num_condition_frames,
        batch_size=min(values.batch_size, len(starts)),
        verbose=1,
        **model_flags.sampling_options(values),
    )
    videos = ops.convert_to_numpy(videos)
    shape = originals.shape[1:]
    samples = videos.reshape(len(originals), values.num_samples, *shape)
    rows = np.concatenate([originals[:, None], samples], axis=1)
    grid = data.video_grid(rows.reshape(-1, *shape), rows.shape[1])
    files = [
        f"clip_{clip:03d}_{sample:03d}"
        for clip, sample in np.ndindex(*samples.shape[:2])
    ]
    model_flags.write_files(values, files, videos, grid)


def first_clips(dataset, count):
    """The first clips of a data set of pairs: float `(count, T, H, W, C)`."""
    videos = []
    for video, _ in dataset:
        videos.extend(video)
        if len(videos) >= count:
            break
    return np.stack(videos[:count])
