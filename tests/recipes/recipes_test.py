import re
import typing

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips

from keras_larp import data, recipes
from keras_larp.recipes.setting import list_settings

SMALL_TOKENIZER = {
    "num_frames": 4,
    "image_size": 16,
    "patch_size": (2, 8, 8),
    "num_tokens": 6,
    "codebook_size": 32,
    "code_dim": 4,
    "hidden_dim": 16,
    "num_heads": 2,
    "encoder_num_layers": 1,
    "decoder_num_layers": 1,
    "prior": None,
    "dtype": "float32",
    "epochs": 2,
    "warmup_epochs": 0.5,
    "perceptual_model": None,
    "discriminator_hidden_dim": 16,
    "discriminator_num_heads": 2,
    "discriminator_num_layers": 1,
}


@pytest.mark.once
@pytest.mark.parametrize(
    "name, value",
    [
        ("learning_rate", float("nan")),
        ("learning_rate", -1e-3),
        ("learning_rate", "0.1"),
        ("pixel_loss_weight", float("inf")),
        ("motion_loss_weight", -1.0),
        ("beta_1", 1.0),
        ("beta_2", 2),
        ("ema_decay", 1),
        ("prior_max_sampling_ratio", 1.5),
        ("prior_sampling_peak_fraction", 0.0),
        ("hidden_dim", "16"),
        ("num_tokens", 4.0),
        ("batch_size", True),
        ("epochs", 0),
        ("patch_size", (4, 8)),
        ("patch_size", (4, 8, 0)),
        ("decoder_patch_size", 8),
        ("discriminator", 1.5),
        ("pixel_loss", "l3"),
        ("steps_per_epoch", -1),
    ],
)
def test_invalid_settings_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name}` must be.*Received: {name}="):
        recipes.larp_l_long_tokenizer(**{name: value})


@pytest.mark.once
def test_settings_may_be_disabled():
    recipe = recipes.larp_l_long_tokenizer(ema_decay=None, prior=None)
    assert recipe.ema_decay is None and recipe.prior is None


def test_tokenizer_recipe_has_the_paper_settings():
    recipe = recipes.larp_l_long_tokenizer(
        1000, **SMALL_TOKENIZER, ema_decay=0.999
    )
    tokenizer = recipe.build()
    adam = tokenizer.optimizer.main_optimizer
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.5, 0.9, 1e-8)
    assert adam.use_ema and adam.ema_momentum == 0.999
    assert tokenizer.optimizer.multiplier == 50.0
    discriminator_adam = tokenizer.discriminator_optimizer
    # Warmup ends at step 500, at the 100th update of the discriminator.
    rates = [adam._learning_rate(499), discriminator_adam._learning_rate(99)]
    rates = [float(ops.convert_to_numpy(rate)) for rate in rates]
    np.testing.assert_allclose(rates, [1e-4, 3e-5], rtol=1e-6)
    assert tokenizer.loss_weights == {
        "pixel_loss": 1.0,
        "perceptual_loss": 1.0,
        "quantizer_loss": 0.1,
        "prior_loss": 0.06,
        "adversarial_loss": 0.3,
    }
    assert tokenizer.discriminator_every == 5
    assert tokenizer.lecam_weight == 1e-6
    assert tokenizer.given_total_steps == 2000


def test_discriminator_learning_rate_follows_the_steps_of_the_run():
    recipe = recipes.larp_l_long_tokenizer(
        4,
        **{**SMALL_TOKENIZER, "warmup_epochs": 1},
        discriminator_every=2,
        discriminator_learning_rate=1e-4,
        discriminator_start_epoch=0.5,
    )
    tokenizer = recipe.build()
    fit = recipe.fit_arguments()
    tokenizer.fit(clips(), verbose=0, **fit)
    main = tokenizer.optimizer.main_optimizer
    discriminator_adam = tokenizer.discriminator_optimizer
    updates = int(ops.convert_to_numpy(discriminator_adam.iterations))
    assert updates == 3  # At steps 3, 5 and 7 of 0 to 7.
    for update, step in enumerate((3, 5, 7)):
        np.testing.assert_allclose(
            ops.convert_to_numpy(discriminator_adam._learning_rate(update)),
            ops.convert_to_numpy(main._learning_rate(step)),
            rtol=1e-5,
        )


@pytest.mark.parametrize("kind", ["tokenizer", "generator"])
def test_muon_updates_matrices_and_adam_the_rest(kind):
    make = {
        "tokenizer": lambda **settings: recipes.small_data_tokenizer(
            10, **{**SMALL_TOKENIZER, "prior": "gptc-tiny"}, **settings
        ),
        "generator": lambda **settings: recipes.small_data_generator(
            10, num_tokens=6, **settings
        ),
    }[kind]
    model = make(optimizer="muon", beta_1=0.8).build()
    muon = getattr(model.optimizer, "main_optimizer", model.optimizer)
    assert muon.adam_beta_1 == 0.8
    by_adam = [
        muon.adam_velocities[muon._get_variable_index(variable)] is not None
        for variable in muon._trainable_variables
    ]
    paths = [variable.path for variable in muon._trainable_variables]
    for path, adam in zip(paths, by_adam, strict=True):
        linear = path.endswith("kernel") and "embedding" not in path
        assert adam != (linear and "head" not in path), path
    with pytest.raises(ValueError, match="'adam', 'muon'.*optimizer='sgd'"):
        make(optimizer="sgd")


def test_codebook_settings_reach_the_quantizer():
    recipe = recipes.small_data_tokenizer(
        1,
        **SMALL_TOKENIZER,
        kmeans_init_clips=4,
        codebook_ema_decay=0.9,
        codebook_reset_unused_after=50,
    )
    with pytest.raises(ValueError, match="from 4 clips. Pass the training"):
        recipe.build()
    quantizer = recipe.build(clips()).quantizer
    assert (quantizer.ema_decay, quantizer.reset_unused_after) == (0.9, 50)
    lengths = np.linalg.norm(ops.convert_to_numpy(quantizer.embeddings), axis=1)
    assert lengths.max() < 1.01  # Centroids of latents of unit length.


def test_prior_loss_starts_late_and_ramps_up():
    recipe = recipes.larp_l_long_tokenizer(
        10,
        **SMALL_TOKENIZER,
        prior_loss_start_epoch=0.5,
        prior_loss_ramp_epochs=1.0,
    )
    weight = recipe.compile_arguments()["prior_loss_weight"]
    values = [float(ops.convert_to_numpy(weight(n))) for n in (0, 5, 10, 15)]
    np.testing.assert_allclose(values, [0, 0, 0.03, 0.06], rtol=1e-6)


def test_tokenizer_recipe_trains():
    recipe = recipes.larp_l_long_tokenizer(2, **SMALL_TOKENIZER, ema_decay=0.9)
    tokenizer = recipe.build()
    history = tokenizer.fit(
        np.tile(clips(), (2, 1, 1, 1, 1)),
        batch_size=4,
        verbose=0,
        **recipe.fit_arguments(),
    ).history
    assert len(history["loss"]) == 2 and np.isfinite(history["loss"]).all()


def test_steps_per_epoch_default_to_one_pass_over_the_data():
    recipe = recipes.larp_l_long_tokenizer(**SMALL_TOKENIZER)
    assert "(one epoch: one pass over the data)" in str(recipe)
    assert recipe.fit_arguments()["steps_per_epoch"] is None
    with pytest.raises(ValueError, match="Pass `steps_per_epoch` to the"):
        recipe.build()
    dataset = data.video_dataset(
        data.MovingShapes(8, num_frames=4, image_size=16), batch_size=2
    )
    tokenizer = recipe.build(dataset)
    assert tokenizer.given_total_steps == 2 * 4  # 2 epochs of 8 clips
    generator = recipes.larp_l_long_generator(size="llama-abs-tiny")
    generator = generator.build(dataset=dataset)
    assert generator.optimizer._learning_rate.total_steps == 3000 * 4
    own = recipes.larp_l_long_tokenizer(7, **SMALL_TOKENIZER).for_data(dataset)
    assert own.steps_per_epoch == 7


def test_gradient_checkpointing_of_the_discriminator_is_turned_off():
    for settings, expected in (
        ({}, True),
        ({"gradient_penalty_weight": 10.0}, False),
        ({"spectral_normalization": True}, False),
    ):
        recipe = recipes.larp_l_long_tokenizer(
            1, **SMALL_TOKENIZER, gradient_checkpointing=True, **settings
        )
        tokenizer = recipe.build()
        assert tokenizer.encoder.gradient_checkpointing
        assert tokenizer.discriminator.gradient_checkpointing == expected


def test_ramps_and_annealing_become_schedules():
    recipe = recipes.larp_l_long_tokenizer(
        10,
        **{**SMALL_TOKENIZER, "epochs": 4},
        prior_loss_ramp_epochs=1.0,
        quantizer_loss_warmup_ratio=0.5,
        quantizer_loss_warmup_epochs=2.0,
        temperature_start=0.3,
        temperature_epochs=1.0,
        discriminator_start_epoch=1.5,
        adversarial_start_epoch=2.0,
    )
    arguments = recipe.compile_arguments()

    def at(name, step):
        return float(ops.convert_to_numpy(arguments[name](step)))

    np.testing.assert_allclose(at("prior_loss_weight", 5), 0.03, rtol=1e-6)
    np.testing.assert_allclose(at("quantizer_loss_weight", 10), 0.075)
    np.testing.assert_allclose(at("temperature_schedule", 20), 0.03, rtol=1e-6)
    assert arguments["discriminator_start"] == 15
    assert arguments["adversarial_start"] == 20


@pytest.mark.parametrize(
    "make, condition, epochs",
    [
        (recipes.larp_l_long_generator, "class", 3000),
        (recipes.larp_l_long_frame_prediction, "frames", 75),
    ],
)
def test_generator_recipes_have_the_paper_settings(make, condition, epochs):
    recipe = make(10, size="llama-abs-S", vocab_size=8, num_tokens=4)
    assert recipe.epochs == recipe.settings["epochs"] == epochs
    generator = recipe.build()
    assert generator.conditioning == condition
    adam = generator.optimizer
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.95, 1e-8)
    assert adam.weight_decay == 0.05
    assert keras.backend.standardize_dtype(generator.compute_dtype) == (
        "bfloat16"
    )


def test_printed_recipe_lists_all_settings_by_group():
    recipe = recipes.larp_l_long_tokenizer(10, learning_rate=0.125)
    text = str(recipe)
    assert text.startswith("larp_l_long_tokenizer (one epoch: 10 steps)\n")
    for name, value in recipe.settings.items():
        assert f"\n  {name:30} {value!s:22} " in text
    titles = [line for line in text.splitlines() if line.istitle()]
    assert titles == ["Data", "Model", "Optimizer", "Losses", "Discriminator"]


@pytest.mark.parametrize(
    "recipe_class", [recipes.TokenizerRecipe, recipes.GeneratorRecipe]
)
def test_settings_are_documented(recipe_class):
    settings = list_settings(recipe_class)
    assert len(settings) == len({setting.name for setting in settings})
    for setting in settings:
        assert setting.description.endswith("."), setting.name
        kinds = typing.get_args(setting.type) or (setting.type,)
        if typing.get_origin(setting.type) is tuple:
            kinds = (tuple,)
        elif typing.get_origin(setting.type) is not typing.Literal:
            kinds = tuple(typing.get_origin(kind) or kind for kind in kinds)
            assert isinstance(setting.default, kinds), setting.name


@pytest.mark.parametrize(
    "recipe", [recipes.TokenizerRecipe, recipes.small_data_generator()]
)
def test_settings_table_has_one_row_per_setting(recipe):
    table = recipes.settings_table(recipe)
    assert table.count("### ") >= 3
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    names = [row.split("`")[1] for row in rows]
    assert names == [setting.name for setting in list_settings(recipe)]
    assert all(row.count("|") == 5 for row in rows)


def test_settings_table_has_the_names_of_the_reference_implementation():
    rows = recipes.settings_table(recipes.TokenizerRecipe).splitlines()
    (row,) = [row for row in rows if "| `prior_loss_weight` |" in row]
    assert "| 0.06 | `loss_latent_ce_weight` = 0.06 |" in row
    (row,) = [row for row in rows if "| `patch_size` |" in row]
    assert "| `temporal_patch_size`, `patch_size` = 4, 8 |" in row


def test_reference_values_match_the_defaults():
    differing = {"lecam_weight", "prior_learning_rate_multiplier"}
    for recipe_class in (recipes.TokenizerRecipe, recipes.GeneratorRecipe):
        for setting in list_settings(recipe_class):
            _, _, value = (setting.reference or "").partition(" = ")
            number = isinstance(setting.default, int | float)
            if number and value[:1].isdigit() and setting.name not in differing:
                value = re.match(r"[0-9.e-]+", value)[0]
                assert float(value) == setting.default, setting.name


def test_unknown_settings_raise_with_a_suggestion():
    with pytest.raises(
        ValueError, match="'learning_rat'. Did you mean 'learning_rate'"
    ):
        recipes.larp_l_long_tokenizer(10, learning_rat=0.1)
