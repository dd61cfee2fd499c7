"""SSIM: golden numbers, properties and invalid inputs."""

import numpy as np
import pytest
from golden_case import assert_close, golden_video
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_larp import metrics


def numpy(x):
    return ops.convert_to_numpy(x)


def clips(shape=(2, 2, 16, 12, 3), seed=0):
    return np.random.default_rng(seed).random(shape, "float32")


def test_golden_similarities(golden_dir):
    case = np.load(golden_dir / "metrics/arrays.npz", allow_pickle=False)
    shape = case["video_shape"]
    first = golden_video(shape)
    noise = golden_video(shape, seed=float(case["noise_seed"]))
    second = np.clip(first + float(case["noise_weight"]) * noise, 0, 1)
    expected = case["ssim_per_frame"]
    frames = [x.reshape(-1, *shape[2:]) for x in (first, second)]
    assert_close(metrics.ssim(*frames), expected)
    per_clip = expected.reshape(shape[:2]).mean(axis=1)
    assert_close(metrics.ssim(first, second), per_clip)


def test_equal_clips_have_similarity_one():
    np.testing.assert_allclose(
        numpy(metrics.ssim(clips(), clips())), 1.0, rtol=1e-5
    )


def test_constant_frames_differ_in_luminance_only():
    x, y = (np.full((1, 11, 11, 3), v, "float32") for v in (0.2, 0.6))
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert_close(metrics.ssim(x, y), [expected])


@settings(max_examples=10, deadline=None)
@given(size=st.sampled_from([(11, 11), (11, 14)]), seed=st.integers(0, 1000))
def test_similarity_is_symmetric_and_at_most_one(size, seed):
    x, y = (clips((1, *size, 3), seed + i) for i in range(2))
    received = numpy(metrics.ssim(x, y))
    transposed = [np.swapaxes(a, 1, 2) for a in (x, y)]
    for pair in ((y, x), transposed):
        # `atol`, since the similarity of independent noise is close to 0.
        np.testing.assert_allclose(
            numpy(metrics.ssim(*pair)), received, rtol=1e-4, atol=1e-5
        )
    assert (np.abs(received) <= 1).all()


def test_metric_is_the_mean_over_all_clips():
    x, y = clips((3, 2, 12, 12, 3)), clips((3, 2, 12, 12, 3), seed=1)
    metric = metrics.SSIM()
    metric.update_state(x[:1], y[:1])
    metric.update_state(x[1:], y[1:])
    expected = numpy(metrics.ssim(x, y)).mean()
    assert_close(metric.result(), expected)
    twin = metrics.SSIM.from_config(metrics.SSIM(name="mine").get_config())
    assert twin.name == "mine"


@pytest.mark.parametrize(
    "shape", [(16, 16, 3), (1, 10, 16, 3), (1, 2, 16, 10, 3)]
)
def test_invalid_shapes_raise(shape):
    with pytest.raises(ValueError, match=r"11 or more. Received: shape"):
        metrics.ssim(np.zeros(shape, "float32"), np.zeros(shape, "float32"))


def test_different_shapes_raise():
    with pytest.raises(ValueError, match=r"Received: shapes \(2, 2, 16, 12"):
        metrics.ssim(clips(), clips()[:1])
