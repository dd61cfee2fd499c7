"""Compares two evaluations of the same kind, with bootstrap intervals.

    keras-larp evaluate compare runs/a runs/b

The folders are the --output of two evaluations, such as those of the tokenizers
of two runs. The command prints a verdict and a table, and writes them to
comparison.md. If both evaluations were run with --save_videos, it also writes
grid.gif, with the clips of the first on the left. Pass equal --data,
--num_clips and --seed to both evaluations: with the same clips, intervals are
much narrower.
"""

import pathlib

from absl import flags

import keras_larp
from keras_larp import data
from keras_larp.utils.files import atomic_write_text

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "first",
    None,
    "Folder of an evaluation. Can also be passed without --first.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "second",
    None,
    "Folder of another evaluation. Can also be passed without --second.",
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "confidence",
    0.95,
    "Confidence level of the intervals, between 0 and 1.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "num_resamples",
    2000,
    "Number of resamples; at most 200 of them for Fréchet distances.",
    2,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "num_clips", 8, "Number of clips in grid.gif.", 1, flag_values=FLAGS
)
flags.DEFINE_string(
    "output",
    "runs/comparison",
    "Folder for comparison.md and grid.gif.",
    flag_values=FLAGS,
)
# Flags that can be passed as positional arguments, in this order.
POSITIONAL = ("first", "second")


def main(values: flags.FlagValues) -> None:
    """Compares, prints and writes the comparison.

    Args:
        values: The parsed `FLAGS`.
    """
    folders = values.first, values.second
    if None in folders:
        raise ValueError(
            "Pass the folders of two evaluations: keras-larp evaluate compare "
            f"FIRST SECOND. Received: first={values.first}, "
            f"second={values.second}"
        )
    comparisons = keras_larp.evaluation.compare_evaluations(
        *folders, values.confidence, values.num_resamples
    )
    names = _names(*folders)
    verdict = keras_larp.evaluation.comparison_verdict(comparisons, names)
    table = keras_larp.evaluation.comparison_table(comparisons, names)
    print(f"{table}\n{verdict}")
    output = pathlib.Path(values.output)
    output.mkdir(parents=True, exist_ok=True)
    text = (
        f"# {folders[0]} and {folders[1]}\n\n{verdict}.\n\n{table}\n"
        f"Intervals: {values.confidence:g} confidence, bootstrap over clips.\n"
    )
    atomic_write_text(output / "comparison.md", text)
    print(f"Wrote {output / 'comparison.md'}")
    grid = keras_larp.evaluation.comparison_grid(*folders, values.num_clips)
    if grid is None:
        print(
            "No grid: it needs --save_videos in both evaluations, and clips of "
            "equal size."
        )
        return
    data.write_video(output / "grid.gif", grid)
    print(f"Wrote {output / 'grid.gif'}")


def _names(*folders):
    """Names of the last folders, or complete paths if they are equal."""
    names = [pathlib.Path(folder).name for folder in folders]
    return folders if names[0] == names[1] else names
