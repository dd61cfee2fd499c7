"""Encodes videos and writes their tokens to a dataset for training.

    keras-larp tokenize --tokenizer=runs/tokenizer/preset --data=UCF-101 \\
        --output=runs/tokens --include_flips

Running an interrupted command again resumes it after the last complete shard.
The processes of a launcher, such as torchrun or srun, share the work; so do the
workers of a Ray cluster with --engine=ray.
"""

import functools

from absl import flags

import keras_larp
from keras_larp import data
from keras_larp.cli import data_flags, launcher, model_flags

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
    "num_tokens",
    None,
    "Number of tokens per clip to write, the first ones of an elastic "
    "tokenizer. If omitted, all.",
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
flags.DEFINE_enum(
    "engine",
    "local",
    ["local", "ray"],
    "Encode in this process (and in the others of a launcher), or in workers "
    "of a Ray cluster.",
    flag_values=FLAGS,
    module_name="Ray",
)
flags.DEFINE_integer(
    "num_actors",
    2,
    "With --engine=ray, the number of workers.",
    1,
    flag_values=FLAGS,
    module_name="Ray",
)
flags.DEFINE_float(
    "gpus_per_actor",
    0.0,
    "With --engine=ray, the number of GPUs of each worker; 0.5 shares a GPU "
    "between two.",
    0.0,
    flag_values=FLAGS,
    module_name="Ray",
)
flags.DEFINE_string(
    "ray_address",
    None,
    "With --engine=ray, the address of the cluster, such as auto or "
    "ray://host:10001. If omitted, a cluster is started on this machine.",
    flag_values=FLAGS,
    module_name="Ray",
)
model_flags.define_tokenizer(FLAGS)
data_flags.define(FLAGS, batch_size=8)


def main(values: flags.FlagValues) -> None:
    """Encodes the videos and writes the dataset.

    Args:
        values: The parsed `FLAGS`.
    """
    _check_engine(values)
    if values.engine == "local":
        launcher.initialize(values)
    tokenizer = model_flags.load_tokenizer(values)
    source = data_flags.make_source(
        values, values.split, tokenizer.num_frames, tokenizer.image_size
    )
    if values.include_flips and source.flip_changes_label:
        raise ValueError(
            "The class names of these videos contain directions, which are "
            "wrong for flipped clips. Received: --include_flips"
        )
    options = {
        "frame_sampling": values.frame_sampling,
        "include_flips": values.include_flips,
        "num_condition_frames": values.num_condition_frames,
        "num_tokens": values.num_tokens,
        "batch_size": values.batch_size,
        "clips_per_shard": values.clips_per_shard,
        "seed": values.seed,
        "num_workers": values.num_workers,
        "on_error": values.on_error,
    }
    if values.engine == "ray":
        load = keras_larp.models.LARPTokenizer.from_preset
        written = data.write_token_dataset_with_ray(
            values.output,
            source,
            functools.partial(load, values.tokenizer),
            **options,
            num_actors=values.num_actors,
            gpus_per_actor=values.gpus_per_actor,
            ray_address=values.ray_address,
        )
    else:
        written = data.write_token_dataset(
            values.output, source, tokenizer, **options
        )
    if keras_larp.distribution.is_chief():
        print(
            f"Wrote {len(written)} clips of {written.num_tokens} tokens to "
            f"{values.output}"
        )


def _check_engine(values):
    """Checks the combination of --engine with its flags and a launcher."""
    if values.engine == "ray":
        if launcher.is_launched():
            raise ValueError(
                "Ray starts the workers. Start the command without a launcher "
                "(torchrun or srun), or omit --engine=ray. Received: several "
                "processes with --engine=ray"
            )
        return
    for name in ("num_actors", "gpus_per_actor", "ray_address"):
        if values[name].present:
            raise ValueError(
                f"--{name} needs --engine=ray. Received: "
                f"--{name}={values[name].value} with --engine=local"
            )
