"""What the flags of a recipe's settings mean."""

import pytest
from absl import flags

from keras_larp.cli import recipe_flags

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--prior=none", None),
        ("--prior=gptc-B", "gptc-B"),
        ("--perceptual_model=none", None),
        ("--latent_norm=none", "none"),
        ("--patch_size=2,8,8", (2, 8, 8)),
        ("--decoder_patch_size=4,4,4", (4, 4, 4)),
        ("--codebook_reset_unused_after=100", 100),
        ("--codebook_ema_decay=0.99", 0.99),
        ("--nodiscriminator", False),
    ],
)
def test_a_flag_gives_the_setting(flag, expected):
    values = flags.FlagValues()
    recipe_flags.define(values, ["larp_l_long_tokenizer"])
    values(["keras-larp", flag])
    settings = recipe_flags.make_recipe(values, 10).settings
    name = flag.removeprefix("--").removeprefix("no").split("=")[0]
    assert settings[name] == expected
    assert type(settings[name]) is type(expected)
