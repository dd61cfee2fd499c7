"""Measures the effect of each training option on a small dataset.

    python benchmarks/small_data.py                      # moving shapes
    python benchmarks/small_data.py --variant=plain --variant=batch_joint

Each variant is the recipe `small_data_tokenizer` with the settings of
`VARIANTS`, trained with the same budget and three seeds. Writes a table and a
plot to --output: `comparison.md`, `.json` and `.png`. Completed runs are not
repeated.
"""

import pathlib
import sys

from absl import app, flags

sys.path.append(str(pathlib.Path(__file__).parents[1] / "examples"))
import comparison  # noqa: E402

ADAM = {"optimizer": "adam", "learning_rate": 3e-3}
MUON = {"optimizer": "muon", "learning_rate": 2e-2}
PLAIN = {"latent_norm": "none", **ADAM}
BATCH_JOINT = {"latent_norm": "batch_joint", **ADAM}
KMEANS = {"kmeans_init_clips": 256}
RESET = {"codebook_reset_unused_after": 50}
NO_PRIOR = {"prior_loss_weight": 0.0}
LATE_PRIOR = {"prior_loss_start_epoch": 2.0, "prior_loss_ramp_epochs": 2.0}
VARIANTS = {
    "plain": PLAIN,
    # One option.
    "layer_joint": {"latent_norm": "layer_joint"},
    "batch": {"latent_norm": "batch"},
    "batch_joint": BATCH_JOINT,
    "kmeans": {**PLAIN, **KMEANS},
    "ema": {**PLAIN, "codebook_ema_decay": 0.99},
    "restart": {**PLAIN, **RESET},
    "annealing": {
        **PLAIN,
        "temperature_start": 0.3,
        "temperature_epochs": 4.0,
    },
    "late_prior": {**PLAIN, **LATE_PRIOR},
    "muon": {**PLAIN, **MUON},
    # batch_joint, and one more option.
    "batch_joint+kmeans": {**BATCH_JOINT, **KMEANS},
    "batch_joint+restart": {**BATCH_JOINT, **RESET},
    "batch_joint+late_prior": {**BATCH_JOINT, **LATE_PRIOR},
    "batch_joint+no_prior": {**BATCH_JOINT, **NO_PRIOR},
    "batch_joint+muon": {**BATCH_JOINT, **MUON},
    "batch_joint+muon+no_prior": {**BATCH_JOINT, **MUON, **NO_PRIOR},
}

FLAGS = flags.FLAGS
comparison.define(FLAGS, "runs/small_data", list(VARIANTS))
FLAGS.set_default("tokenizer_steps", 800)
FLAGS.set_default("generator_steps", 400)
FLAGS.set_default("num_evaluated", 240)


def main(_):
    print(comparison.compare(FLAGS, VARIANTS))


if __name__ == "__main__":
    app.run(main)
