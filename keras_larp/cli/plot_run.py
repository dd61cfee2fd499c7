"""Plots the training curves of a run.

keras-larp plot-run --run=runs/tokenizer
"""

import pathlib

from absl import flags

from keras_larp.evaluation.run_plots import plot_run

FLAGS = flags.FlagValues()

flags.DEFINE_string(
    "run", None, "Folder of the run. Must contain log.csv.", flag_values=FLAGS
)
flags.mark_flag_as_required("run", flag_values=FLAGS)
flags.DEFINE_string(
    "output",
    None,
    "Path of the image to write. Default: curves.png in the folder of the run.",
    flag_values=FLAGS,
)


def main(values):
    """Plots `log.csv` of the run.

    Args:
        values: The parsed `FLAGS`.
    """
    folder = pathlib.Path(values.run)
    output = values.output or folder / "curves.png"
    plot_run(folder / "log.csv", output)
    print(f"Wrote {output}")
