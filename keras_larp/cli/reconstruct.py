"""Shows clips beside what a tokenizer makes of them, and measures it.

    keras-larp reconstruct --data=UCF-101 \\
        --tokenizer=larp_l_long_tokenizer --output=runs/reconstructions
"""

import pathlib

import numpy as np
from absl import flags
from keras import ops

from keras_larp import data, metrics
from keras_larp.cli import data_flags, model_flags

FLAGS = flags.FlagValues()
data_flags.define(FLAGS, batch_size=8)
model_flags.define_tokenizer(FLAGS)
flags.DEFINE_integer("num_clips", 16, "How many clips.", 1, flag_values=FLAGS)
model_flags.define_files(FLAGS, "runs/reconstructions")


def main(values):
    """Reconstructs, writes grids and prints metrics.

    Args:
        values: The parsed `FLAGS`.
    """
    output = pathlib.Path(values.output)
    tokenizer = model_flags.load_tokenizer(values)
    _, clips = data_flags.make_test_clips(values, tokenizer)
    measured = {"PSNR": metrics.PSNR(), "SSIM": metrics.SSIM()}
    codes = metrics.CodeStatistics(tokenizer.codebook_size)
    pairs = []
    for video, _ in clips:
        video = video[: values.num_clips - len(pairs)]
        token_ids = tokenizer.encode(video)
        reconstruction = ops.convert_to_numpy(tokenizer.decode(token_ids))
        for metric in measured.values():
            metric.update_state(video, reconstruction)
        codes.update_state(token_ids)
        pairs.extend(zip(video, reconstruction, strict=True))
        if len(pairs) >= values.num_clips:
            break
    grid = data.video_grid(
        np.stack([clip for pair in pairs for clip in pair]), num_columns=8
    )
    for ending in ("mp4", "gif"):
        path = output / f"originals_and_reconstructions.{ending}"
        data.write_video(path, grid, values.fps)
    results = [f"{k} {float(m.result()):.4f}" for k, m in measured.items()]
    print(f"{len(pairs)} clips, {', '.join(results)}")
    for name, value in codes.result().items():
        print(f"{name} {float(value):.4f}")
    print(f"Wrote originals beside reconstructions to {output}")
