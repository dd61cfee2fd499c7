"""Writes clips next to their reconstructions and prints metrics.

    keras-larp reconstruct --data=UCF-101 \\
        --tokenizer=larp_l_long_tokenizer --output=runs/reconstructions

With --full, complete videos are reconstructed from overlapping clips, at their
own size and frame rate and in constant memory, and PSNR is the mean of all
frames (before they are written as H.264):

    keras-larp reconstruct --data=film.mp4 --full --audio \\
        --tokenizer=larp_l_long_tokenizer --output=runs/reconstructions
"""

import pathlib

import numpy as np
from absl import flags

import keras_larp
from keras_larp import data
from keras_larp.cli import data_flags, full_videos, model_flags
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.locks import lock_folder

FLAGS = flags.FlagValues()
flags.DEFINE_integer("num_clips", 16, "Number of clips.", 1, flag_values=FLAGS)
flags.DEFINE_integer(
    "num_tokens",
    None,
    "Number of tokens per clip, if the tokenizer is elastic. If omitted, all.",
    1,
    flag_values=FLAGS,
)
full_videos.define(FLAGS)
model_flags.define_tokenizer(FLAGS)
data_flags.define(FLAGS, batch_size=8)
model_flags.define_files(FLAGS, "runs/reconstructions")


def main(values: flags.FlagValues) -> None:
    """Reconstructs clips or complete videos, and prints metrics.

    Args:
        values: The parsed `FLAGS`.
    """
    full_videos.check(values)
    tokenizer = model_flags.load_tokenizer(values)
    with lock_folder(values.output):
        if values.full:
            full_videos.reconstruct(values, tokenizer)
        else:
            _reconstruct_clips(values, tokenizer)


def _reconstruct_clips(values, tokenizer):
    output = pathlib.Path(values.output)
    _, dataset = data_flags.make_test_clips(values, tokenizer)
    psnr, ssim = keras_larp.metrics.PSNR(), keras_larp.metrics.SSIM()
    codes = keras_larp.metrics.CodeStatistics(tokenizer.codebook_size)
    clips = []
    for videos, _ in dataset:
        videos = videos[: values.num_clips - len(clips) // 2]
        token_ids = tokenizer.encode(videos, num_tokens=values.num_tokens)
        reconstructions = to_numpy(tokenizer.decode(token_ids))
        psnr.update_state(videos, reconstructions)
        ssim.update_state(videos, reconstructions)
        codes.update_state(token_ids)
        for pair in zip(videos, reconstructions, strict=True):
            clips.extend(pair)
        if len(clips) >= 2 * values.num_clips:
            break
    grid = data.video_grid(np.stack(clips), num_columns=8)
    for extension in ("mp4", "gif"):
        path = output / f"originals_and_reconstructions.{extension}"
        data.write_video(path, grid, values.fps)
    print(
        f"{len(clips) // 2} clips, PSNR {float(psnr.result()):.4f}, "
        f"SSIM {float(ssim.result()):.4f}"
    )
    for name, value in codes.result().items():
        print(f"{name} {float(value):.4f}")
    print(f"Wrote originals next to reconstructions to {output}")
