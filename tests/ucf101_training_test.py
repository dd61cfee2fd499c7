"""Real video, from training to tokens, reconstruction and generation."""

import keras
import numpy as np
from keras import ops
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import data


def test_both_models_train_on_ucf101_and_write_video(shared_dir, tmp_path):
    source = data.UCF101(shared_dir / "data/UCF-101", split="all")
    dataset = data.video_dataset(
        source, 4, 16, batch_size=2, horizontal_flip=True
    )
    tokenizer = tiny_tokenizer(seed=0)
    tokenizer.compile(keras.optimizers.Adam(1e-2))
    losses = tokenizer.fit(
        dataset, epochs=3, steps_per_epoch=4, verbose=0
    ).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]

    generator = tiny_generator(num_classes=len(source.class_names))
    generator.compile(keras.optimizers.AdamW(1e-2))
    losses = generator.fit(
        dataset, tokenizer=tokenizer, epochs=3, steps_per_epoch=4, verbose=0
    ).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]

    video, labels = next(iter(dataset))
    token_ids = tokenizer.encode(video)
    assert tuple(token_ids.shape) == (2, 6)
    reconstruction = ops.convert_to_numpy(tokenizer.decode(token_ids))
    assert reconstruction.shape == video.shape
    clips = ops.convert_to_numpy(
        generator.generate(labels, seed=0, tokenizer=tokenizer)
    )
    data.write_video(tmp_path / "clip.mp4", clips[0])
    assert data.read_clip(tmp_path / "clip.mp4", 0, 4).shape == (4, 16, 16, 3)
