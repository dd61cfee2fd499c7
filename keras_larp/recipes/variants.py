"""The named recipes, as functions that accept overrides."""

from typing import Any

from keras_larp.recipes.generator_recipe import GeneratorRecipe
from keras_larp.recipes.tokenizer_recipe import TokenizerRecipe

# `hywang66/LARP-L-long-AR-FP`, trained on Kinetics-600.
FRAME_PREDICTION = {
    "epochs": 75,
    "conditioning": "frames",
    "class_dropout": 0.0,
    "warmup_epochs": 1.0,
}

# For a few thousand short clips and two CPU cores.
SMALL_DATA_TOKENIZER = {
    "num_frames": 8,
    "image_size": 32,
    "batch_size": 16,
    "horizontal_flip": False,
    "epochs": 10,
    "num_tokens": 16,
    "codebook_size": 256,
    "code_dim": 8,
    "hidden_dim": 64,
    "num_heads": 4,
    "encoder_num_layers": 2,
    "decoder_num_layers": 2,
    # Batch statistics keep an untrained encoder from mapping all clips to the
    # same few codes; unit-variance queries make its tokens differ.
    "latent_norm": "batch_joint",
    "query_init_std": 1.0,
    "prior": "gptc-tiny",
    "dtype": "float32",
    "optimizer": "muon",
    "learning_rate": 2e-2,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "warmup_epochs": 0.5,
    "prior_learning_rate_multiplier": 1.0,
    "pixel_loss": "l2",
    "pixel_loss_weight": 10.0,
    "perceptual_model": None,
    "discriminator": False,
}
SMALL_DATA_GENERATOR = {
    "horizontal_flip": False,
    "epochs": 10,
    "size": "llama-abs-tiny",
    "vocab_size": 256,
    "num_tokens": 16,
    "num_classes": 12,
    "dtype": "float32",
    "learning_rate": 2e-3,
    "warmup_epochs": 0.5,
}


def larp_l_long_tokenizer(
    steps_per_epoch: int | None = None, **overrides: Any
) -> TokenizerRecipe:
    """Returns the recipe of the paper's tokenizer, LARP-L-Long.

    It trains with prior and discriminator. Durations are given in epochs, as
    in the paper. The learning-rate schedule of the reference implementation
    overwrites its `prior_lr_mult` of 50 at every step; pass
    `prior_learning_rate_multiplier=1.0` to train as its code does.

    Args:
        steps_per_epoch: Integer. Batches per epoch. Defaults to one pass over
            the dataset that is passed to `build`.
        **overrides: Settings of `TokenizerRecipe` that replace the paper's.

    Returns:
        A `TokenizerRecipe`.

    Raises:
        ValueError: If a setting does not exist.

    Example:

    ```python
    recipe = keras_larp.recipes.larp_l_long_tokenizer(
        steps_per_epoch=100, epochs=2, warmup_epochs=0.1, image_size=32,
        num_frames=8, num_tokens=16, hidden_dim=64, num_heads=4,
        encoder_num_layers=2, decoder_num_layers=2, prior="gptc-XXS",
        discriminator_hidden_dim=64, discriminator_num_layers=2,
        perceptual_model=None, dtype="float32",
    )
    tokenizer = recipe.build()
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.1
    """
    return TokenizerRecipe.from_settings(
        "larp_l_long_tokenizer", steps_per_epoch, overrides
    )


def larp_l_long_generator(
    steps_per_epoch: int | None = None, **overrides: Any
) -> GeneratorRecipe:
    """Returns the recipe of the paper's class-conditional generator on UCF101.

    See `larp_l_long_tokenizer` for the arguments.
    """
    return GeneratorRecipe.from_settings(
        "larp_l_long_generator", steps_per_epoch, overrides
    )


def larp_l_long_frame_prediction(
    steps_per_epoch: int | None = None, **overrides: Any
) -> GeneratorRecipe:
    """Returns the recipe of the paper's frame prediction on Kinetics-600.

    See `larp_l_long_tokenizer` for the arguments.
    """
    return GeneratorRecipe.from_settings(
        "larp_l_long_frame_prediction",
        steps_per_epoch,
        {**FRAME_PREDICTION, **overrides},
    )


def small_data_tokenizer(
    steps_per_epoch: int | None = None, **overrides: Any
) -> TokenizerRecipe:
    """Returns a recipe for a small tokenizer that trains in minutes on CPU.

    It is meant for a few thousand short clips and is not from the paper. See
    `larp_l_long_tokenizer` for the arguments.
    """
    return TokenizerRecipe.from_settings(
        "small_data_tokenizer",
        steps_per_epoch,
        {**SMALL_DATA_TOKENIZER, **overrides},
    )


def small_data_generator(
    steps_per_epoch: int | None = None, **overrides: Any
) -> GeneratorRecipe:
    """Returns a recipe for a generator on `small_data_tokenizer`'s tokens.

    See `larp_l_long_tokenizer` for the arguments.
    """
    return GeneratorRecipe.from_settings(
        "small_data_generator",
        steps_per_epoch,
        {**SMALL_DATA_GENERATOR, **overrides},
    )


RECIPES = {
    recipe.__name__: recipe
    for recipe in (
        larp_l_long_tokenizer,
        larp_l_long_generator,
        larp_l_long_frame_prediction,
        small_data_tokenizer,
        small_data_generator,
    )
}
