"""Compiled functions follow layers that are quantized, adapted or replaced."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp.backend import compat


def numpy(x):
    return ops.convert_to_numpy(x)


def randomize(variables, scale=0.3):
    random = np.random.default_rng(2)
    for variable in variables:
        value = scale * random.standard_normal(variable.shape, "float32")
        variable.assign(value)


def random_generator():
    model = tiny_generator()
    randomize(model.trainable_variables)
    return model


def forget_compiled_functions(model):
    model._compiled_functions.state = None, {}


def add_lora(layer):
    layer.enable_lora(2)
    randomize([layer.lora_kernel_a, layer.lora_kernel_b], 2.0)


def add_embedding_lora(layer):
    layer.enable_lora(2)
    randomize([layer.lora_embeddings_a, layer.lora_embeddings_b], 2.0)


def set_coarse_dtype(layer):
    layer.dtype_policy = "mixed_bfloat16"


def swap_head(model):
    head = keras.layers.Dense(model.vocab_size, use_bias=False, name="other")
    head.build((None, None, model.hidden_dim))
    randomize([head.kernel])
    compat.replace_attributes(model, {"head": head})


GENERATOR_CHANGES = {
    "lora": lambda model: add_lora(model.blocks[0].mlp_in),
    "head_lora": lambda model: add_lora(model.head),
    "embedding_lora": lambda model: add_embedding_lora(model.token_embedding),
    "int8": lambda model: model.quantize("int8"),
    "int8_head": lambda model: model.head.quantize("int8"),
    "dtype": lambda model: set_coarse_dtype(model.blocks[0].qkv),
    "replaced": swap_head,
}


@pytest.mark.parametrize("change", GENERATOR_CHANGES)
def test_generate_uses_changed_layers(change):
    model, labels = random_generator(), np.array([0, 2])
    model.generate(labels, temperature=0)
    GENERATOR_CHANGES[change](model)
    ids = model.generate(labels, temperature=0)
    logits = numpy(model({"token_ids": ids, "class_ids": labels}))
    if "int8" not in change:
        np.testing.assert_array_equal(numpy(ids), logits.argmax(-1))
    forget_compiled_functions(model)
    expected = model.generate(labels, temperature=0)
    np.testing.assert_array_equal(numpy(ids), numpy(expected))


@pytest.mark.parametrize(
    "change", [add_lora, set_coarse_dtype, lambda layer: layer.quantize("int8")]
)
def test_encode_and_decode_use_changed_layers(change):
    model = tiny_tokenizer(prior=None)
    randomize(model.trainable_variables)
    ids = numpy(model.encode(clips()))
    model.decode(ids)
    for layer in (model.to_code, model.from_code):
        change(layer)
    received = numpy(model.encode(clips())), numpy(model.decode(ids))
    forget_compiled_functions(model)
    expected = numpy(model.encode(clips())), numpy(model.decode(ids))
    np.testing.assert_array_equal(received[0], expected[0])
    np.testing.assert_array_equal(received[1], expected[1])


def test_predict_uses_changed_layers():
    model = tiny_tokenizer(prior=None)
    model.predict(clips(), verbose=0)
    randomize(model.trainable_variables)
    add_lora(model.from_code)
    expected = numpy(model(ops.convert_to_tensor(clips())))
    np.testing.assert_allclose(
        model.predict(clips(), verbose=0), expected, atol=1e-4
    )


def test_assigned_weights_compile_nothing_again(tmp_path):
    model = random_generator()
    model.generate([0], seed=0)
    functions = model._compiled_functions.state[1]
    assert len(functions) == 1
    model.save_weights(tmp_path / "model.weights.h5")
    randomize(model.trainable_variables)
    model.load_weights(tmp_path / "model.weights.h5")
    model.generate([1], seed=1)
    assert model._compiled_functions.state[1] is functions
