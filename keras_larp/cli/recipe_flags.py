"""A flag for each setting of a recipe."""

from absl import flags

from keras_larp.recipes import RECIPES
from keras_larp.recipes.settings import (
    DESCRIPTIONS,
    OPTIONAL_INTEGERS,
    OPTIONAL_NAMES,
    OPTIONAL_PATCHES,
    SETTINGS,
)


def define(values, recipes, without=(), auto=False):
    """Defines `--recipe`, `--steps_per_epoch` and a flag for each setting.

    Args:
        values: A `flags.FlagValues`.
        recipes: List of strings, names of recipes with the same settings;
            the first is the default.
        without: Names of settings that the command finds out itself.
        auto: Boolean, whether there is `--recipe=auto`, which is the default
            then and which the command resolves by `take`.
    """
    choices = ["auto", *recipes] if auto else recipes
    flags.DEFINE_enum(
        "recipe", choices[0], choices, "Recipe by name.", flag_values=values
    )
    flags.DEFINE_integer(
        "steps_per_epoch",
        None,
        "Batches of an epoch; one pass over the data where not given.",
        1,
        flag_values=values,
    )
    for name, value in SETTINGS[recipes[0]].items():
        if name not in without:
            _define_setting(values, name, value, recipes[0])


def _define_setting(values, name, value, recipe):
    kind = tuple if name in OPTIONAL_PATCHES else type(value)
    define = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
        tuple: flags.DEFINE_list,
        type(None): flags.DEFINE_float,
    }[kind]
    text = f"{DESCRIPTIONS[name]} {recipe} has {value!r}."
    define(name, None, text, flag_values=values)


def take(values, recipe, settings):
    """Takes a recipe, and settings of which no flag was given."""
    values.recipe = recipe
    for name, value in settings.items():
        if values[name].value is None:
            values[name].value = value


def make_recipe(values, steps_per_epoch, **found):
    """The recipe that the flags name, with the settings that they give.

    Args:
        values: The parsed flags.
        steps_per_epoch: Integer, batches of one pass over the data.
        **found: Settings that the command found out.
    """
    settings = SETTINGS[values.recipe]
    given = {
        name: value
        for name in settings
        if name in values and (value := values[name].value) is not None
    }
    for name, value in given.items():
        if value == "none" and name in OPTIONAL_NAMES:
            given[name] = None
        elif isinstance(value, list):
            given[name] = tuple(int(v) for v in value)
        elif name in OPTIONAL_INTEGERS:
            given[name] = int(value)
    steps = values.steps_per_epoch or steps_per_epoch
    return RECIPES[values.recipe](steps, **given, **found)


def setting(values, name):
    """One setting, of the flags or else of the recipe."""
    value = values[name].value
    return SETTINGS[values.recipe][name] if value is None else value
