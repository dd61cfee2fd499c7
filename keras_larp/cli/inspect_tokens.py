"""Visualizes what the tokens of a tokenizer encode.

    keras-larp inspect-tokens --tokenizer=runs/tokenizer/preset \\
        --generator=runs/generator/preset --output=runs/tokens

The command writes originals next to reconstructions with their class names, a
heat map of codebook usage by position and, with a generator, clips of which
only the leading tokens are kept and the others are resampled.
"""

import itertools
import pathlib

import numpy as np
from absl import flags

import keras_larp
from keras_larp import data
from keras_larp.cli import data_flags, model_flags
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.locks import lock_folder

FLAGS = flags.FlagValues()
flags.DEFINE_integer(
    "num_clips",
    256,
    "Number of clips for the codebook usage.",
    1,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "num_shown", 6, "Number of clips in the grids.", 1, flag_values=FLAGS
)
flags.DEFINE_list(
    "kept_tokens",
    None,
    "Numbers of leading tokens to keep before resampling the others. If "
    "omitted, multiples of an eighth of all tokens.",
    flag_values=FLAGS,
)
model_flags.define_tokenizer(FLAGS)
model_flags.define_generator(FLAGS, required=False)
model_flags.define_guidance(FLAGS)
data_flags.define(FLAGS, batch_size=8)
model_flags.define_files(FLAGS, "runs/tokens")


def main(values: flags.FlagValues) -> None:
    """Encodes clips and writes the figures.

    Args:
        values: The parsed `FLAGS`.
    """
    tokenizer = model_flags.load_tokenizer(values)
    generator = None
    if values.generator is not None:
        generator = model_flags.load_generator(values)
    # A generator may have fewer tokens than an elastic tokenizer.
    num_tokens = (generator or tokenizer).num_tokens
    counts = _counts(values.kept_tokens, num_tokens)
    with lock_folder(values.output):
        _write_figures(values, tokenizer, generator, counts)


def _write_figures(values, tokenizer, generator, counts):
    output = pathlib.Path(values.output)
    source, dataset = data_flags.make_test_clips(values, tokenizer)
    videos, labels, token_ids = [], [], []
    num_loaded = 0
    for video, label in itertools.islice(
        dataset, -(-values.num_clips // values.batch_size)
    ):
        token_ids.append(to_numpy(tokenizer.encode(video)))
        if num_loaded < values.num_shown:
            videos.append(video)
            labels.append(label)
        num_loaded += len(video)
    token_ids = np.concatenate(token_ids)[: values.num_clips]
    keras_larp.evaluation.write_codebook_usage(
        output / "token_usage.png", token_ids, tokenizer.codebook_size
    )
    shown_ids = token_ids[: values.num_shown]
    videos = np.concatenate(videos)[: len(shown_ids)]
    labels = np.concatenate(labels)[: len(shown_ids)]
    names = [_class_name(label, source.class_names) for label in labels]
    decoded = to_numpy(tokenizer.decode(shown_ids))
    pairs = np.stack([videos, decoded], axis=1).reshape(-1, *videos.shape[1:])
    grid = data.video_grid(pairs, num_columns=2, row_names=names)
    data.write_video(output / "reconstructions.gif", grid, values.fps)
    if generator is not None:
        clips = keras_larp.evaluation.resample_suffix(
            generator,
            tokenizer,
            shown_ids[:, : generator.num_tokens],
            labels,
            counts,
            seed=values.seed,
            guidance_scale=values.guidance_scale,
        )
        video = keras_larp.evaluation.truncation_video(
            clips, videos, counts, names
        )
        data.write_video(output / "truncation.gif", video, values.fps)
    print(f"Wrote figures of {len(token_ids)} clips to {output}")


def _class_name(label, class_names):
    if label < 0:
        return "no class"
    # Labels of CSV files may not have names.
    return class_names[label] if class_names else f"class {label}"


def _counts(flag, num_tokens):
    if flag is None:
        return sorted({num_tokens * i // 8 for i in range(9)})
    counts = [int(count) if count.isdecimal() else -1 for count in flag]
    if min(counts) < 0 or max(counts) > num_tokens:
        raise ValueError(
            f"--kept_tokens must be from 0 to {num_tokens}, the number of "
            f"tokens per clip. Received: --kept_tokens={','.join(flag)}"
        )
    return counts
