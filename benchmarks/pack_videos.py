"""Writes the frames of all videos of a CSV file to one file, for a GPU.

    python benchmarks/pack_videos.py --data=runs/motion/robot_train.csv \\
        --output=runs/robot_train.npz

`gpu_presets.py` reads the file. Videos must have the same aspect ratio.
"""

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "CSV file of videos.", required=True)
flags.DEFINE_string("output", None, "The file to write.", required=True)
flags.DEFINE_integer("height", 96, "Height of the frames.", 1)
flags.DEFINE_integer("max_frames", 64, "Frames per video.", 1)


def main(_):
    from keras_larp.data import VideoList
    from keras_larp.utils.files import atomic_write

    source = VideoList(FLAGS.data)
    videos = [read(source, i) for i in range(len(source))]
    shape = (len(videos), FLAGS.max_frames, *videos[0].shape[1:])
    packed = np.zeros(shape, "uint8")
    for row, video in zip(packed, videos, strict=True):
        row[: len(video)] = video
    with atomic_write(FLAGS.output) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            videos=packed,
            lengths=[len(video) for video in videos],
            labels=[source.label(i) for i in range(len(source))],
            class_names=source.class_names,
        )


def read(source, index):
    """Returns the first frames of a video, resized: uint8 `(T, H, W, 3)`."""
    from keras_larp.data.video.transforms import resize_frame

    count = min(int(source.num_frames(index)), FLAGS.max_frames)
    frames = source.read(index, np.arange(count))
    _, height, width, _ = frames.shape
    size = (FLAGS.height, round(width * FLAGS.height / height))
    return np.stack([resize_frame(frame, size) for frame in frames])


if __name__ == "__main__":
    app.run(main)
