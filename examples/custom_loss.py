"""Trains a tokenizer with a custom loss term.

    python examples/custom_loss.py

The term compares the differences between adjacent frames, so that motion is
reconstructed as well as appearance. To add a term, override `loss_terms` and
pass its weight to `compile`; the term is then trained on, logged under its name
and part of `loss`. The script takes about a minute on two CPU cores.
"""

import keras
from keras import ops

from keras_larp import data, models

EPOCHS = 5
STEPS_PER_EPOCH = 100

keras.utils.set_random_seed(0)


@keras.saving.register_keras_serializable(package="my_project")
class MotionTokenizer(models.LARPTokenizer):
    """A tokenizer whose loss has an L1 term of the frame differences."""

    def loss_terms(self, video, reconstruction, codes, training=False):
        terms = super().loss_terms(video, reconstruction, codes, training)
        motion = video[:, 1:] - video[:, :-1]  # (B, T - 1, H, W, C)
        reconstructed = reconstruction[:, 1:] - reconstruction[:, :-1]
        terms["motion_loss"] = ops.mean(ops.abs(reconstructed - motion))
        return terms


source = data.MovingShapes(2048, num_frames=8, image_size=32)
train = data.video_dataset(
    source, num_frames=8, image_size=32, batch_size=16, seed=0
)
tokenizer = MotionTokenizer(
    num_frames=8,
    image_size=32,
    num_tokens=16,
    codebook_size=256,
    code_dim=8,
    hidden_dim=64,
    num_heads=4,
    encoder_num_layers=2,
    decoder_num_layers=2,
    latent_norm="batch_joint",
    query_init_std=1.0,
    prior="gptc-tiny",
)
tokenizer.compile(
    keras.optimizers.Adam(3e-3),
    # A float, or a schedule such as `training.schedules.LinearRamp`. With a
    # weight of 0, the term is only logged.
    loss_weights={"motion_loss": 0.5},
)
history = tokenizer.fit(
    train, epochs=EPOCHS, steps_per_epoch=STEPS_PER_EPOCH, verbose=2
).history

for name in ("loss", "pixel_loss", "motion_loss", "psnr"):
    print(f"{name}: {history[name][0]:.4f} -> {history[name][-1]:.4f}")
