"""Recipes: all settings of a training run, by name."""

from keras_larp.recipes.recipe import (
    RECIPES,
    GeneratorRecipe,
    TokenizerRecipe,
    larp_l_long_frame_prediction,
    larp_l_long_generator,
    larp_l_long_tokenizer,
    small_data_generator,
    small_data_tokenizer,
)

__all__ = [
    "RECIPES",
    "GeneratorRecipe",
    "TokenizerRecipe",
    "larp_l_long_frame_prediction",
    "larp_l_long_generator",
    "larp_l_long_tokenizer",
    "small_data_generator",
    "small_data_tokenizer",
]
