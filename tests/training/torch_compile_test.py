"""Compilation of blocks and losses by PyTorch."""

import functools

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import (
    clips,
    tiny_discriminator,
    tiny_generator,
    tiny_tokenizer,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="tests PyTorch's compiler"
)


@pytest.fixture(autouse=True)
def without_code_generation(monkeypatch):
    """Skips the compiler's code generation, which takes minutes on CPUs."""
    import torch

    compiler = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", compiler)


def compiled_tokenizer(jit_compile, model=None, **options):
    keras.utils.set_random_seed(0)
    discriminator = options.pop("discriminator", {})
    tokenizer = tiny_tokenizer(
        seed=0, encoder_num_layers=3, decoder_num_layers=3, **(model or {})
    )
    tokenizer.compile(
        keras.optimizers.SGD(0.1),
        discriminator=tiny_discriminator(num_layers=3, **discriminator),
        discriminator_optimizer=keras.optimizers.SGD(0.1),
        discriminator_every=2,
        jit_compile=jit_compile,
        **options,
    )
    return tokenizer


def history(model, data):
    result = model.fit(data, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return result.history


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_penalty_weight": 1.0},
        {"model": {"gradient_checkpointing": True}},
        {"discriminator": {"spectral_normalization": True}},
        {"model": {"dtype": "mixed_bfloat16"}},
    ],
    ids=["plain", "R1", "checkpointing", "spectral", "bfloat16"],
)
def test_compiled_tokenizer_trains_like_the_eager_one(options):
    # Without random numbers: compiled dropout draws different ones, and
    # rounding could change sampled tokens.
    prior = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "dropout": 0.0}
    options["model"] = {
        "quantizer": {"stochastic": False},
        "prior": prior,
        "prior_num_rounds": 1,
        **options.get("model", {}),
    }
    eager = history(compiled_tokenizer(False, **options), clips(8))
    received = history(compiled_tokenizer(True, **options), clips(8))
    half = "dtype" in options["model"]
    for name, expected in eager.items():
        np.testing.assert_allclose(
            received[name],
            expected,
            rtol=5e-2 if half else 1e-4,
            atol=1e-2 if half else 1e-6,
            err_msg=name,
        )


def test_blocks_of_equal_configuration_are_compiled_once():
    tokenizer = compiled_tokenizer(True)
    history(tokenizer, clips(8))
    keys = [key for key, *_ in tokenizer._compiler.compiled]
    blocks = [key for key in keys if isinstance(key, tuple)]
    # Three for encoder and decoder, whose blocks are equal except for the
    # last one of each; one for the prior; and four for the discriminator: two
    # for its first two blocks and two for its last, with batches of 4 and 8.
    assert len(blocks) == 3 + 1 + 4
    # Functions: sampling in quantizer and prior, and the cross-entropy.
    assert len(keys) == len(blocks) + 3


def test_compiled_generator_trains_with_dropout_and_stochastic_depth():
    keras.utils.set_random_seed(0)
    generator = tiny_generator(num_layers=3, dropout=0.1, drop_path=0.2, seed=0)
    generator.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    random = np.random.default_rng(0)
    data = {
        "token_ids": random.integers(0, 32, (8, 6)).astype("int32"),
        "class_ids": random.integers(0, 3, 8).astype("int32"),
    }
    losses = generator.fit(data, batch_size=4, epochs=6, verbose=0)
    assert losses.history["loss"][-1] < losses.history["loss"][0]
    assert generator._compiler.compiled


def test_training_does_not_change_the_global_random_state():
    import torch

    tokenizer = compiled_tokenizer(False)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    tokenizer.train_on_batch(clips(2))
    assert torch.equal(before, torch.get_rng_state())


def test_dropout_depends_on_seed_and_step_only():
    import torch

    def loss(seed, noise):
        keras.utils.set_random_seed(0)
        generator = tiny_generator(
            class_dropout=0.0, token_dropout=0.0, dropout=0.5, seed=seed
        )
        generator.head.kernel.assign(keras.random.normal((16, 32), seed=1))
        generator.compile(keras.optimizers.SGD(0.0))
        torch.manual_seed(noise)
        data = {
            "token_ids": np.zeros((2, 6), "int32"),
            "class_ids": np.zeros(2, "int32"),
        }
        return [float(generator.train_on_batch(data)[0]) for _ in range(2)]

    first, second = loss(0, noise=0)
    assert loss(0, noise=1) == [first, second]
    assert first != second
    assert loss(1, noise=0)[0] != first


def test_seed_states_stay_in_host_memory():
    from keras_larp.backend.seed_generator import SeedGenerator

    # Instead of an accelerator: tensors on "meta" have no values.
    with keras.device("meta"):
        generator = SeedGenerator(7)
        drawn = [generator.next() for _ in range(2)]
    np.testing.assert_array_equal(ops.stack(drawn), [[7, 0], [7, 1]])
