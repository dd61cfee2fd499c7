"""Training of a tokenizer that starts from the weights of a preset."""

from absl import flags

import keras_larp
from keras_larp.cli import recipe_flags
from keras_larp.recipes.setting import list_settings

# Settings of a recipe that do not change the weights of a model.
_FREE = ("dtype", "gradient_checkpointing", "token_dropout")


def define(values: flags.FlagValues) -> None:
    """Defines `--initial_preset`."""
    flags.DEFINE_string(
        "initial_preset",
        None,
        "Preset whose weights training starts from, to fine-tune it; its sizes "
        "are used. With --token_dropout, the result is elastic.",
        flag_values=values,
        module_name="Recipe",
    )


def load(values: flags.FlagValues):
    """Loads the `LARPTokenizer` of `--initial_preset`; `None` without it.

    Raises:
        ValueError: If flags contradict it.
    """
    if values.initial_preset is None:
        return None
    if values.recipe == "auto":
        raise ValueError(
            "--initial_preset needs a recipe to train by, such as "
            "--recipe=small_data_tokenizer. Received: --recipe=auto"
        )
    recipe = recipe_flags.make_recipe(values)
    if recipe.kmeans_init_clips:
        raise ValueError(
            "--kmeans_init_clips would replace the codebook of "
            "--initial_preset. Received: "
            f"--kmeans_init_clips={recipe.kmeans_init_clips}"
        )
    tokenizer = keras_larp.models.LARPTokenizer.from_preset(
        values.initial_preset,
        dtype=recipe.dtype,
        gradient_checkpointing=recipe.gradient_checkpointing,
    )
    for name, value in fixed_settings(tokenizer, recipe).items():
        given = name in values and values[name].value is not None
        if given and getattr(recipe, name) != value:
            raise ValueError(
                f"--{name} must be that of --initial_preset, {value}, or be "
                f"omitted. Received: --{name}={getattr(recipe, name)}"
            )
    if recipe.token_dropout and tokenizer.token_dropout is None:
        tokenizer = tokenizer.with_token_dropout(rate=recipe.token_dropout)
    return tokenizer


def fixed_settings(tokenizer, recipe) -> dict:
    """Returns the settings of a recipe that a tokenizer already has.

    Args:
        tokenizer: `LARPTokenizer`, or `None`.
        recipe: `TokenizerRecipe`.
    """
    if tokenizer is None:
        return {}
    config = tokenizer.get_config()
    quantizer = dict(config["quantizer"] or {})
    config |= {
        {
            "ema_decay": "codebook_ema_decay",
            "reset_unused_after": "codebook_reset_unused_after",
        }.get(name, name): value
        for name, value in quantizer.items()
    }
    names = {setting.name for setting in list_settings(recipe)}
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.items()
        if name in names and name not in _FREE
    }
    # A recipe knows priors by their size only.
    if not isinstance(settings["prior"], str | None):
        del settings["prior"]
    return settings
