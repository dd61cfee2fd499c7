"""Encodes videos and writes their tokens to a dataset for training.

    keras-larp tokenize --tokenizer=runs/tokenizer/preset --data=UCF-101 \\
        --output=runs/tokens --include_flips

Running an interrupted command again resumes it after the last complete shard.
"""

from absl import flags

from keras_larp import data
from keras_larp.cli import data_flags, model_flags

FLAGS = flags.FlagValues()
flags.DEFINE_enum(
    "split",
    "train",
    ["train", "test"],
    "Videos to encode, for formats with a test split or with --test_data.",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "frame_sampling",
    "first",
    ["first", "center", "random", "uniform", "windows"],
    "Frames of a clip: consecutive from the start, the center or a random "
    "position; evenly spread over the video; or every non-overlapping window "
    "as a clip.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "include_flips",
    False,
    "Also encode a horizontally flipped copy of each clip.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "num_condition_frames",
    None,
    "Also encode the first N frames of each clip, for training frame "
    "prediction. If omitted, they are not encoded.",
    1,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "clips_per_shard", 1024, "Maximum clips per file.", 1, flag_values=FLAGS
)
flags.DEFINE_string(
    "output",
    "runs/tokens",
    "Folder of the token dataset.",
    flag_values=FLAGS,
    module_name="Output",
)
model_flags.define_tokenizer(FLAGS)
data_flags.define(FLAGS, batch_size=8)


def main(values: flags.FlagValues) -> None:
    """Encodes the videos and writes the dataset.

    Args:
        values: The parsed `FLAGS`.
    """
    tokenizer = model_flags.load_tokenizer(values)
    source = data_flags.make_source(
        values, values.split, tokenizer.num_frames, tokenizer.image_size
    )
    if values.include_flips and source.flip_changes_label:
        raise ValueError(
            "The class names of these videos contain directions, which are "
            "wrong for flipped clips. Received: --include_flips"
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
    print(
        f"Wrote {len(written)} clips of {written.num_tokens} tokens to "
        f"{values.output}"
    )
