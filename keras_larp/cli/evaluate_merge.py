"""Puts the shards of an evaluation together, and reports the results.

keras-larp evaluate merge runs/gfvd --report=runs/report
"""

from absl import flags

from keras_larp.cli import evaluate_flags

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "folder",
    None,
    "Folder of the evaluation; also without the flag's name.",
    flag_values=FLAGS,
)
evaluate_flags.define_report(FLAGS)
# The flag that an argument without a name stands for.
POSITIONAL = "folder"


def main(values):
    """Merges, and reports.

    Args:
        values: The parsed `FLAGS`.
    """
    if not values.folder:
        raise ValueError(
            "Pass the folder of the evaluation: keras-larp evaluate merge "
            "FOLDER. Received: no folder"
        )
    evaluate_flags.report(values.folder, values.report)
