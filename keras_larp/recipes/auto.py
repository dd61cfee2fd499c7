"""Recipes that are chosen by the data and the machine."""

import dataclasses
import math
import statistics
import time
from typing import Any

import numpy as np
from keras import ops

from keras_larp.data import VideoDecodeError, VideoSource
from keras_larp.data.sources.video_source import check_source
from keras_larp.models import LARPTokenizer
from keras_larp.utils.checks import check_instance, check_integer

# Number of videos whose size and length are read.
_NUM_INSPECTED = 12
# With an accelerator and this many videos, the paper's recipe is chosen.
_MANY_VIDEOS = 2000
# Minimum steps of a small run: after a few hundred, shapes are still blurred.
_MIN_TOKENIZER_STEPS, _MIN_GENERATOR_STEPS = 4000, 2000
_SMALL_RUN_EPOCHS = 16
# Fraction of the speed of a large matrix product that training reaches.
_TRAINING_EFFICIENCY = 0.4


@dataclasses.dataclass(frozen=True)
class RecipeChoice:
    """A recipe that suits the data and the machine.

    Attributes:
        name: String. Name of the recipe, a key of `keras_larp.recipes.RECIPES`.
        settings: Dictionary of settings that replace the recipe's.
        min_steps_per_epoch: Integer. Epochs should have at least this many
            steps, even if one pass over the data has fewer.
        reasons: List of strings. Sentences that explain the choice.
    """

    name: str
    settings: dict[str, Any]
    min_steps_per_epoch: int
    reasons: list[str]


def choose_tokenizer_recipe(source: VideoSource) -> RecipeChoice:
    """Chooses a tokenizer recipe for videos.

    The choice depends on the number, size and length of the videos and on
    whether an accelerator is available.

    Args:
        source: A video source. The training videos.

    Returns:
        A `RecipeChoice`.

    Raises:
        VideoDecodeError: If none of the inspected videos can be read.

    Example:

    ```python
    source = keras_larp.data.MovingShapes(100, num_frames=8, image_size=32)
    choice = keras_larp.recipes.choose_tokenizer_recipe(source)
    recipe = keras_larp.recipes.RECIPES[choice.name](**choice.settings)
    ```
    """
    check_source(source)
    side, frames = _inspect_videos(source)
    reasons = [
        f"{len(source)} videos, shorter side about {side} pixels, about "
        f"{frames} frames each."
    ]
    accelerator = _accelerator()
    if accelerator and len(source) >= _MANY_VIDEOS:
        reasons.append(
            f"At least {_MANY_VIDEOS} videos and an accelerator "
            f"({accelerator}): the paper's recipe."
        )
        return RecipeChoice("larp_l_long_tokenizer", {}, 0, reasons)
    if accelerator:
        reasons.append(
            f"Fewer than {_MANY_VIDEOS} videos: the small recipe, with sizes "
            f"for an accelerator ({accelerator})."
        )
        size, length, tokens, width, layers = 64, 16, 128, 256, 6
    else:
        reasons.append("No accelerator: the small recipe, with sizes for CPU.")
        size, length, tokens, width, layers = 32, 8, 32, 96, 3
    size = max(min(size, side // 8 * 8), 16)
    length = max(min(length, frames // 4 * 4), 4)
    settings = {
        "epochs": _SMALL_RUN_EPOCHS,
        "warmup_epochs": 1.0,
        "image_size": size,
        "num_frames": length,
        "num_tokens": tokens,
        "hidden_dim": width,
        "encoder_num_layers": layers,
        "decoder_num_layers": layers,
    }
    patches = length // 4 * (size // 8) ** 2
    reasons.append(
        f"Clips of {length} frames of {size}x{size} pixels: {patches} patches "
        f"of 4x8x8, {tokens} tokens."
    )
    return RecipeChoice(
        "small_data_tokenizer",
        settings,
        _MIN_TOKENIZER_STEPS // _SMALL_RUN_EPOCHS,
        reasons,
    )


def choose_generator_recipe(num_clips: int) -> RecipeChoice:
    """Chooses a recipe for a class-conditional generator.

    Args:
        num_clips: Integer. Number of training clips.

    Returns:
        A `RecipeChoice`.
    """
    check_integer("num_clips", num_clips, 1)
    accelerator = _accelerator()
    if accelerator and num_clips >= _MANY_VIDEOS:
        reasons = [
            f"{num_clips} clips and an accelerator ({accelerator}): the "
            "paper's recipe."
        ]
        return RecipeChoice("larp_l_long_generator", {}, 0, reasons)
    machine = f"accelerator ({accelerator})" if accelerator else "CPU"
    settings = {
        "epochs": _SMALL_RUN_EPOCHS,
        "warmup_epochs": 1.0,
        "batch_size": max(min(64, num_clips), 2),
    }
    return RecipeChoice(
        "small_data_generator",
        settings,
        _MIN_GENERATOR_STEPS // _SMALL_RUN_EPOCHS,
        [f"{num_clips} clips, {machine}: the small recipe."],
    )


def _inspect_videos(source):
    """Returns the median shorter side and number of frames of some videos."""
    sizes, error = [], None
    for i in range(0, len(source), -(-len(source) // _NUM_INSPECTED)):
        try:
            sizes.append(_video_size(source, i))
        except VideoDecodeError as caught:
            error = caught  # Training skips this video, or reports it.
    if not sizes:
        raise error
    sides, lengths = zip(*sizes, strict=True)
    return statistics.median_low(sides), statistics.median_low(lengths)


def _video_size(source, index):
    """Returns the shorter side and the number of frames of a video."""
    _, height, width, _ = source.read(index, np.array([0])).shape
    return min(height, width), int(source.num_frames(index))


def _accelerator():
    """Returns the kind of accelerator that Keras uses, or `None`."""
    device = str(ops.zeros(()).device).lower()
    return next((k for k in ("gpu", "cuda", "tpu") if k in device), None)


def estimate_training_cost(
    tokenizer: LARPTokenizer, batch_size: int
) -> tuple[float, float]:
    """Estimates the duration and the memory of a training step.

    The duration is the number of multiplications over 40% of the speed of a
    matrix product that is timed on this machine; the memory is the weights and
    the activations kept for the backward pass. On two shared CPU cores, the
    estimate was between 2/3 and 3 times the measured duration (hidden
    dimensions 96 and 384, JAX and PyTorch). Discriminator and perceptual loss
    are not included.

    Args:
        tokenizer: A `LARPTokenizer`.
        batch_size: Integer. Clips per batch.

    Returns:
        Tuple of floats: seconds per step, and bytes of memory.

    Example:

    ```python
    tokenizer = keras_larp.recipes.small_data_tokenizer(10).build()
    seconds, memory = keras_larp.recipes.estimate_training_cost(tokenizer, 16)
    ```
    """
    check_instance("tokenizer", tokenizer, LARPTokenizer)
    check_integer("batch_size", batch_size, 1)
    encoder, decoder = tokenizer.encoder, tokenizer.decoder
    patches = math.prod(tokenizer.patch_embedding.grid)
    parts = [
        (encoder, patches + tokenizer.num_tokens),
        (decoder, decoder.num_patches + tokenizer.num_tokens),
    ]
    if tokenizer.prior is not None:
        length = tokenizer.prior_num_rounds * tokenizer.num_tokens
        parts.append((tokenizer.prior, length))
    products = sum(part.count_params() * length for part, length in parts)
    activations = sum(_count_activations(*part) for part in parts)
    # Two operations per product; the backward pass takes twice as many as the
    # forward pass.
    operations = 6 * products * batch_size
    # float32 weights, gradients and Adam's two moments.
    weights = 4 * 4 * tokenizer.count_params()
    return (
        operations / _operations_per_second(),
        weights + 4.0 * activations * batch_size,
    )


def _count_activations(part, length):
    """Estimates the activations that a model keeps per clip."""
    width, layers = part.hidden_dim, part.num_layers
    return layers * length * (20 * width + 2 * part.num_heads * length)


def _operations_per_second():
    """Times a matrix product and returns the speed that training reaches."""
    x = ops.ones((1024, 1024))
    times = []
    for _ in range(4):
        start = time.perf_counter()
        ops.convert_to_numpy(ops.matmul(x, x)[0, 0])
        times.append(time.perf_counter() - start)
    return _TRAINING_EFFICIENCY * 2 * 1024**3 / min(times)
