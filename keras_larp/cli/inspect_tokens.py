"""Shows what the tokens of a tokenizer hold, in pictures.

    keras-larp inspect-tokens --tokenizer=runs/tokenizer/preset \\
        --generator=runs/generator/preset --output=runs/tokens

Writes originals beside reconstructions with the names of their classes, a heat
map of how the codes are used and, with a generator, clips of which only the
first tokens are true and the others are drawn anew.
"""

import itertools
import pathlib

import numpy as np
from absl import flags
from keras import ops

from keras_larp import data, evaluation
from keras_larp.cli import data_flags, model_flags

FLAGS = flags.FlagValues()
data_flags.define(FLAGS, batch_size=8)
model_flags.define_tokenizer(FLAGS)
model_flags.define_generator(FLAGS, required=False)
model_flags.define_guidance(FLAGS)
model_flags.define_files(FLAGS, "runs/tokens")
flags.DEFINE_integer(
    "num_clips", 256, "Clips to count codes of.", 1, flag_values=FLAGS
)
flags.DEFINE_integer(
    "num_shown", 6, "Clips in the grids.", 1, flag_values=FLAGS
)
flags.DEFINE_list(
    "counts",
    None,
    "How many first tokens are kept; eighths of all where not given.",
    flag_values=FLAGS,
)


def main(values):
    """Encodes clips and writes the pictures.

    Args:
        values: The parsed `FLAGS`.
    """
    output = pathlib.Path(values.output)
    tokenizer = model_flags.load_tokenizer(values)
    counts = _counts(values.counts, tokenizer.num_tokens)
    source, clips = data_flags.make_test_clips(values, tokenizer)
    videos, labels, token_ids = [], [], []
    for video, label in itertools.islice(
        clips, -(-values.num_clips // values.batch_size)
    ):
        token_ids.append(ops.convert_to_numpy(tokenizer.encode(video)))
        if sum(map(len, videos)) < values.num_shown:
            videos.append(video)
            labels.append(label)
    token_ids = np.concatenate(token_ids)[: values.num_clips]
    evaluation.write_codebook_usage(
        output / "token_usage.png", token_ids, tokenizer.codebook_size
    )
    shown_ids = token_ids[: values.num_shown]
    videos = np.concatenate(videos)[: len(shown_ids)]
    labels = np.concatenate(labels)[: len(shown_ids)]
    names = [_name(label, source.class_names) for label in labels]
    decoded = ops.convert_to_numpy(tokenizer.decode(shown_ids))
    pairs = np.stack([videos, decoded], axis=1).reshape(-1, *videos.shape[1:])
    grid = data.video_grid(pairs, num_columns=2, row_names=names)
    data.write_video(output / "reconstructions.gif", grid, values.fps)
    if values.generator is not None:
        generator = model_flags.load_generator(values)
        clips = evaluation.resample_suffix(
            generator,
            tokenizer,
            shown_ids,
            labels,
            counts,
            seed=values.seed,
            guidance_scale=values.guidance_scale,
        )
        video = evaluation.truncation_video(clips, videos, counts, names)
        data.write_video(output / "truncation.gif", video, values.fps)
    print(f"{len(token_ids)} clips; wrote pictures to {output}")


def _name(label, class_names):
    """What a class is called; lists may have ids without names."""
    if label < 0:
        return "no class"
    return class_names[label] if class_names else f"class {label}"


def _counts(given, num_tokens):
    if given is None:
        return sorted({num_tokens * i // 8 for i in range(9)})
    counts = [int(count) for count in given]
    if min(counts) < 0 or max(counts) > num_tokens:
        raise ValueError(
            f"--counts must be from 0 to {num_tokens}, the tokens of a clip. "
            f"Received: --counts={','.join(given)}"
        )
    return counts
