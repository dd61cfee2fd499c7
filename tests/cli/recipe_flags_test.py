"""Flags for the settings of a recipe."""

import json
import typing

import pytest
from absl import flags

from keras_larp import recipes
from keras_larp.cli import recipe_flags, train_tokenizer
from keras_larp.cli.command import help_text
from keras_larp.recipes.setting import list_settings

pytestmark = pytest.mark.once


def parse(*arguments):
    values = flags.FlagValues()
    recipe_flags.define(
        values, ["larp_l_long_tokenizer", "small_data_tokenizer"], auto=True
    )
    values(["keras-larp", *arguments])
    return values


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--prior=none", None),
        ("--prior=gptc-B", "gptc-B"),
        ("--perceptual_model=None", None),
        ("--latent_norm=none", "none"),
        ("--patch_size=2,8,8", (2, 8, 8)),
        ("--decoder_patch_size=4,4,4", (4, 4, 4)),
        ("--decoder_patch_size=none", None),
        ("--codebook_reset_unused_after=100", 100),
        ("--codebook_ema_decay=0.99", 0.99),
        ("--ema_decay=none", None),
        ("--nodiscriminator", False),
    ],
)
def test_flag_overrides_the_setting(flag, expected):
    values = parse("--recipe=larp_l_long_tokenizer", flag)
    name = flag.removeprefix("--").removeprefix("no").split("=")[0]
    # A resumed run reads the flags back from JSON.
    values[name].value = json.loads(json.dumps(values[name].value))
    value = recipe_flags.make_recipe(values, 10).settings[name]
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(
    "flag",
    [
        "--patch_size=2,8",
        "--pixel_loss=l3",
        "--epochs=2.5",
        "--codebook_reset_unused_after=0.5",
        "--ema_decay=high",
    ],
)
def test_invalid_values_raise(flag):
    with pytest.raises(flags.IllegalFlagValueError):
        parse(flag)


def test_flags_default_to_the_recipe():
    values = parse("--recipe=small_data_tokenizer")
    recipe = recipe_flags.make_recipe(values, 10)
    assert recipe == recipes.small_data_tokenizer(10)


def test_given_flags_take_precedence_over_the_choice():
    values = parse("--image_size=48")
    choice = recipes.RecipeChoice(
        "small_data_tokenizer", {"image_size": 32, "num_frames": 4}, 0, []
    )
    recipe_flags.apply_choice(values, choice)
    recipe = recipe_flags.make_recipe(values, 10)
    assert recipe.name == "small_data_tokenizer"
    assert (recipe.image_size, recipe.num_frames) == (48, 4)


def test_help_describes_every_setting():
    text = " ".join(help_text(train_tokenizer, "train-tokenizer").split())
    for setting in list_settings(recipes.TokenizerRecipe):
        assert setting.description in text, setting.name
        if typing.get_origin(setting.type) is typing.Literal:
            choices = "|".join(typing.get_args(setting.type))
            assert f"--{setting.name}={choices} " in text
    assert (
        "Default: 128 (larp_l_long_tokenizer), 32 (small_data_tokenizer)."
        in text
    )
