import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips

from keras_larp import data, recipes
from keras_larp.recipes import settings as recipe_settings

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


def test_tokenizer_recipe_has_the_paper_settings():
    recipe = recipes.larp_l_long_tokenizer(
        1000, **SMALL_TOKENIZER, ema_decay=0.999
    )
    tokenizer = recipe.build()
    adam = tokenizer.optimizer.main_optimizer
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.5, 0.9, 1e-8)
    assert adam.use_ema and adam.ema_momentum == 0.999
    assert tokenizer.optimizer.multiplier == 50.0
    judge = tokenizer.discriminator_optimizer
    # The peak is at step 500, the discriminator's hundredth turn.
    rates = [adam._learning_rate(499), judge._learning_rate(99)]
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


def test_discriminator_has_the_learning_rate_of_the_step():
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
    judge = tokenizer.discriminator_optimizer
    turns = int(ops.convert_to_numpy(judge.iterations))
    assert turns == 3  # At steps 3, 5 and 7 of 0 to 7.
    for turn, step in enumerate((3, 5, 7)):
        np.testing.assert_allclose(
            ops.convert_to_numpy(judge._learning_rate(turn)),
            ops.convert_to_numpy(main._learning_rate(step)),
            rtol=1e-5,
        )


@pytest.mark.parametrize("kind", ["tokenizer", "generator"])
def test_muon_takes_matrices_and_leaves_tables_to_adam(kind):
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
    with pytest.raises(ValueError, match="'adam' or 'muon'.*'sgd'"):
        make(optimizer="sgd").build()


def test_codebook_settings_reach_the_quantizer():
    recipe = recipes.small_data_tokenizer(
        1,
        **SMALL_TOKENIZER,
        kmeans_init_clips=4,
        codebook_ema_decay=0.9,
        codebook_reset_unused_after=50,
    )
    with pytest.raises(ValueError, match="4 clips: give `build` some"):
        recipe.build()
    quantizer = recipe.build(clips()).quantizer
    assert (quantizer.ema_decay, quantizer.reset_unused_after) == (0.9, 50)
    lengths = np.linalg.norm(ops.convert_to_numpy(quantizer.embeddings), axis=1)
    assert lengths.max() < 1.01  # Centres of latents of unit length.


def test_prior_loss_starts_late_and_rises():
    recipe = recipes.larp_l_long_tokenizer(
        10,
        **SMALL_TOKENIZER,
        prior_loss_start_epoch=0.5,
        prior_loss_ramp_epochs=1.0,
    )
    weight = recipe.compile_arguments()["prior_loss_weight"]
    values = [float(ops.convert_to_numpy(weight(n))) for n in (0, 5, 10, 15)]
    np.testing.assert_allclose(values, [0, 0, 0.03, 0.06], rtol=1e-6)


def test_a_recipe_trains():
    recipe = recipes.larp_l_long_tokenizer(2, **SMALL_TOKENIZER, ema_decay=0.9)
    tokenizer = recipe.build()
    history = tokenizer.fit(
        np.tile(clips(), (2, 1, 1, 1, 1)),
        batch_size=4,
        verbose=0,
        **recipe.fit_arguments(),
    ).history
    assert len(history["loss"]) == 2 and np.isfinite(history["loss"]).all()


def test_a_recipe_without_steps_takes_them_from_the_data():
    recipe = recipes.larp_l_long_tokenizer(**SMALL_TOKENIZER)
    assert "an epoch is one pass over the data" in str(recipe)
    assert recipe.fit_arguments()["steps_per_epoch"] is None
    with pytest.raises(ValueError, match="Make it with `steps_per_epoch`"):
        recipe.build()
    dataset = data.video_dataset(
        data.MovingShapes(8, num_frames=4, image_size=16), batch_size=2
    )
    tokenizer = recipe.build(dataset)
    assert tokenizer.given_total_steps == 2 * 4  # epochs of 8 clips
    generator = recipes.larp_l_long_generator(size="llama-abs-tiny")
    generator = generator.build(dataset=dataset)
    assert generator.optimizer._learning_rate.total_steps == 3000 * 4
    own = recipes.larp_l_long_tokenizer(7, **SMALL_TOKENIZER).for_data(dataset)
    assert own.steps_per_epoch == 7


def test_checkpointing_leaves_out_a_discriminator_it_cannot_be_done_with():
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


def test_ramps_and_annealing_reach_the_model():
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
def test_generator_recipes(make, condition, epochs):
    recipe = make(10, size="llama-abs-S", vocab_size=8, num_tokens=4)
    assert recipe.settings["epochs"] == epochs
    generator = recipe.build()
    assert generator.conditioning == condition
    adam = generator.optimizer
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.95, 1e-8)
    assert adam.weight_decay == 0.05
    assert keras.backend.standardize_dtype(generator.compute_dtype) == (
        "bfloat16"
    )


def test_a_recipe_prints_each_setting():
    text = str(recipes.larp_l_long_tokenizer(10, learning_rate=0.125))
    assert "an epoch is 10 steps" in text
    for name in recipe_settings.LARP_L_LONG_TOKENIZER:
        assert f"\n{name} " in text
    assert "0.125" in text


def test_every_setting_has_a_description():
    for settings in recipe_settings.SETTINGS.values():
        assert set(settings) <= set(recipe_settings.DESCRIPTIONS)


def test_unknown_settings_are_named_with_close_ones():
    with pytest.raises(ValueError, match="'learning_rat'.*learning_rate"):
        recipes.larp_l_long_tokenizer(10, learning_rat=0.1)
