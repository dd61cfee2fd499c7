"""Quantized and adapted layers survive saving."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp import presets

INPUTS = {
    "token_ids": np.array([[1, 5, 0, 31, 2, 2]]),
    "class_ids": np.array([2]),
}


def numpy(x):
    return ops.convert_to_numpy(x)


def randomize(variables):
    random = np.random.default_rng(0)
    for variable in variables:
        variable.assign(0.3 * random.standard_normal(variable.shape))


def make_tokenizer():
    """A tokenizer, a function of its outputs, and layers to change."""
    model = tiny_tokenizer()
    randomize(model.trainable_variables)
    video, ids = ops.convert_to_tensor(clips()), INPUTS["token_ids"]

    def outputs(model):
        return numpy(model(video)), numpy(model.decode(ids))

    return model, outputs, [model.to_code, model.decoder.blocks[0].mlp_in]


def make_generator():
    """A generator, a function of its outputs, and layers to change."""
    model = tiny_generator()
    randomize(model.trainable_variables)

    def outputs(model):
        return (numpy(model(INPUTS)),)

    return model, outputs, [model.head, model.blocks[0].mlp_in]


def add_lora(model, layers):
    for layer in layers:
        layer.enable_lora(2)
        randomize([layer.lora_kernel_a, layer.lora_kernel_b])


def set_dtype(model, layers):
    for layer in layers:
        layer.dtype_policy = "mixed_bfloat16"


def quantize_weights_only(model, layers):
    config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    model.quantize(config=config)


CHANGES = {
    "int8": lambda model, layers: model.quantize("int8"),
    "int8_weights": quantize_weights_only,
    "int4": lambda model, layers: model.quantize("int4"),
    "lora": add_lora,
    "dtype": set_dtype,
}


@pytest.mark.parametrize("make", [make_tokenizer, make_generator])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_layers_survive_saving(tmp_path, make, change):
    model, outputs, layers = make()
    before = outputs(model)
    CHANGES[change](model, layers)
    expected = outputs(model)
    assert not np.array_equal(before[-1], expected[-1])
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for source in ("preset", "model.keras"):
        received = outputs(presets.load(tmp_path / source))
        for a, b in zip(received, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_adapted_model_loads_after_training(tmp_path):
    model, outputs, layers = make_generator()
    add_lora(model, layers)
    model.compile("adam")
    model.fit(INPUTS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        outputs(loaded), outputs(model), rtol=1e-4, atol=1e-4
    )
    loaded.fit(INPUTS, verbose=0)


def test_unknown_layer_in_the_config_raises():
    config = tiny_generator().get_config()
    entry = {"dtype": "float16", "quantization_config": None}
    config["layer_dtypes"] = {"blocks/7/qkv": entry}
    with pytest.raises(ValueError, match="Received: 'blocks/7/qkv'"):
        type(tiny_generator()).from_config(config)


@pytest.mark.once
def test_quantization_config_names_no_foreign_classes():
    model = tiny_generator()
    model.quantize("int8")
    config = model.get_config()
    for options in config["layer_dtypes"].values():
        options["quantization_config"]["activation_quantizer"] = {
            "module": "subprocess",
            "class_name": "Popen",
            "config": {"args": ["true"]},
            "registered_name": None,
        }
    with pytest.raises(ValueError, match="Received: subprocess.Popen"):
        type(model).from_config(config)
