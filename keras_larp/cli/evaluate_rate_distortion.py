"""Compares a tokenizer with H.264 and AV1: bits per pixel against quality.

    keras-larp evaluate rate-distortion --data=UCF-101 \\
        --tokenizer=larp_l_long_tokenizer --output=runs/rate_distortion

The command writes rate_distortion.csv, .md and .png. An elastic tokenizer is
measured at several numbers of tokens, and codecs at several rate factors.
"""

import csv
import io
import pathlib

import numpy as np
from absl import flags

import keras_larp
from keras_larp.cli import data_flags, model_flags
from keras_larp.utils.files import atomic_write_text
from keras_larp.utils.locks import lock_folder

FLAGS = flags.FlagValues()
flags.DEFINE_integer("num_clips", 64, "Number of clips.", 1, flag_values=FLAGS)
flags.DEFINE_list(
    "num_tokens",
    None,
    "Numbers of tokens per clip, such as 64,32,16, for elastic tokenizers. If "
    "omitted, all tokens and, of elastic tokenizers, halves down to a "
    "sixteenth.",
    flag_values=FLAGS,
)
flags.DEFINE_multi_enum(
    "codec",
    ["h264", "av1"],
    ["h264", "av1"],
    "Video codec to compare with. Repeat the flag for several.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "output", "runs/rate_distortion", "Output folder.", flag_values=FLAGS
)
model_flags.define_tokenizer(FLAGS)
model_flags.define_lpips(FLAGS)
data_flags.define(FLAGS, batch_size=8)


def main(values: flags.FlagValues) -> None:
    """Measures, prints and writes table and plot.

    Args:
        values: The parsed `FLAGS`.
    """
    counts = _parse_counts(values.num_tokens)
    tokenizer = model_flags.load_tokenizer(values)
    perceptual_model = model_flags.load_lpips(values)
    with lock_folder(values.output):
        rows = keras_larp.evaluation.rate_distortion(
            tokenizer,
            _read_clips(values, tokenizer),
            counts,
            values.codec,
            perceptual_model,
            values.batch_size,
        )
        _write(rows, pathlib.Path(values.output))


def _parse_counts(texts):
    if texts is None:
        return None
    if not all(text.isascii() and text.isdecimal() for text in texts):
        raise ValueError(
            "--num_tokens must be integers, such as 64,32. Received: "
            f"--num_tokens={','.join(texts)}"
        )
    return [int(text) for text in texts]


def _read_clips(values, tokenizer):
    """Returns the first clips of the test split, `(N, T, H, W, 3)`."""
    _, dataset = data_flags.make_test_clips(values, tokenizer)
    batches, count = [], 0
    for videos, _ in dataset:
        batches.append(videos[: values.num_clips - count])
        count += len(batches[-1])
        if count == values.num_clips:
            break
    return np.concatenate(batches)


def _write(rows, output):
    table = keras_larp.evaluation.rate_distortion_table(rows)
    print(table)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    atomic_write_text(output / "rate_distortion.csv", text.getvalue())
    atomic_write_text(output / "rate_distortion.md", table)
    keras_larp.evaluation.plot_rate_distortion(
        rows, output / "rate_distortion.png"
    )
    print(f"Wrote rate_distortion.csv, .md and .png to {output}")
