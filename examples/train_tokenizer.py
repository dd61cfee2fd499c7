"""Trains a LARP tokenizer with its prior.

    python examples/train_tokenizer.py --data=UCF-101 --output=runs/tokenizer

The defaults are the sizes of the paper's LARP-L (172M parameters and the
prior), which want a GPU. A run that was stopped goes on from its last epoch
when it is started again.
"""

import pathlib

import data_flags
import keras
from absl import app, flags

from keras_larp import models

FLAGS = flags.FLAGS

flags.DEFINE_string("output", "runs/tokenizer", "Folder of the run.")
flags.DEFINE_integer("epochs", 150, "Passes over the data.", 1)
flags.DEFINE_integer(
    "steps_per_epoch", None, "Batches of an epoch; all where not given.", 1
)
flags.DEFINE_float("learning_rate", 1e-4, "Peak learning rate.")
flags.DEFINE_integer("warmup_steps", 1000, "Steps up to the peak.", 0)
flags.DEFINE_float(
    "prior_learning_rate_multiplier",
    50.0,
    "Learning rate of the prior over the tokenizer's.",
)
flags.DEFINE_enum(
    "pixel_loss", "absolute", ["absolute", "squared"], "Pixel loss."
)
flags.DEFINE_float("pixel_loss_weight", 1.0, "Weight of the pixel loss.")
flags.DEFINE_float("prior_loss_weight", 0.06, "Weight of the prior's loss.")
flags.DEFINE_list("patch_size", ["4", "8", "8"], "Frames, height and width.")
flags.DEFINE_integer("num_tokens", 1024, "Tokens a clip.", 1)
flags.DEFINE_integer("codebook_size", 8192, "Number of codes.", 2)
flags.DEFINE_integer("code_dim", 16, "Width of a code.", 1)
flags.DEFINE_integer("hidden_dim", 768, "Width of encoder and decoder.", 1)
flags.DEFINE_integer("num_heads", 12, "Attention heads.", 1)
flags.DEFINE_integer("num_layers", 12, "Layers of encoder and of decoder.", 1)
flags.DEFINE_string("latent_norm", "none", "Norm before the quantizer.")
flags.DEFINE_string("prior", "gptc-S", 'Size of the prior, or "none".')
flags.DEFINE_string("dtype", "float32", "Policy, such as mixed_bfloat16.")


def main(_):
    output = pathlib.Path(FLAGS.output)
    keras.utils.set_random_seed(FLAGS.seed)
    tokenizer = models.LARPTokenizer(
        num_frames=FLAGS.num_frames,
        image_size=FLAGS.image_size,
        patch_size=[int(size) for size in FLAGS.patch_size],
        num_tokens=FLAGS.num_tokens,
        codebook_size=FLAGS.codebook_size,
        code_dim=FLAGS.code_dim,
        hidden_dim=FLAGS.hidden_dim,
        num_heads=FLAGS.num_heads,
        encoder_layers=FLAGS.num_layers,
        decoder_layers=FLAGS.num_layers,
        latent_norm=FLAGS.latent_norm,
        prior=None if FLAGS.prior == "none" else FLAGS.prior,
        dtype=FLAGS.dtype,
    )
    train = data_flags.make_dataset(data_flags.make_source("train"), True)
    test = data_flags.make_dataset(data_flags.make_source("test"), False)
    steps = (FLAGS.steps_per_epoch or train.steps_per_epoch) * FLAGS.epochs
    warmup_steps = min(FLAGS.warmup_steps, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(steps - warmup_steps, 1),
        warmup_target=FLAGS.learning_rate,
        warmup_steps=warmup_steps,
    )
    tokenizer.compile(
        keras.optimizers.Adam(schedule, beta_1=0.9, beta_2=0.95),
        FLAGS.prior_learning_rate_multiplier,
        FLAGS.pixel_loss,
        pixel_loss_weight=FLAGS.pixel_loss_weight,
        prior_loss_weight=FLAGS.prior_loss_weight,
        total_steps=steps,
    )
    output.mkdir(parents=True, exist_ok=True)
    tokenizer.fit(
        train,
        epochs=FLAGS.epochs,
        steps_per_epoch=FLAGS.steps_per_epoch,
        validation_data=test,
        callbacks=[
            keras.callbacks.BackupAndRestore(output / "backup"),
            keras.callbacks.CSVLogger(output / "log.csv", append=True),
        ],
    )
    tokenizer.save_to_preset(output / "preset")
    print(f"Saved to {output / 'preset'}")


if __name__ == "__main__":
    app.run(main)
