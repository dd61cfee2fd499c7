"""The cost model of `docs/scaling.md`, against real models and by hand."""

import dataclasses
import math
import pathlib

import keras
import numpy as np
import pytest

from benchmarks import scaling_model
from benchmarks.scaling_model import (
    Assumptions,
    Workload,
    all_reduce_seconds,
    efficiency,
    generator_forward_flops,
    generator_parameters,
    generator_workload,
    ring_bytes,
    run_hours,
    step_seconds,
    tokenizer_parameters,
)
from keras_larp import recipes

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "scaling.md"
TINY_TOKENIZER = {
    "num_frames": 4,
    "image_size": 16,
    "patch_size": (2, 4, 4),
    "decoder_patch_size": (2, 8, 8),
    "num_tokens": 16,
    "codebook_size": 64,
    "code_dim": 8,
    "hidden_dim": 32,
    "num_heads": 2,
    "encoder_num_layers": 2,
    "decoder_num_layers": 3,
    "prior": "gptc-tiny",
    "dtype": "float32",
    "epochs": 2,
    "warmup_epochs": 0.5,
    "discriminator_hidden_dim": 32,
    "discriminator_num_heads": 2,
    "discriminator_num_layers": 2,
    "perceptual_model": None,
}
TINY_GENERATOR = {
    "size": "llama-abs-tiny",
    "vocab_size": 40,
    "num_tokens": 6,
    "num_classes": 3,
    "dtype": "float32",
}
GENERATORS = {
    "class": recipes.larp_l_long_generator,
    "frames": recipes.larp_l_long_frame_prediction,
}
# A step of 4 clips takes 1 s, of which 0.2 s do not depend on the clips.
WORKLOAD = Workload(
    name="by hand",
    parameters=10**9,
    reduced_parameters=10**9,
    clip_flops=0.25e12,
    batch_size=16,
    epochs=5,
    reference=4,
)
ASSUMPTIONS = Assumptions(
    fixed_fraction=0.2,
    peak_teraflops=2.0,
    devices_per_machine=4,
    nvlink_gigabytes=100.0,
    nic_gbps=80.0,
    bandwidth_fraction=0.5,
)


@pytest.fixture
def half_of_peak(monkeypatch):
    monkeypatch.setattr(scaling_model, "measured_step", lambda _: (4, 0.5))


def count(variables):
    return sum(math.prod(v.shape) for v in variables)


@pytest.mark.once
def test_tokenizer_parameters_are_those_of_the_models():
    recipe = recipes.larp_l_long_tokenizer(10, **TINY_TOKENIZER)
    tokenizer = recipe.build()
    prior = count(tokenizer.prior.trainable_variables)
    discriminator = count(tokenizer.discriminator.trainable_variables)
    every = {id(v): v for v in tokenizer.trainable_variables}
    for variable in tokenizer.discriminator.trainable_variables:
        every.pop(id(variable), None)
    assert tokenizer_parameters(recipe) == {
        "tokenizer": count(every.values()) - prior,
        "prior": prior,
        "discriminator": discriminator,
    }


@pytest.mark.once
@pytest.mark.parametrize("conditioning", GENERATORS)
def test_generator_parameters_are_those_of_the_model(conditioning):
    recipe = GENERATORS[conditioning](10, **TINY_GENERATOR)
    generator = recipe.build()
    expected = count(generator.trainable_variables)
    assert generator_parameters(recipe) == expected


@pytest.mark.once
def test_sizes_of_the_paper():
    parameters = tokenizer_parameters(recipes.larp_l_long_tokenizer(10))
    assert round(parameters["tokenizer"] / 1e6) == 172
    assert round(parameters["prior"] / 1e6) == 22
    assert round(generator_workload("llama-abs-LP").parameters / 1e6) == 632
    # The size that LlamaGen, with 16,384 codes, calls 343M.
    recipe = recipes.larp_l_long_generator(
        10, size="llama-abs-L", vocab_size=16384
    )
    assert round(generator_parameters(recipe) / 1e6) == 343


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="needs PyTorch's counter"
)
@pytest.mark.parametrize("conditioning", GENERATORS)
def test_generator_flops_match_the_counter_of_pytorch(conditioning):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    recipe = GENERATORS[conditioning](10, **TINY_GENERATOR)
    generator = recipe.build()
    tokens = np.zeros((2, 6), "int32")
    condition = {
        "class_ids": np.zeros(2, "int32"),
        "condition_ids": np.zeros((2, 7), "int32"),
    }[generator.condition_name]
    inputs = {"token_ids": tokens, generator.condition_name: condition}
    # The math kernel consists of products that the counter knows.
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        generator(inputs)
    counted = counter.get_total_flops() / 2
    assert counted == pytest.approx(generator_forward_flops(recipe), rel=0.01)


@pytest.mark.once
def test_ring_sends_almost_twice_the_gradients():
    assert ring_bytes(1000, 1) == 0
    assert ring_bytes(1000, 2) == 1000
    assert ring_bytes(1000, 8) == 1750


@pytest.mark.once
def test_all_reduce_within_and_between_machines():
    # Within: 2 * 3/4 * 8 GB at half of 100 GB/s.
    assert all_reduce_seconds(8e9, 4, ASSUMPTIONS) == pytest.approx(0.24)
    # Between 2 machines: 2 * 1/2 * (8 GB / 4) at half of 10 GB/s.
    assert all_reduce_seconds(8e9, 8, ASSUMPTIONS) == pytest.approx(0.64)


@pytest.mark.once
def test_step_on_one_device_is_the_measured_one(half_of_peak):
    assert step_seconds(WORKLOAD, 1, 4, ASSUMPTIONS) == pytest.approx(1.0)
    assert step_seconds(WORKLOAD, 1, 2, ASSUMPTIONS) == pytest.approx(0.6)


@pytest.mark.once
def test_step_adds_the_visible_part_of_the_all_reduce(half_of_peak):
    # 4 GB of gradients in 0.12 s.
    assert step_seconds(WORKLOAD, 4, 4, ASSUMPTIONS) == pytest.approx(1.12)
    overlapped = dataclasses.replace(ASSUMPTIONS, overlap=0.75)
    assert step_seconds(WORKLOAD, 4, 4, overlapped) == pytest.approx(1.03)


@pytest.mark.once
def test_efficiency_is_relative_to_one_device(half_of_peak):
    assert efficiency(WORKLOAD, 1, 4, ASSUMPTIONS) == pytest.approx(1.0)
    # 2 clips in 0.6 + 0.12 s, instead of 4 clips per second.
    expected = 2 / 0.72 / 4
    assert efficiency(WORKLOAD, 4, 2, ASSUMPTIONS) == pytest.approx(expected)


@pytest.mark.once
def test_hours_of_a_run(half_of_peak):
    # 5 epochs of 6 complete batches of 16 clips, 4 on each of 4 devices.
    expected = 30 * 1.12 / 3600
    hours = run_hours(WORKLOAD, 4, 100, ASSUMPTIONS)
    assert hours == pytest.approx(expected)


@pytest.mark.once
def test_batches_that_cannot_be_split_are_omitted():
    assert list(scaling_model.clips_per_device(WORKLOAD, 8)) == [2, 4]
    assert list(scaling_model.clips_per_device(WORKLOAD, 4)) == [4]
    assert list(scaling_model.clips_per_device(WORKLOAD, 32)) == [4]


@pytest.mark.once
def test_flags_are_the_assumptions():
    assert scaling_model.parse([]) == Assumptions()
    parsed = scaling_model.parse(["--nic_gbps=100", "--backend=jax"])
    assert parsed == Assumptions(nic_gbps=100.0, backend="jax")


@pytest.mark.once
@pytest.mark.parametrize(
    "name", ["models", "steps", "networks", "input", "runs"]
)
def test_the_page_has_the_computed_table(name):
    assert scaling_model.tables(Assumptions())[name] in PAGE.read_text()
