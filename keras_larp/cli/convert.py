"""Writes a preset, or a checkpoint of the authors, as a preset folder.

    keras-larp convert --preset=hf://hywang66/LARP-L-long-tokenizer \\
        --output=larp_l_long_tokenizer --weights_dtype=float16

float16 halves the file; the weights are loaded as float32.
"""

from absl import flags

from keras_larp import presets
from keras_larp.presets.half_precision import WEIGHT_DTYPES

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "preset", None, "Name, folder or address.", flag_values=FLAGS
)
flags.DEFINE_string("output", None, "Folder to write.", flag_values=FLAGS)
flags.mark_flags_as_required(["preset", "output"], flag_values=FLAGS)
flags.DEFINE_enum(
    "weights_dtype",
    "float32",
    WEIGHT_DTYPES,
    "How weights are stored.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "dtype",
    None,
    "Policy that the model computes by when it is loaded, such as float32; "
    "the one that it was trained with where not given.",
    flag_values=FLAGS,
)


def main(values):
    """Converts.

    Args:
        values: The parsed `FLAGS`.
    """
    overrides = {} if values.dtype is None else {"dtype": values.dtype}
    model = presets.load(values.preset, **overrides)
    presets.save(model, values.output, values.weights_dtype)
    print(
        f"Wrote {type(model).__name__}, {model.count_params():,} "
        f"parameters to {values.output}"
    )
