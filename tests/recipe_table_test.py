"""The documentation's tables list every setting of the paper's recipes."""

import pathlib
import re

import pytest

from keras_larp.recipes import RECIPES

pytestmark = pytest.mark.once

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "reproducing.md"


@pytest.mark.parametrize(
    ("recipe", "num_columns", "column"),
    [
        ("larp_l_long_tokenizer", 4, 3),
        ("larp_l_long_generator", 5, 3),
        ("larp_l_long_frame_prediction", 5, 4),
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
    settings = RECIPES[recipe]().settings
    assert listed == {name: str(value) for name, value in settings.items()}
