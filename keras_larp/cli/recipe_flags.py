"""Flags for the settings of a recipe."""

import types
import typing

from absl import flags

from keras_larp.recipes import RECIPES
from keras_larp.recipes.setting import list_settings


def define(values, recipes, exclude=(), auto=False):
    """Defines `--recipe`, `--steps_per_epoch` and a flag for each setting.

    Args:
        values: A `flags.FlagValues`.
        recipes: List of strings. Names of recipes of the same class; the
            first is the default.
        exclude: Names of settings that the command determines itself.
        auto: Boolean. Whether to add `--recipe=auto` and make it the default.
            The command resolves it with `apply_choice`.
    """
    choices = ["auto", *recipes] if auto else recipes
    text = "Name of the recipe, which provides the defaults of all settings."
    if auto:
        text += " auto chooses one by the data and the machine."
    flags.DEFINE_enum(
        "recipe",
        choices[0],
        choices,
        text,
        flag_values=values,
        module_name="Recipe",
    )
    flags.DEFINE_integer(
        "steps_per_epoch",
        None,
        "Batches per epoch. Default: one pass over the data.",
        1,
        flag_values=values,
        module_name="Recipe",
    )
    defaults = [RECIPES[recipe]() for recipe in recipes]
    for setting in list_settings(defaults[0]):
        if setting.name not in exclude:
            _define_setting(values, setting, defaults)


def _define_setting(values, setting, defaults):
    by_recipe = {
        recipe.name: _to_text(getattr(recipe, setting.name))
        for recipe in defaults
    }
    text = ", ".join(f"{value} ({name})" for name, value in by_recipe.items())
    if len(set(by_recipe.values())) == 1:
        text = next(iter(by_recipe.values()))
    options = {
        "help": f"{setting.description} Default: {text}.",
        "flag_values": values,
        "module_name": f"Recipe: {setting.group.lower()}",
    }
    if setting.type is bool:
        flags.DEFINE_bool(setting.name, None, **options)
    elif typing.get_origin(setting.type) is typing.Literal:
        choices = typing.get_args(setting.type)
        flags.DEFINE_enum(setting.name, None, choices, **options)
    else:
        flags.DEFINE(
            _parser(setting.type),
            setting.name,
            None,
            serializer=flags.ArgumentSerializer(),
            **options,
        )


def _to_text(value):
    """Returns a setting as its flag is written."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def _parser(annotation):
    """Returns the flag parser for the type annotation of a setting."""
    if isinstance(annotation, types.UnionType):
        kinds = typing.get_args(annotation)
        # Of `str | keras.Model | None`, only the string can be a flag.
        inner = _parser(kinds[0])
        return _OptionalParser(inner) if types.NoneType in kinds else inner
    if typing.get_origin(annotation) is tuple:
        return _IntegersParser(len(typing.get_args(annotation)))
    return {
        int: flags.IntegerParser,
        float: flags.FloatParser,
        str: flags.ArgumentParser,
    }[annotation]()


class _OptionalParser(flags.ArgumentParser):
    """Parses None, or what another parser accepts.

    None is kept as the string `"none"`, since `None` means that the flag was
    not given.
    """

    def __init__(self, inner):
        self._inner = inner
        self.syntactic_help = f"{inner.syntactic_help or 'a name'} or None"

    def parse(self, argument):
        if str(argument).lower() == "none":
            return "none"
        return self._inner.parse(argument)

    def flag_type(self):
        return f"optional {self._inner.flag_type()}"


class _IntegersParser(flags.ArgumentParser):
    """Parses comma-separated integers to a list, which JSON preserves."""

    def __init__(self, count):
        self._count = count
        self.syntactic_help = f"{count} integers, separated by commas"

    def parse(self, argument):
        if isinstance(argument, str):
            argument = argument.split(",")
        integers = [int(value) for value in argument]
        if len(integers) != self._count:
            raise ValueError(f"Expected {self.syntactic_help}.")
        return integers

    def flag_type(self):
        return "integers"


def apply_choice(values, choice):
    """Sets `--recipe`, and the flags of settings that were not given.

    Args:
        values: The parsed flags.
        choice: A `keras_larp.recipes.RecipeChoice`.
    """
    values.recipe = choice.name
    for name, value in choice.settings.items():
        if values[name].value is None:
            values[name].value = value


def make_recipe(values, steps_per_epoch=None, **overrides):
    """Returns the recipe of `--recipe` with the settings of the other flags.

    Args:
        values: The parsed flags.
        steps_per_epoch: Integer. Batches per epoch unless `--steps_per_epoch`
            is given.
        **overrides: Settings that the command determined.
    """
    make = RECIPES[values.recipe]
    given = {
        setting.name: _from_flag(setting, values[setting.name].value)
        for setting in list_settings(make())
        if setting.name in values and values[setting.name].value is not None
    }
    steps = values.steps_per_epoch or steps_per_epoch
    return make(steps, **{**given, **overrides})


def _from_flag(setting, value):
    """Returns a setting from the value of its flag."""
    optional = types.NoneType in typing.get_args(setting.type)
    if optional and value == "none":
        return None
    return tuple(map(int, value)) if isinstance(value, list) else value
