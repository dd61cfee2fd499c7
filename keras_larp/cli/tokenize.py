"""Writes the tokens of videos to a data set that training reads.

    keras-larp tokenize --tokenizer=runs/tokenizer/preset --data=UCF-101 \\
        --output=runs/tokens --include_flips

A run that was stopped goes on from its last whole shard when it is started
again with the same flags.
"""

from absl import flags

from keras_larp import data
from keras_larp.cli import data_flags, model_flags

FLAGS = flags.FlagValues()
data_flags.define(FLAGS, batch_size=8)
model_flags.define_tokenizer(FLAGS)
flags.DEFINE_string(
    "output", "runs/tokens", "Folder of the tokens.", flag_values=FLAGS
)
flags.DEFINE_enum(
    "split", "train", ["train", "test"], "Which videos.", flag_values=FLAGS
)
flags.DEFINE_enum(
    "frame_sampling",
    "first",
    ["first", "center", "random", "uniform", "windows"],
    "Which frames make a clip; `windows` makes several of a video.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "include_flips", False, "Write mirrored copies too.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "num_condition_frames",
    None,
    "Write the tokens of so many first frames too, for frame prediction.",
    1,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "clips_per_shard", 1024, "Clips in a file.", 1, flag_values=FLAGS
)


def main(values):
    """Tokenizes, and prints what was written.

    Args:
        values: The parsed `FLAGS`.
    """
    tokenizer = model_flags.load_tokenizer(values)
    source = data_flags.make_source(
        values, values.split, tokenizer.num_frames, tokenizer.image_size
    )
    if values.include_flips and source.flip_changes_label:
        raise ValueError(
            "The classes of these videos name directions, which mirroring "
            "turns round. Received: --include_flips"
        )
    data.write_token_dataset(
        values.output,
        source,
        tokenizer,
        frame_sampling=values.frame_sampling,
        include_flips=values.include_flips,
        num_condition_frames=values.num_condition_frames,
        batch_size=values.batch_size,
        clips_per_shard=values.clips_per_shard,
        seed=values.seed,
        num_workers=values.num_workers,
        on_error=values.on_error,
    )
    written = data.TokenSource(values.output)
    print(f"{len(written)} clips of {written.num_tokens} tokens")
    print(f"Wrote them to {values.output}")
