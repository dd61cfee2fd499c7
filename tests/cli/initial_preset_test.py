"""Training that starts from a preset."""

import copy

import numpy as np
import pytest
from keras import ops
from run_command import run_here
from tiny_models import tiny_tokenizer

from keras_larp import presets
from keras_larp.cli import initial_preset, train_tokenizer


@pytest.fixture
def preset(tmp_path):
    tokenizer = tiny_tokenizer(
        prior="gptc-tiny", quantizer={"temperature": 0.02, "ema_decay": 0.9}
    )
    kernel = tokenizer.decoder.pixels.kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    tokenizer.save_to_preset(tmp_path / "preset")
    return tmp_path / "preset"


def parse(*arguments):
    values = copy.deepcopy(train_tokenizer.FLAGS)
    values(["keras-larp", "--recipe=small_data_tokenizer", *arguments])
    return values


def train(preset, output, *arguments):
    run_here(
        train_tokenizer,
        "--recipe=small_data_tokenizer",
        f"--initial_preset={preset}",
        f"--output={output}",
        "--num_computed_clips=4",
        "--batch_size=2",
        "--epochs=1",
        "--warmup_epochs=0",
        "--show_every=0",
        "--verbose=0",
        *arguments,
    )
    return presets.load(output / "preset")


def test_fine_tuning_starts_from_the_weights(preset, tmp_path):
    trained = train(preset, tmp_path / "run", "--learning_rate=1e-6")
    initial = presets.load(preset)
    for part in ("encoder", "decoder"):
        for new, old in zip(
            getattr(trained, part).weights,
            getattr(initial, part).weights,
            strict=True,
        ):
            np.testing.assert_allclose(
                ops.convert_to_numpy(new),
                ops.convert_to_numpy(old),
                atol=1e-4,
                err_msg=new.path,
            )


def test_fine_tuning_makes_a_tokenizer_elastic(preset, tmp_path):
    trained = train(preset, tmp_path / "run", "--token_dropout=0.5")
    assert trained.token_dropout.rate == 0.5
    ids = trained.encode(np.zeros((1, 4, 16, 16, 3), "float32"), num_tokens=2)
    assert tuple(ids.shape) == (1, 2)


def test_settings_are_those_of_the_preset(preset):
    values = parse(f"--initial_preset={preset}")
    tokenizer = initial_preset.load(values)
    recipe = train_tokenizer.recipe_flags.make_recipe(values)
    settings = initial_preset.fixed_settings(tokenizer, recipe)
    assert settings["num_tokens"] == 6
    assert settings["patch_size"] == (2, 8, 8)
    assert settings["temperature"] == 0.02
    assert settings["codebook_ema_decay"] == 0.9
    assert settings["prior"] == "gptc-tiny"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--hidden_dim=32", "--hidden_dim must be.* 16, .*hidden_dim=32"),
        ("--temperature=0.5", "--temperature must be .* 0.02"),
        ("--kmeans_init_clips=8", "--kmeans_init_clips=8"),
        ("--recipe=auto", "--recipe=auto"),
        ("--initial_preset=nothing", "nothing"),
    ],
)
def test_contradictions(preset, flag, message):
    with pytest.raises(ValueError, match=message):
        initial_preset.load(parse(f"--initial_preset={preset}", flag))


def test_equal_flags_are_no_contradiction(preset):
    values = parse(f"--initial_preset={preset}", "--hidden_dim=16")
    assert initial_preset.load(values).num_tokens == 6
