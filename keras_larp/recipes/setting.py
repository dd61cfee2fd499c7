"""Settings of a recipe: dataclass fields that carry their documentation.

Flags, `print(recipe)` and the tables of the documentation are generated from
these fields.
"""

import dataclasses
import functools
import re
import types
import typing

from keras_larp.utils.checks import (
    check_boolean,
    check_choice,
    check_instance,
    check_integer,
    check_integers,
    check_number,
    shorten,
)

_NOT_NEGATIVE = "[0, inf)"
_INTERVAL = re.compile(r"\bin ([\[(][\d.]+, [\d.]+[\])])")
# The value of a field that every subclass overrides.
REQUIRED = dataclasses.MISSING


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a recipe.

    Attributes:
        name: String. Name of the dataclass field, the keyword argument and
            the flag.
        default: Value of the setting unless it is overridden.
        type: Type annotation of the field, such as `int` or `float | None`.
        group: String. Title of the group of settings it belongs to.
        description: String. One sentence for users. The values of a number
            are limited to the interval in it, such as "in [0, 1)".
        reference: Optional string. Name and value of the setting in the
            reference implementation, such as `"optimizer.args.lr = 1e-4"`;
            `None` if the reference implementation has no such setting.
    """

    name: str
    default: typing.Any
    type: typing.Any
    group: str
    description: str
    reference: str | None

    def check(self, value: typing.Any) -> None:
        """Checks the type and the range of a value.

        Without an interval in the description, integers must be positive, and
        other numbers must be finite and not negative.

        Raises:
            ValueError: If the value is invalid; the message names the setting.
        """
        kinds = [self.type]
        if isinstance(self.type, types.UnionType):
            kinds = list(typing.get_args(self.type))
        if value is None and types.NoneType in kinds:
            return
        kind = kinds[0]
        if typing.get_origin(kind) is typing.Literal:
            check_choice(self.name, value, typing.get_args(kind))
        elif typing.get_origin(kind) is tuple:
            check_integers(self.name, value, len(typing.get_args(kind)))
        elif kind is str:
            if not isinstance(value, tuple(kinds)):
                check_instance(self.name, value, str)
        elif kind is bool:
            check_boolean(self.name, value)
        elif kind is int:
            check_integer(self.name, value, 1)
        elif kind is float:
            interval = _INTERVAL.search(self.description)
            check_number(
                self.name, value, interval[1] if interval else _NOT_NEGATIVE
            )


def _setting(group, default, description, reference=None):
    """Returns a dataclass field for a setting."""
    metadata = {
        "group": group,
        "description": description,
        "reference": reference,
    }
    return dataclasses.field(default=default, metadata=metadata)


data = functools.partial(_setting, "Data")
model = functools.partial(_setting, "Model")
optimizer = functools.partial(_setting, "Optimizer")
loss = functools.partial(_setting, "Losses")
discriminator = functools.partial(_setting, "Discriminator")
GROUPS = ("Data", "Model", "Optimizer", "Losses", "Discriminator")


def override(recipe_class, name, default, reference=None):
    """Returns a setting of a base class with another default."""
    metadata = recipe_class.__dataclass_fields__[name].metadata
    return _setting(
        metadata["group"], default, metadata["description"], reference
    )


def list_settings(recipe_class: typing.Any) -> list[Setting]:
    """Returns the settings of a recipe class, ordered by group.

    Args:
        recipe_class: `TokenizerRecipe`, `GeneratorRecipe` or an instance.

    Returns:
        List of `Setting` objects.
    """
    if not isinstance(recipe_class, type):
        recipe_class = type(recipe_class)
    types = typing.get_type_hints(recipe_class)
    settings = [
        Setting(
            name=field.name,
            default=field.default,
            type=types[field.name],
            **field.metadata,
        )
        for field in dataclasses.fields(recipe_class)
        if field.metadata
    ]
    return sorted(settings, key=lambda setting: GROUPS.index(setting.group))


def settings_table(recipe: typing.Any) -> str:
    """Returns Markdown tables of the settings of a recipe, one per group.

    Args:
        recipe: `TokenizerRecipe` or `GeneratorRecipe`, whose defaults are the
            settings of the paper, or an instance such as
            `keras_larp.recipes.small_data_tokenizer()`.

    Returns:
        String. Tables with the columns setting, value, reference
        implementation and description, each under a heading of level 3.

    Example:

    ```python
    print(keras_larp.recipes.settings_table(keras_larp.recipes.TokenizerRecipe))
    ```
    """
    if not dataclasses.is_dataclass(recipe):
        raise TypeError(
            "`recipe` must be a recipe, such as `TokenizerRecipe`, or an "
            f"instance of it. Received: recipe={shorten(recipe)}"
        )
    lines, group = [], None
    for setting in list_settings(recipe):
        if setting.group != group:
            group = setting.group
            lines += ["", f"### {group}", ""]
            lines += ["| setting | value | reference implementation | |"]
            lines += ["|---|---|---|---|"]
        name, separator, value = (setting.reference or "").partition(" = ")
        name = name.replace(", ", "`, `")
        reference = f"`{name}`{separator}{value}" if name else "-"
        lines.append(
            f"| `{setting.name}` | {getattr(recipe, setting.name)} "
            f"| {reference} | {setting.description} |"
        )
    return "\n".join(lines[1:]) + "\n"
