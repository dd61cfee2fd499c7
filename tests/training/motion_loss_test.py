"""The weight of moving pixels in the pixel loss."""

import math

import numpy as np
import pytest
from keras import ops
from tiny_models import clips, gradient, tiny_tokenizer

from keras_larp import recipes
from keras_larp.training.tokenizer_losses import motion_weights


def numpy(x):
    return ops.convert_to_numpy(x)


def partly_moving(batch_size=1):
    """Gray clips, of which the left quarter brightens in the last frame."""
    video = np.full((batch_size, 4, 16, 16, 3), 0.5, "float32")
    video[:, 3, :, :4] = 0.9
    return video  # 1 / 16 of all pixels moves


def pixel_loss(video, reconstruction, weight, kind="l1", sample_weight=None):
    model = tiny_tokenizer(prior=None)
    model.compile(pixel_loss=kind, motion_loss_weight=weight)
    zero = ops.zeros(())
    codes = dict.fromkeys(("loss", "commitment_loss", "codebook_loss"), zero)
    codes["sample_weight"] = sample_weight
    pair = (ops.convert_to_tensor(x) for x in (video, reconstruction))
    return model.loss_terms(*pair, codes)["pixel_loss"]


def test_moving_pixels_weigh_more_and_the_mean_weight_is_one():
    video = partly_moving(2)
    video[1] = 0.5  # Still: its weights stay 1.
    weights = numpy(motion_weights(ops.convert_to_tensor(video), 7.0))
    mean = (15 * 1 + 8) / 16
    expected = np.full((2, 4, 16, 16, 1), 1 / mean)
    expected[0, 3, :, :4] = 8 / mean
    expected[1] = 1.0
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


@pytest.mark.parametrize("kind, error", [("l1", 0.2), ("l2", 0.04)])
def test_errors_of_moving_pixels_count_more(kind, error):
    video = partly_moving()
    moving = np.zeros_like(video)
    moving[:, 3, :, :4] = 0.2
    still = np.zeros_like(video)
    still[:, 2, :, :4] = 0.2
    for errors, weight in ((moving, 8), (still, 1)):
        received = pixel_loss(video, video + errors, 7.0, kind)
        expected = error / 16 * weight / (23 / 16)
        assert float(received) == pytest.approx(expected, rel=1e-4)


def test_equal_errors_have_the_loss_of_equal_weights():
    video = partly_moving()
    received = pixel_loss(video, video - 0.25, 7.0)
    assert float(received) == pytest.approx(0.25, rel=1e-5)


def test_weight_of_zero_is_the_plain_loss():
    video = clips()
    reconstruction = clips()[::-1].copy()
    received = float(pixel_loss(video, reconstruction, 0.0))
    error = ops.abs(ops.convert_to_tensor(reconstruction - video))
    assert received == float(ops.mean(error))
    assert received != float(pixel_loss(video, reconstruction, 2.0))


def test_gradient_is_larger_at_moving_pixels():
    video = partly_moving()

    def loss(reconstruction):
        return pixel_loss(video, reconstruction, 3.0)

    received = gradient(loss, video + np.float32(0.1))
    ratio = received[:, 3, :, :4] / received[:, 3, :, 4:8]
    np.testing.assert_allclose(ratio, 4.0, rtol=1e-5)


def test_sample_weights_multiply_the_weighted_loss():
    video = partly_moving(2)
    video[1] = 0.5
    scale = ops.convert_to_tensor(np.array([2.0, 0.0], "float32"))
    error = np.zeros_like(video)
    error[:, 3, :, :4] = 0.2
    received = pixel_loss(video, video + error, 7.0, sample_weight=scale)
    expected = 2 * (0.2 / 16 * 8 / (23 / 16)) / 2
    assert float(received) == pytest.approx(expected, rel=1e-4)


def test_moving_psnr_is_logged_in_training_and_validation():
    model = tiny_tokenizer(prior=None)
    model.compile("adam", motion_loss_weight=2.0)
    video = partly_moving(4)
    still = np.full_like(video, 0.5)
    history = model.fit(
        video, validation_data=(still,), batch_size=2, verbose=0
    ).history
    assert 0 < history["moving_psnr"][0] < 40
    assert math.isnan(history["val_moving_psnr"][0])
    results = model.evaluate(video, verbose=0, return_dict=True)
    difference = numpy(model(video))[:, 3, :, :4] - 0.9
    expected = -10 * np.log10((difference**2).mean(axis=(1, 2, 3))).mean()
    assert results["moving_psnr"] == pytest.approx(expected, rel=1e-3)


def test_setting_reaches_the_model_and_its_configuration():
    recipe = recipes.small_data_tokenizer(
        1, motion_loss_weight=3.0, hidden_dim=16, num_heads=2
    )
    tokenizer = recipe.build()
    assert tokenizer.motion_loss_weight == 3.0
    twin = tiny_tokenizer()
    twin.compile_from_config(tokenizer.get_compile_config())
    assert twin.motion_loss_weight == 3.0


@pytest.mark.parametrize("value", [-1.0, float("nan"), "3"])
def test_invalid_weights_are_rejected(value):
    with pytest.raises(ValueError, match="`motion_loss_weight` must be a fini"):
        tiny_tokenizer().compile(motion_loss_weight=value)


def test_single_frames_have_no_moving_psnr():
    model = tiny_tokenizer(num_frames=2, patch_size=(1, 8, 8))
    model.compile()
    names = [metric.name for metric in model.metrics]
    assert "moving_psnr" in names
    image = tiny_tokenizer(num_frames=1, patch_size=(1, 8, 8))
    image.compile()
    assert "moving_psnr" not in [metric.name for metric in image.metrics]
