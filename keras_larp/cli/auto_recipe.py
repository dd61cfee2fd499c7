"""What `train-tokenizer` chooses by itself, and what it says beforehand."""

import math
import statistics
import time

import numpy as np
from keras import ops

from keras_larp.data import VideoDecodeError

# Videos that are looked at, spread over the list.
_LOOKED_AT = 12
# From so many videos on, and with an accelerator, the paper's recipe.
_MANY_VIDEOS = 2000
# Steps that a small run has at least: a few hundred leave shapes blurred.
_LEAST_STEPS, _LEAST_GENERATOR_STEPS = 4000, 2000
_EPOCHS = 16  # Of a small run: as many grids and checkpoints.


def choose_recipe(source):
    """A recipe for videos, by how many, how large and how long they are, and
    by what this machine computes with.

    Args:
        source: The training videos.

    Returns:
        The recipe's name, a dictionary of settings to take in place of its
        own, the least steps of an epoch, and a list of sentences that say
        why.
    """
    count, side, frames = _look_at(source)
    reasons = [
        f"{count} videos, the shorter side about {side} pixels, about {frames} "
        "frames each."
    ]
    accelerator = _accelerator()
    if accelerator and count >= _MANY_VIDEOS:
        reasons.append(
            f"Many videos and an accelerator ({accelerator}): the paper's "
            "recipe."
        )
        return "larp_l_long_tokenizer", {}, 0, reasons
    settings = {"epochs": _EPOCHS, "warmup_epochs": 1.0}
    if accelerator:
        reasons.append(
            f"Fewer than {_MANY_VIDEOS} videos: the small recipe, at a size "
            f"for an accelerator ({accelerator})."
        )
        size, length, tokens, width, layers = 64, 16, 128, 256, 6
    else:
        reasons.append(
            "No accelerator: the small recipe, at a size for some cores."
        )
        size, length, tokens, width, layers = 32, 8, 32, 96, 3
    size = max(min(size, side // 8 * 8), 16)
    length = max(min(length, frames // 4 * 4), 4)
    settings |= {
        "image_size": size,
        "num_frames": length,
        "num_tokens": tokens,
        "hidden_dim": width,
        "encoder_num_layers": layers,
        "decoder_num_layers": layers,
    }
    patches = length // 4 * (size // 8) ** 2
    reasons.append(
        f"Clips of {length} frames of {size} x {size}, {patches} patches of "
        f"4 x 8 x 8, in {tokens} tokens."
    )
    return "small_data_tokenizer", settings, _LEAST_STEPS // _EPOCHS, reasons


def choose_generator_recipe(num_clips):
    """A recipe for so many clips' tokens; returns what `choose_recipe` does."""
    accelerator = _accelerator()
    if accelerator and num_clips >= _MANY_VIDEOS:
        reasons = [
            f"{num_clips} clips and an accelerator ({accelerator}): the "
            "paper's recipe."
        ]
        return "larp_l_long_generator", {}, 0, reasons
    reasons = [
        f"{num_clips} clips, "
        + (f"on a {accelerator}" if accelerator else "without accelerator")
        + ": the small recipe."
    ]
    settings = {"epochs": _EPOCHS, "warmup_epochs": 1.0}
    settings["batch_size"] = max(min(64, num_clips), 2)
    least = _LEAST_GENERATOR_STEPS // _EPOCHS
    return "small_data_generator", settings, least, reasons


def _look_at(source):
    """How many videos there are, and the middle side and length of some."""
    count = len(source)
    sizes, error = [], None
    for i in range(0, count, -(-count // _LOOKED_AT)):
        try:
            sizes.append(_size(source, i))
        except VideoDecodeError as found:
            error = found  # Training leaves it out, or ends with it.
    if not sizes:
        raise error
    sides, lengths = zip(*sizes, strict=True)
    return count, statistics.median_low(sides), statistics.median_low(lengths)


def _size(source, index):
    """Length of the shorter side and number of frames of a video."""
    _, height, width, _ = source.read(index, np.array([0])).shape
    return min(height, width), source.num_frames(index)


def _accelerator():
    """The kind of accelerator that Keras computes on, or `None`."""
    device = str(ops.zeros(()).device).lower()
    return next((k for k in ("gpu", "cuda", "tpu") if k in device), None)


def estimate(tokenizer, batch_size):
    """About how long a step takes, and how much memory training needs.

    A rough count of multiplications, at two fifths of the speed of a product
    that is timed here, and of the values that the way back needs. On two cores
    of a shared machine it gave from two thirds to three times of what steps of
    width 96 and 384 took, on JAX and PyTorch.

    Args:
        tokenizer: A `LARPTokenizer`.
        batch_size: Integer.

    Returns:
        Seconds a step, and bytes.
    """
    encoder, decoder = tokenizer.encoder, tokenizer.decoder
    patches = math.prod(tokenizer.patch_embedding.grid) + tokenizer.num_tokens
    shown = decoder.num_patches + tokenizer.num_tokens
    products = encoder.count_params() * patches
    products += decoder.count_params() * shown
    values = _kept(encoder, patches) + _kept(decoder, shown)
    if tokenizer.prior is not None:
        length = tokenizer.prior_num_rounds * tokenizer.num_tokens
        products += tokenizer.prior.count_params() * length
        values += _kept(tokenizer.prior, length)
    # Forward and twice that backward, two operations a product.
    operations = 6 * products * batch_size
    weights = 4 * 4 * tokenizer.count_params()  # With gradients and Adam.
    return operations / _speed(), weights + 4 * values * batch_size


def _kept(part, length):
    """About how many values a part keeps of a clip for the way back."""
    width, layers = part.hidden_dim, part.num_layers
    return layers * length * (20 * width + 2 * part.num_heads * length)


def _speed():
    """Operations a second in training: those of one product, and the share of
    it that training reaches."""
    x = ops.ones((1024, 1024))
    times = []
    for _ in range(4):
        start = time.perf_counter()
        ops.convert_to_numpy(ops.matmul(x, x)[0, 0])
        times.append(time.perf_counter() - start)
    return 0.4 * 2 * 1024**3 / min(times)
