"""Sizes of models, compared with their weight files before they are built."""

import contextlib
import inspect
import math
import os
from collections.abc import Iterator
from typing import Any

import keras

from keras_larp.models import (
    ARPrior,
    ARVideoGenerator,
    LARPTokenizer,
    VideoDiscriminator,
)
from keras_larp.utils.arguments import (
    check_arguments,
    check_tokenizer_arguments,
)

# Values of all fixed position tables of a model, which no file stores: 512 MiB
# in float32. Attention over as many positions is out of reach.
_MAX_TABLE_VALUES = 2**27
# Smaller mismatches are found after building, where the message names each
# weight.
_MAX_RATIO = 4


def check_sizes(
    model_class: type[keras.Model],
    config: dict[str, Any],
    num_stored: int,
    source: str,
) -> None:
    """Checks that a model is not far larger than the weights in its file.

    Building a model allocates its weights, and a damaged configuration may
    describe one that fills the memory.

    Args:
        model_class: Class of `keras_larp.models`.
        config: Dictionary. The arguments of its constructor.
        num_stored: Integer. Number of values in the weight file.
        source: String. The file of the configuration, for error messages.

    Raises:
        ValueError: If the model has far more weights than are stored, or too
            large position tables.
    """
    count = _COUNTS.get(model_class)
    if count is None:  # Models of constant size.
        return
    config = {**_defaults(model_class), **config}
    if model_class is LARPTokenizer:
        check_tokenizer_arguments(**config)
    else:
        check_arguments(**config)
    num_weights, num_table_values = count(config)
    if num_weights > _MAX_RATIO * num_stored:
        raise ValueError(
            f"{source} describes the model {model_class.__name__} with at "
            f"least {num_weights:,} weights, and its weight file holds "
            f"{num_stored:,}. One of the two files is damaged or belongs to "
            "another model; download or copy the preset again."
        )
    if num_table_values > _MAX_TABLE_VALUES:
        raise ValueError(
            f"{source} describes the model {model_class.__name__} whose "
            "position tables have "
            f"{num_table_values:,} values, more than "
            f"{_MAX_TABLE_VALUES:,}. The file is damaged; download or copy the "
            "preset again."
        )


@contextlib.contextmanager
def explain_config(file: str | os.PathLike) -> Iterator[None]:
    """Context in which errors of a configuration name its file.

    A damaged configuration raises many types of errors.

    Raises:
        ValueError: Instead of any other error.
    """
    try:
        yield
    except Exception as error:
        if os.fspath(file) in str(error):
            raise
        reason = str(error).strip() or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"{error} is missing"
        raise ValueError(
            f"{file} does not describe a model of this library: {reason}"
        ) from error


def _defaults(model_class):
    parameters = inspect.signature(model_class.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


# Each function below returns a lower bound of the number of weights, and the
# number of values in fixed position tables. The bounds count large matrices.


def _tokenizer(config):
    dim = config["hidden_dim"]
    decoder_dim = config["decoder_hidden_dim"] or dim
    patch = config["patch_size"]
    decoder_patch = config["decoder_patch_size"] or patch
    num_tokens, code_dim = config["num_tokens"], config["code_dim"]
    num_weights = (
        config["encoder_num_layers"] * _block(dim)
        + config["decoder_num_layers"] * _block(decoder_dim)
        + config["codebook_size"] * code_dim
        + code_dim * (dim + decoder_dim)
        + config["num_channels"] * math.prod(patch) * dim
        + config["num_channels"] * math.prod(decoder_patch) * decoder_dim
        + _tokenizer_prior(config)
    )
    num_table_values = 0
    for learned, size in (
        (config["learned_queries"], num_tokens * dim),
        (config["learned_latent_positions"], num_tokens * decoder_dim),
    ):
        if learned:
            num_weights += size
        else:
            num_table_values += size
    for size, width in ((patch, dim), (decoder_patch, decoder_dim)):
        num_table_values += _num_patches(config, size) * width
    return num_weights, num_table_values


def _tokenizer_prior(config):
    prior = config["prior"]
    if prior is None:
        return 0
    if isinstance(prior, str):
        prior = ARPrior.size_arguments(prior)
    max_length = max(_defaults(ARPrior)["max_length"], config["num_tokens"])
    prior = {**_defaults(ARPrior), "max_length": max_length, **prior}
    check_arguments(**prior)
    return _prior(prior)[0]


def _prior(config):
    dim = config["hidden_dim"]
    return config["num_layers"] * _block(dim) + config["max_length"] * dim, 0


def _generator(config):
    dim, num_tokens = config["hidden_dim"], config["num_tokens"]
    # Queries, outputs and the MLP; keys and values depend on `num_kv_heads`.
    block = 2 * dim**2 + 3 * dim * (config["mlp_dim"] or dim)
    num_weights = config["num_layers"] * block + 2 * config["vocab_size"] * dim
    if config["conditioning"] == "class":
        num_weights += config["num_classes"] * dim
    if config["learned_positions"]:
        return num_weights + num_tokens * dim, 0
    return num_weights, num_tokens * dim


def _discriminator(config):
    dim, patch = config["hidden_dim"], config["patch_size"]
    num_weights = (
        config["num_layers"] * _block(dim)
        + config["num_channels"] * math.prod(patch) * dim
    )
    return num_weights, _num_patches(config, patch) * dim


def _block(dim):
    """Weights of the matrices of a transformer block."""
    return 12 * dim**2


def _num_patches(config, patch_size):
    frames, rows, columns = patch_size
    image_size = config["image_size"]
    return (
        (config["num_frames"] // frames)
        * (image_size // rows)
        * (image_size // columns)
    )


_COUNTS = {
    ARPrior: _prior,
    ARVideoGenerator: _generator,
    LARPTokenizer: _tokenizer,
    VideoDiscriminator: _discriminator,
}
