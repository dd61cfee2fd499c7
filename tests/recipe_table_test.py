"""The documentation's tables list every setting of the paper's recipes."""

import pathlib
import re

import pytest

from keras_larp.recipes import settings as recipe_settings

pytestmark = pytest.mark.once

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "reproducing.md"


@pytest.mark.parametrize(
    ("recipe", "num_columns", "column"),
    [
        ("LARP_L_LONG_TOKENIZER", 4, 3),
        ("LARP_L_LONG_GENERATOR", 5, 3),
        ("LARP_L_LONG_FRAME_PREDICTION", 5, 4),
    ],
)
def test_tables_have_all_settings_of_a_recipe(recipe, num_columns, column):
    text = PAGE.read_text()
    text = text[text.index("## Settings") : text.index("## Deviations")]
    listed = {}
    for line in re.findall(r"^\| (.*) \|$", text, re.M):
        cells = re.split(r" ?\| ?", line)
        name = re.fullmatch(r"`(\w+)`", cells[2])
        if name and len(cells) == num_columns:
            assert name[1] not in listed
            listed[name[1]] = cells[column].partition(":")[0]
    settings = getattr(recipe_settings, recipe)
    assert listed == {name: str(value) for name, value in settings.items()}
