"""Presets whose matrices are stored as int8."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from damaged_files import assert_reads_or_names, damaged_bytes, quick
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp import presets
from keras_larp.presets.int8_matrices import quantize

MATRIX = "encoder/blocks/transformer_block/mlp_in/vars/0"
LOADED = """
import hashlib, sys
from keras import ops
from keras_larp import presets
digest = hashlib.sha256()
for weight in presets.load(sys.argv[1]).weights:
    digest.update(ops.convert_to_numpy(weight).tobytes())
print(digest.hexdigest())
"""


def numpy(x):
    return ops.convert_to_numpy(x)


def small_tokenizer():
    """A tokenizer with matrices that are wide enough for int8."""
    model = tiny_tokenizer(hidden_dim=64, num_tokens=64)
    random = np.random.default_rng(0)
    for weight in model.trainable_variables:
        # Output channels of different magnitudes.
        size = random.uniform(0.01, 1, weight.shape[-1:])
        weight.assign(size * random.standard_normal(weight.shape))
    return model


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "int8"
    presets.save(tokenizer, folder, "int8")
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(saved, tmp_path / "preset")


def open_weights(folder, mode="r"):
    return h5py.File(folder / "model.weights.h5", mode)


def dtypes(folder):
    """Dtypes of the stored matrices, by name."""
    found = {}

    def visit(name, entry):
        if isinstance(entry, h5py.Dataset) and entry.ndim > 1:
            found[name] = entry.dtype.name

    with open_weights(folder) as content:
        content.visititems(visit)
    return found


def test_errors_are_at_most_half_of_the_scale_of_a_channel():
    random = np.random.default_rng(0)
    matrix = random.standard_normal((3, 50, 7)).astype("float32")
    matrix *= np.float32(10) ** np.arange(-3, 4)
    values, scale = quantize(matrix)
    assert values.dtype == "int8" and scale.dtype == "float32"
    np.testing.assert_allclose(
        scale, np.abs(matrix).max(axis=(0, 1)) / 127, rtol=1e-6
    )
    error = np.abs(values * scale - matrix).max(axis=(0, 1))
    assert (error <= 0.50001 * scale).all()


@pytest.mark.once
def test_extreme_matrices_are_rounded():
    for matrix in (
        np.zeros((2, 3), "float32"),
        np.full((2, 3), 1e-45, "float32"),
        np.full((2, 3), -3.4e38, "float32"),
    ):
        values, scale = quantize(matrix)
        assert (scale > 0).all() and np.isfinite(scale).all()
        np.testing.assert_allclose(values * scale, matrix, 1e-6, 1e-44)


def test_wide_matrices_are_int8_and_sensitive_ones_are_float16(saved):
    stored = dtypes(saved)
    assert set(stored.values()) == {"int8", "float16"}
    assert stored[f"{MATRIX}_int8"] == "int8"
    for name in (
        "decoder/pixels/vars/0",
        "encoder/queries/vars/0",
        "from_code/vars/0",
        "layers/dense/vars/0",
        "layers/vector_quantizer/vars/0",
    ):
        assert stored[name] == "float16"


def test_weights_are_loaded_as_float32(tokenizer, saved):
    loaded = presets.load(saved)
    for old, new in zip(tokenizer.weights, loaded.weights, strict=True):
        assert old.dtype == new.dtype
        old, new = numpy(old), numpy(new)
        if old.ndim < 2:
            np.testing.assert_array_equal(new, old)
        else:
            largest = np.abs(old).max(axis=0)
            assert (np.abs(new - old).max(axis=0) <= largest / 253).all()
            assert not np.array_equal(old, new)


def test_int8_halves_the_size_of_float16(tmp_path):
    model = tiny_generator(hidden_dim=256, mlp_dim=512)
    sizes = []
    for dtype in ("float16", "int8"):
        presets.save(model, tmp_path / dtype, dtype)
        path = tmp_path / dtype / "model.weights.h5"
        sizes.append(path.stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]


def test_saving_is_deterministic(tokenizer, saved, tmp_path):
    presets.save(tokenizer, tmp_path / "again", "int8")
    with open_weights(saved) as old, open_weights(tmp_path / "again") as new:
        for name in dtypes(saved):
            np.testing.assert_array_equal(old[name][()], new[name][()])


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_loaded_weights_are_equal_on_every_backend(saved, backend):
    pytest.importorskip(backend)
    if backend == keras.backend.backend():
        pytest.skip("It is compared with the others.")
    digest = hashlib.sha256()
    for weight in presets.load(saved).weights:
        digest.update(numpy(weight).tobytes())
    result = subprocess.run(
        [sys.executable, "-c", LOADED, str(saved)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == digest.hexdigest(), result.stderr


def test_quantized_layers_are_stored_as_they_are(tmp_path):
    model = small_tokenizer()
    model.quantize("int8")
    presets.save(model, tmp_path / "preset", "int8")
    assert dtypes(tmp_path / "preset")[MATRIX] == "int8"
    old, new = (
        x.encoder.blocks[0].mlp_in
        for x in (model, presets.load(tmp_path / "preset"))
    )
    assert new.dtype_policy.quantization_mode == "int8"
    for a, b in zip(old.weights, new.weights, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(numpy(a), numpy(b))


def test_loaded_models_train_and_are_saved_in_any_dtype(saved, tmp_path):
    model = presets.load(saved)
    presets.save(model, tmp_path / "float32")
    for old, new in zip(
        model.weights, presets.load(tmp_path / "float32").weights, strict=True
    ):
        np.testing.assert_array_equal(numpy(old), numpy(new))
    model.compile("adam")
    model.fit(clips(), batch_size=4, verbose=0)


def replace(folder, name, value):
    with open_weights(folder, "r+") as content:
        del content[name]
        if value is not None:
            content[name] = value


@pytest.mark.once
@pytest.mark.parametrize(
    "suffix, value, message",
    [
        ("_scale", None, "mlp_in/vars/0_scale is missing"),
        ("_int8", None, "mlp_in/vars/0_int8 is missing"),
        ("_scale", np.ones(3, "float32"), r"shape \(256,\).*shape \(3,\)"),
        ("_scale", np.ones(256, "float64"), "dtype float64"),
        ("_scale", np.full(256, np.nan, "float32"), "0_scale.*not positive"),
        ("_scale", np.full(256, np.inf, "float32"), "0_scale.*not positive"),
        ("_scale", np.zeros(256, "float32"), "0_scale.*not positive"),
        ("_scale", -np.ones(256, "float32"), "0_scale.*not positive"),
        ("_int8", np.ones((64, 256), "float32"), "no int8 matrix"),
        ("_int8", np.ones((64, 255), "int8"), r"0_scale.*shape \(255,\)"),
    ],
)
def test_damaged_matrices_are_named(folder, suffix, value, message):
    replace(folder, MATRIX + suffix, value)
    with pytest.raises(ValueError, match=message) as error:
        presets.load(folder)
    assert f"{folder / 'model.weights.h5'} cannot be read" in str(error.value)


@pytest.mark.once
def test_mismatched_shapes_are_named(folder):
    replace(folder, f"{MATRIX}_int8", np.ones((64, 128), "int8"))
    replace(folder, f"{MATRIX}_scale", np.ones(128, "float32"))
    with pytest.raises(ValueError, match=r"mlp_in/0 has shape \(64, 128\)"):
        presets.load(folder)


@pytest.mark.once
@quick
@given(st.data())
def test_damaged_files_raise_clear_errors(saved, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged") / "preset"
    shutil.copytree(saved, folder)
    path = folder / "model.weights.h5"
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    assert_reads_or_names(lambda: presets.load(folder), folder, "not finite")


@pytest.mark.once
def test_unknown_dtypes_of_newer_versions_are_refused(folder):
    path = folder / "metadata.json"
    metadata = json.loads(path.read_text())
    assert metadata["weights_dtype"] == "int8"
    path.write_text(json.dumps({**metadata, "weights_dtype": "int4"}))
    with pytest.raises(ValueError, match="weights_dtype=.int4.*newer version"):
        presets.load(folder)
    path.unlink()  # Folders of other programs may have no metadata.
    presets.load(folder)


@pytest.mark.once
def test_keras_refuses_int8_matrices(folder, tokenizer):
    # It would otherwise take unscaled values for weights.
    with pytest.raises(ValueError, match="expected .* variables"):
        tokenizer.load_weights(folder / "model.weights.h5")
