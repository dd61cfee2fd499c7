"""Converts a preset or a reference checkpoint to a preset folder.

    keras-larp convert --preset=hf://hywang66/LARP-L-long-tokenizer \\
        --output=larp_l_long_tokenizer --weights_dtype=float16

float16 halves the size of the file, and int8 divides it by about four. Weights
are loaded as float32.
"""

from absl import flags

import keras_larp
from keras_larp.cli.command import require

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "preset",
    None,
    "Preset to convert: a bundled name, a folder, or an address such as "
    "hf://owner/repository. Checkpoints of the reference implementation "
    "are converted.",
    flag_values=FLAGS,
)
flags.DEFINE_string("output", None, "Output folder.", flag_values=FLAGS)
require(FLAGS, "preset", "output")
flags.DEFINE_enum(
    "weights_dtype",
    "float32",
    ["float32", "float16", "int8"],
    "Dtype of the stored matrices.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "dtype",
    None,
    "Dtype policy of the model, such as float32 or mixed_bfloat16. If omitted, "
    "that of the preset.",
    flag_values=FLAGS,
)


def main(values: flags.FlagValues) -> None:
    """Converts the preset.

    Args:
        values: The parsed `FLAGS`.
    """
    overrides = {} if values.dtype is None else {"dtype": values.dtype}
    model = keras_larp.presets.load(values.preset, **overrides)
    keras_larp.presets.save(model, values.output, values.weights_dtype)
    print(
        f"Wrote {type(model).__name__} with {model.count_params():,} "
        f"parameters to {values.output}"
    )
