"""Measures whether training with the prior makes tokens easier to generate.

    python examples/prior_ablation.py                        # moving shapes
    python examples/prior_ablation.py --data_format=atari
    python examples/prior_ablation.py --data=UCF-101 \\
        --i3d=i3d_pretrained_400.pt \\
        --tokenizer_recipe=larp_l_long_tokenizer \\
        --generator_recipe=larp_l_long_generator

For each seed, it trains two tokenizers that differ only in the weight of the
prior's loss, and a generator on the tokens of each, with the same budget. It
writes means and standard deviations to `comparison.md`, `.json` and `.png` in
--output. Completed runs are not repeated.

With --i3d (I3D trained on Kinetics) it computes FVD. Otherwise, the Fréchet
distance uses features of a small classifier of the data's classes or, for data
without a test split, of a fixed random network.
"""

import comparison
from absl import app, flags

VARIANTS = {
    "no_prior": {"prior_loss_weight": 0.0},
    "prior": {},  # The default weight of the recipe.
}

FLAGS = flags.FLAGS
comparison.define(FLAGS, "runs/prior_ablation", list(VARIANTS))


def main(_):
    print(comparison.compare(FLAGS, VARIANTS))


if __name__ == "__main__":
    app.run(main)
