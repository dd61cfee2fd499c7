"""Recipes: all settings of a training run.

recipe = keras_larp.recipes.larp_l_long_tokenizer(batch_size=32)
print(recipe)  # all settings, with value and description
tokenizer = recipe.build(dataset)  # a compiled model
tokenizer.fit(dataset, **recipe.fit_arguments())
"""

from keras_larp.recipes.auto import (
    RecipeChoice,
    choose_generator_recipe,
    choose_tokenizer_recipe,
    estimate_training_cost,
)
from keras_larp.recipes.generator_recipe import GeneratorRecipe
from keras_larp.recipes.setting import settings_table
from keras_larp.recipes.tokenizer_recipe import TokenizerRecipe
from keras_larp.recipes.variants import (
    RECIPES,
    larp_l_long_frame_prediction,
    larp_l_long_generator,
    larp_l_long_tokenizer,
    small_data_generator,
    small_data_tokenizer,
)

__all__ = [
    "RECIPES",
    "GeneratorRecipe",
    "RecipeChoice",
    "TokenizerRecipe",
    "choose_generator_recipe",
    "choose_tokenizer_recipe",
    "estimate_training_cost",
    "larp_l_long_frame_prediction",
    "larp_l_long_generator",
    "larp_l_long_tokenizer",
    "settings_table",
    "small_data_generator",
    "small_data_tokenizer",
]
