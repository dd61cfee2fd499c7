"""Draws the images of the documentation from the bundled presets.

    python docs/make_images.py

Deterministic up to rounding; takes about a minute on two CPU cores.
"""

import pathlib

import numpy as np
from keras import ops

from keras_larp import data, evaluation, models

IMAGES = pathlib.Path(__file__).with_name("images")


def main():
    draw_generated(
        "larp_tiny_moving_shapes",
        ["disc moves left", "square moves right", "triangle moves down"],
        guidance_scale=1.25,
        num_samples=2,
        path=IMAGES / "generated_shapes.png",
    )
    draw_generated(
        "larp_small_atari",
        ["frostbite", "qbert", "seaquest"],
        guidance_scale=2.5,
        num_samples=1,
        path=IMAGES / "generated_atari.png",
    )
    draw_continued(IMAGES / "continued_shapes.png")
    draw_codebook_usage(IMAGES / "codebook_usage.png")


def draw_generated(family, classes, guidance_scale, num_samples, path):
    """Film strips of generated clips, one row per class."""
    tokenizer = models.LARPTokenizer.from_preset(f"{family}_tokenizer")
    generator = models.ARVideoGenerator.from_preset(f"{family}_generator")
    clips = generator.generate(
        class_ids=np.repeat(classes, num_samples).tolist(),
        guidance_scale=guidance_scale,
        seed=0,
        tokenizer=tokenizer,
    )
    strips = data.film_strips(
        enlarge(clips, size=96),
        num_frames=4,
        num_columns=num_samples,
        row_names=classes,
    )
    data.write_image(path, strips)


def draw_continued(path):
    """Film strips of clips whose first four frames were given."""
    family = "larp_tiny_moving_shapes"
    tokenizer = models.LARPTokenizer.from_preset(f"{family}_tokenizer")
    predictor = models.ARVideoGenerator.from_preset(
        f"{family}_frame_prediction"
    )
    source = data.MovingShapes(12, num_frames=16, image_size=32, seed=7)
    dataset = data.video_dataset(
        source, batch_size=12, shuffle=False, repeat=False
    )
    video, _ = next(iter(dataset))
    video = video[[0, 5, 11]]
    continued = predictor.predict_frames(video[:, :4], tokenizer, seed=0)
    pairs = np.stack([video, ops.convert_to_numpy(continued)], axis=1)
    strips = data.film_strips(
        enlarge(pairs.reshape(-1, *video.shape[1:]), 72),
        num_frames=6,
        num_columns=2,
        row_names=["original | continued"] * 3,
    )
    data.write_image(path, strips)


def draw_codebook_usage(path):
    """Which codes each token position uses, over 480 unseen clips."""
    tokenizer = models.LARPTokenizer.from_preset(
        "larp_tiny_moving_shapes_tokenizer"
    )
    source = data.MovingShapes(480, num_frames=16, image_size=32, seed=7)
    dataset = data.video_dataset(
        source, batch_size=48, shuffle=False, repeat=False, with_labels=False
    )
    token_ids = [
        ops.convert_to_numpy(tokenizer.encode(video)) for video in dataset
    ]
    evaluation.write_codebook_usage(
        path, np.concatenate(token_ids), tokenizer.codebook_size
    )


def enlarge(clips, size):
    """Nearest-neighbor enlargement, so that pixels stay visible."""
    clips = ops.convert_to_numpy(clips)
    factor = round(size / clips.shape[2])
    return clips.repeat(factor, axis=2).repeat(factor, axis=3)


if __name__ == "__main__":
    main()
