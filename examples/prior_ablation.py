"""Does a prior that is trained along make tokens easier to generate?

    python examples/prior_ablation.py                        # moving shapes
    python examples/prior_ablation.py --data_format=atari
    python examples/prior_ablation.py --data=UCF-101 \\
        --i3d=i3d_pretrained_400.pt \\
        --tokenizer_recipe=larp_l_long_tokenizer \\
        --generator_recipe=larp_l_long_generator

Trains, for each seed, two tokenizers that are equal but for the weight of the
prior loss, and a generator on the tokens of each, with the same budget. Writes
to --output what came out, with its spread: `comparison.md`, `.json` and
`.png`. Runs that are done are not done again.

With Kinetics weights of I3D (--i3d) distances are FVDs; without, features are
those of a small classifier of the data's classes, or, of data without a test
split, of a fixed random network.
"""

from absl import app, flags

from keras_larp.cli import comparison

VARIANTS = {
    "no_prior": {"prior_loss_weight": 0.0},
    "prior": {},  # With the weight that the recipe has.
}

FLAGS = flags.FLAGS
comparison.define(FLAGS, "runs/prior_ablation", list(VARIANTS))


def main(_):
    print(comparison.compare(FLAGS, VARIANTS))


if __name__ == "__main__":
    app.run(main)
