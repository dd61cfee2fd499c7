"""Shows clips beside what a tokenizer makes of them, and measures it.

    python examples/reconstruct.py --data=UCF-101 \
        --tokenizer=larp_l_long_tokenizer --output=runs/reconstructions
"""

import pathlib

import data_flags
import numpy as np
from absl import app, flags
from keras import ops

from keras_larp import data, metrics, models

FLAGS = flags.FLAGS

flags.DEFINE_string("tokenizer", None, "Preset of the tokenizer.")
flags.mark_flag_as_required("tokenizer")
flags.DEFINE_integer("num_clips", 16, "How many clips.", 1)
flags.DEFINE_integer("fps", 8, "Frames a second of the files.", 1)
flags.DEFINE_string("output", "runs/reconstructions", "Folder of the files.")


def main(_):
    output = pathlib.Path(FLAGS.output)
    tokenizer = models.LARPTokenizer.from_preset(FLAGS.tokenizer)
    FLAGS.num_frames = tokenizer.num_frames
    FLAGS.image_size = tokenizer.image_size
    source = data_flags.make_source("test")
    psnr = metrics.PSNR()
    codes = metrics.CodeStatistics(tokenizer.codebook_size)
    pairs = []
    for video, _ in data_flags.make_dataset(source, training=False):
        video = video[: FLAGS.num_clips - len(pairs)]
        token_ids = tokenizer.encode(video)
        reconstruction = ops.convert_to_numpy(tokenizer.decode(token_ids))
        psnr.update_state(video, reconstruction)
        codes.update_state(token_ids)
        pairs.extend(zip(video, reconstruction, strict=True))
        if len(pairs) >= FLAGS.num_clips:
            break
    clips = np.stack([clip for pair in pairs for clip in pair])
    grid = data.video_grid(clips, num_columns=8)
    data.write_video(output / "originals_and_reconstructions.mp4", grid)
    data.write_video(output / "originals_and_reconstructions.gif", grid)
    print(f"{len(pairs)} clips, PSNR {float(psnr.result()):.2f} dB")
    for name, value in codes.result().items():
        print(f"{name} {float(value):.4f}")
    print(f"Wrote originals beside reconstructions to {output}")


if __name__ == "__main__":
    app.run(main)
