"""The I3D network: golden logits, resizing, saving, invalid clips."""

import keras
import numpy as np
import pytest
from golden_case import assert_close, golden_video
from keras import ops

from keras_larp import models, presets


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def i3d():
    return models.I3D()


def test_golden_logits(golden_dir, tmp_path):
    import golden
    from safetensors.numpy import save_file

    file = tmp_path / "i3d.safetensors"
    save_file(golden.golden_state_dict(golden_dir / "i3d"), file)
    case = np.load(golden_dir / "i3d/arrays.npz")
    model = presets.load_i3d(file)
    logits = model.predict_on_batch(golden_video(case["video_shape"]))
    assert logits.dtype == "float32"
    assert_close(logits, case["logits"])


def test_minimum_number_of_frames_of_any_size(i3d):
    video = np.random.default_rng(0).random((1, 9, 20, 30, 3), "float32")
    logits = i3d.predict_on_batch(video)
    assert logits.shape == (1, 400)
    assert np.isfinite(logits).all() and logits.std() > 0.1


def test_network_is_frozen(i3d):
    assert i3d.trainable_variables == []
    assert i3d.count_params() == 12711824


def test_computes_in_float32_under_a_mixed_precision_policy():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.I3D()
    finally:
        keras.config.set_dtype_policy(policy)
    units = {u.convolution.compute_dtype for u in model.units.values()}
    assert units | {model.head.compute_dtype} == {"float32"}


def test_config_round_trip():
    model = models.I3D(epsilon=1e-3, name="mine")
    twin = models.I3D.from_config(model.get_config())
    assert twin.name == "mine"
    for unit in twin.units.values():
        assert unit.normalization.epsilon == 1e-3


def test_weights_are_saved(i3d, tmp_path):
    bias = np.arange(400, dtype="float32")
    kernel = i3d.units["Mixed_4c.b1b"].convolution.kernel
    source = models.I3D()
    source.head.bias.assign(bias)
    source.units["Mixed_4c.b1b"].convolution.kernel.assign(2.0 * kernel)
    source.save(tmp_path / "i3d.keras")
    model = keras.saving.load_model(tmp_path / "i3d.keras")
    np.testing.assert_array_equal(numpy(model.head.bias), bias)
    np.testing.assert_array_equal(
        numpy(model.units["Mixed_4c.b1b"].convolution.kernel),
        2.0 * numpy(kernel),
    )


@pytest.mark.parametrize(
    "shape, dtype, message",
    [
        ((1, 8, 4, 4, 3), "float32", "at least 9 frames.*Received: 8 frames"),
        ((9, 4, 4, 3), "float32", r"\(batch, frames, height, width, 3\)"),
        ((1, 9, 4, 4, 1), "float32", r"shape=\(1, 9, 4, 4, 1\)"),
        ((1, 3, 9, 4, 4), "float32", r"shape=\(1, 3, 9, 4, 4\)"),
        ((1, 9, 4, 4, 3), "uint8", "dtype=uint8. Divide 8-bit video by 255"),
    ],
)
def test_invalid_clips_raise(i3d, shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        i3d(np.zeros(shape, dtype))
