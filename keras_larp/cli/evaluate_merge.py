"""Merges the shards of an evaluation and reports the results.

    keras-larp evaluate merge runs/gfvd --report=runs/report

The results do not depend on the number of shards.
"""

from absl import flags

from keras_larp.cli import evaluate_flags

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "folder",
    None,
    "Folder of the evaluation. Can also be passed without --folder.",
    flag_values=FLAGS,
)
evaluate_flags.define_report(FLAGS)
# Flags that can be passed as positional arguments, in this order.
POSITIONAL = ("folder",)


def main(values: flags.FlagValues) -> None:
    """Merges the shards and reports.

    Args:
        values: The parsed `FLAGS`.
    """
    if not values.folder:
        raise ValueError(
            "Pass the folder of the evaluation: keras-larp evaluate merge "
            "FOLDER. Received: no folder"
        )
    evaluate_flags.report(values.folder, values.report)
