"""Trains a LARP tokenizer and a generator, and generates videos.

    python examples/minimal.py

It takes two to three minutes on two CPU cores, and writes `reconstructed.gif`
(originals on the left) and `generated.gif` (two clips per class) to the working
folder. More training steps make both sharper.
"""

import keras
import numpy as np
from keras import ops

from keras_larp import data, models

NUM_CLIPS = 2048
TOKENIZER_EPOCHS = 8
STEPS_PER_EPOCH = 100
GENERATOR_EPOCHS = 12

keras.utils.set_random_seed(0)


def learning_rate(peak, steps):
    """A cosine schedule with 5% warmup."""
    warmup = steps // 20
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=peak, warmup_steps=warmup
    )


# Data: short clips of moving shapes, with classes such as "disc moves left".
# `data.VideoFolder("my_videos")` has the same interface.
source = data.MovingShapes(NUM_CLIPS, num_frames=8, image_size=32)
clip = {"num_frames": 8, "image_size": 32}
train = data.video_dataset(source, **clip, batch_size=16, seed=0)

# Tokenizer: a clip (8, 32, 32, 3) becomes 16 tokens out of 256. The prior
# learns to predict each token from the previous ones, which makes the tokens
# easier to generate later.
tokenizer = models.LARPTokenizer(
    **clip,
    patch_size=(4, 8, 8),
    num_tokens=16,
    codebook_size=256,
    code_dim=8,
    hidden_dim=64,
    num_heads=4,
    encoder_num_layers=2,
    decoder_num_layers=2,
    latent_norm="batch_joint",  # keeps the codebook in use on small data
    query_init_std=1.0,
    prior="gptc-tiny",
)
tokenizer.compile(
    keras.optimizers.Adam(
        learning_rate(3e-3, TOKENIZER_EPOCHS * STEPS_PER_EPOCH)
    ),
    pixel_loss="l2",
    pixel_loss_weight=10.0,
)
tokenizer.fit(
    train, epochs=TOKENIZER_EPOCHS, steps_per_epoch=STEPS_PER_EPOCH, verbose=2
)

video, _ = next(iter(train))  # float32 (16, 8, 32, 32, 3) in [0, 1]
reconstruction = tokenizer.decode(tokenizer.encode(video))
pairs = np.stack([video, ops.convert_to_numpy(reconstruction)], axis=1)
pairs = pairs[:12].reshape(-1, *pairs.shape[2:])
data.write_video("reconstructed.gif", data.video_grid(pairs, num_columns=4))

# Tokens: encode every clip once.
one_pass = data.video_dataset(
    source, **clip, batch_size=16, shuffle=False, repeat=False
)
batches = [
    (ops.convert_to_numpy(tokenizer.encode(video)), class_ids)
    for video, class_ids in one_pass
]
token_ids, class_ids = map(np.concatenate, zip(*batches, strict=True))

# Generator: a transformer that predicts a clip's tokens from its class.
generator = models.ARVideoGenerator.from_size(
    "llama-abs-tiny",
    vocab_size=tokenizer.codebook_size,
    num_tokens=tokenizer.num_tokens,
    num_classes=len(source.class_names),
    class_names=source.class_names,
)
steps = GENERATOR_EPOCHS * -(-len(token_ids) // 64)
generator.compile(
    keras.optimizers.AdamW(learning_rate(2e-3, steps), weight_decay=0.05)
)
generator.fit(
    {"token_ids": token_ids, "class_ids": class_ids},
    batch_size=64,
    epochs=GENERATOR_EPOCHS,
    verbose=2,
)

# Video: sample the tokens of two clips per class, and decode them.
class_names = np.repeat(source.class_names, 2).tolist()
videos = generator.generate(
    class_names, guidance_scale=1.5, seed=0, tokenizer=tokenizer
)  # float32 (24, 8, 32, 32, 3) in [0, 1]
videos = ops.convert_to_numpy(videos)
data.write_video("generated.gif", data.video_grid(videos, num_columns=6))
print("Wrote reconstructed.gif and generated.gif")
