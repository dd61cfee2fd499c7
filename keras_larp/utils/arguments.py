"""Valid values of the arguments that constructors of layers and models share.

Equal names mean the same everywhere in this library, so that each has one
rule.
"""

from typing import Any

from keras_larp.utils.checks import (
    check_boolean,
    check_choice,
    check_instance,
    check_integer,
    check_integers,
    check_number,
)

# Integers, and their smallest valid values.
_INTEGERS = {
    "codebook_size": 2,
    **dict.fromkeys(
        [
            "chunk_size",
            "code_dim",
            "decoder_hidden_dim",
            "decoder_num_heads",
            "decoder_num_layers",
            "encoder_num_layers",
            "hidden_dim",
            "image_size",
            "length",
            "max_length",
            "mlp_dim",
            "num_channels",
            "num_classes",
            "num_condition_frames",
            "num_frames",
            "num_heads",
            "num_kv_heads",
            "num_layers",
            "num_tokens",
            "prior_num_rounds",
            "reset_unused_after",
            "vocab_size",
        ],
        1,
    ),
    "seed": 0,
}
# Numbers, and their intervals.
_NUMBERS = {
    "attention_dropout": "[0, 1)",
    "class_dropout": "[0, 1]",
    "codebook_weight": "[0, inf)",
    "commitment_weight": "[0, inf)",
    "drop_path": "[0, 1)",
    "dropout": "[0, 1)",
    "ema_decay": "(0, 1)",
    "entropy_temperature": "(0, inf)",
    "entropy_weight": "[0, inf)",
    "epsilon": "(0, inf)",
    "init_std": "[0, inf)",
    "latent_max_wavelength": "(0, inf)",
    "max_wavelength": "(0, inf)",
    "prior_max_sampling_ratio": "[0, 1]",
    "prior_sampling_peak_fraction": "(0, 1]",
    "prior_temperature": "(0, inf)",
    "query_init_std": "[0, inf)",
    "query_max_wavelength": "(0, inf)",
    "temperature": "(0, inf)",
    "token_dropout": "[0, 1)",
}
_BOOLEANS = {
    "causal",
    "gradient_checkpointing",
    "learned",
    "learned_latent_positions",
    "learned_patch_positions",
    "learned_patch_queries",
    "learned_positions",
    "learned_queries",
    "normalize",
    "prior_average_rounds",
    "prior_gradient_all_rounds",
    "prior_scheduled_sampling",
    "spectral_normalization",
    "stochastic",
    "use_latent_type_embedding",
    "use_patch_query_type_embedding",
    "use_patch_type_embedding",
    "use_qkv_bias",
    "use_query_type_embedding",
    "use_type_embedding",
}
_CHOICES = {
    "conditioning": ("class", "frames"),
    "initializer": ("normal", "sincos"),
    "latent_norm": ("none", "layer", "layer_joint", "batch", "batch_joint"),
    "query_initializer": ("normal", "sincos"),
}
# Three integers: (frames, height, width).
_SIZES = {"decoder_patch_size", "patch_size", "video_size"}
# `None` selects a default or disables a feature.
_OPTIONAL = {
    "chunk_size",
    "decoder_hidden_dim",
    "decoder_num_heads",
    "decoder_patch_size",
    "ema_decay",
    "mlp_dim",
    "num_kv_heads",
    "reset_unused_after",
    "seed",
}


def check_arguments(**values: Any) -> None:
    """Checks the types and ranges of arguments by their names.

    Args:
        **values: The arguments of a constructor. Those without a rule are
            ignored.

    Raises:
        ValueError: If a value is invalid; the message names the argument.

    Example:

    ```python
    check_arguments(hidden_dim=64, dropout=0.1)
    ```
    """
    for name, value in values.items():
        if value is None and name in _OPTIONAL:
            continue
        if name in _INTEGERS:
            check_integer(name, value, _INTEGERS[name])
        elif name in _NUMBERS:
            check_number(name, value, _NUMBERS[name])
        elif name in _BOOLEANS:
            check_boolean(name, value)
        elif name in _SIZES:
            check_integers(name, value, 3)
        elif name in _CHOICES:
            check_choice(name, value, _CHOICES[name])


def check_tokenizer_arguments(
    token_dropout: dict[str, Any] | None = None, **arguments: Any
) -> None:
    """Checks the arguments of `LARPTokenizer`, whose `token_dropout` is not
    the number that generators have.

    Raises:
        TypeError: If `token_dropout` is not a dictionary.
        ValueError: If an argument is not valid.
    """
    check_arguments(**arguments)
    if token_dropout is not None:
        check_instance("token_dropout", token_dropout, dict)
