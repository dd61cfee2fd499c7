"""The README's table of settings says what the recipe has."""

import pathlib
import re

import pytest

from keras_larp.training.recipe_settings import LARP_L_LONG_TOKENIZER

pytestmark = pytest.mark.once

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_table_has_the_values_of_the_recipe():
    rows = re.findall(
        r"^\| .* \| .* \| (`.*`) \| (.*) \|$", README.read_text(), re.M
    )
    listed = {}
    for names, values in rows:
        names = re.findall(r"`(\w+)`", names)
        listed |= dict(zip(names, values.split(", "), strict=True))
    assert len(listed) > 35
    for name, value in listed.items():
        assert str(LARP_L_LONG_TOKENIZER[name]) == value, name
