"""Plots the training curves of a run.

    keras-larp plot-run --run=runs/tokenizer

The command reads log.csv in the folder of the run.
"""

import pathlib

from absl import flags

import keras_larp
from keras_larp.cli.command import require

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "run", None, "Folder of the run. Must contain log.csv.", flag_values=FLAGS
)
require(FLAGS, "run")
flags.DEFINE_string(
    "output",
    None,
    "Path of the image to write. Default: curves.png in the folder of the run.",
    flag_values=FLAGS,
)


def main(values: flags.FlagValues) -> None:
    """Plots `log.csv` of the run.

    Args:
        values: The parsed `FLAGS`.
    """
    folder = pathlib.Path(values.run)
    output = values.output or folder / "curves.png"
    keras_larp.evaluation.plot_run(folder / "log.csv", output)
    print(f"Wrote {output}")
