"""LPIPS: golden distances, chunks, gradients, dtype policies and errors."""

import keras
import numpy as np
import pytest
from golden_case import assert_close, golden_video
from keras import ops
from tiny_models import gradient

from keras_larp import models, presets
from keras_larp.backend import compile_function
from keras_larp.models.lpips import _unit_length


def numpy(x):
    return ops.convert_to_numpy(x)


def frames(count=4, seed=0):
    shape = (count, 16, 16, 3)
    return np.random.default_rng(seed).random(shape, "float32")


def gradient_of(model, function, x):
    """The gradient. On JAX the function is compiled, which is faster."""
    if keras.backend.backend() == "jax":
        function = compile_function(model, function)
    return gradient(function, x)


@pytest.fixture(scope="module")
def lpips():
    return models.LPIPS(seed=0)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_golden_distances(golden_dir, tmp_path, chunk_size):
    from golden import golden_state_dict
    from safetensors.numpy import save_file

    file = tmp_path / "vgg16.safetensors"
    save_file(golden_state_dict(golden_dir / "lpips"), file)
    model = models.LPIPS.from_preset(file, chunk_size=chunk_size)
    case = np.load(golden_dir / "lpips/arrays.npz", allow_pickle=False)
    first = golden_video(case["video_shape"])
    second = golden_video(case["video_shape"], seed=float(case["second_seed"]))
    scale, shift = case["second_scale_and_shift"]
    second = scale * second + shift
    assert_close(model(first[0], second[0]), case["distance"])
    assert_close(model(first, second), [case["distance"].mean()])


def test_heads_match_version_01(golden_dir, lpips):
    case = np.load(golden_dir / "lpips/arrays.npz", allow_pickle=False)
    for i, head in enumerate(lpips.heads):
        np.testing.assert_array_equal(numpy(head), case[f"linear_{i}"])


def test_distance_of_a_clip_is_the_mean_over_its_frames(lpips):
    x, y = frames(), frames(seed=1)
    frame_distances = numpy(lpips(x, y))
    clip_distances = lpips(*(a.reshape(2, 2, 16, 16, 3) for a in (x, y)))
    assert_close(clip_distances, frame_distances.reshape(2, 2).mean(axis=1))


def test_equal_frames_have_distance_zero(lpips):
    received = numpy(lpips(frames(), frames()))
    np.testing.assert_allclose(received, 0.0, atol=1e-12)


def test_chunking_changes_neither_distances_nor_gradients():
    # Five frames in three chunks, the last of which is padded.
    chunked = models.LPIPS(seed=0, chunk_size=2)
    unchunked = models.LPIPS(seed=0, chunk_size=None)
    x, y = frames(5), frames(5, seed=1)
    assert_close(chunked(x, y), numpy(unchunked(x, y)))
    weights = ops.arange(1.0, 6.0)  # A different weight per frame.
    received, expected = (
        gradient_of(model, lambda y, m=model: ops.sum(weights * m(x, y)), y)
        for model in (chunked, unchunked)
    )
    assert_close(received, expected, 1e-3)
    assert (np.abs(expected).max(axis=(1, 2, 3)) > 0).all()


def test_gradient_step_reduces_the_distance(lpips):
    x, y = frames(), frames(seed=1)
    dy = gradient_of(lpips, lambda y: ops.sum(lpips(x, y)), y)
    before, norm = numpy(lpips(x, y)).sum(), np.linalg.norm(dy)
    after = numpy(lpips(x, y - 0.05 * dy / norm)).sum()
    assert after - before == pytest.approx(-0.05 * norm, rel=0.2)


def test_no_gradient_flows_to_the_videos(lpips):
    x, y = frames(), frames(seed=1)
    dx = gradient_of(
        lpips, lambda x: ops.sum(lpips(x, y) + 2.0 * ops.sum(x)), x
    )
    np.testing.assert_array_equal(dx, 4 * 2.0)


def test_zero_features_have_a_finite_gradient():
    x = np.zeros((1, 2, 2, 3), "float32")
    dx = gradient(lambda x: ops.sum(_unit_length(x)), x)
    assert np.isfinite(dx).all()


class Blur(keras.Model):
    """A model whose training loss is LPIPS."""

    def __init__(self, lpips, **kwargs):
        super().__init__(**kwargs)
        self.lpips = lpips
        self.pixels = keras.layers.Dense(3, dtype=self.dtype_policy)

    def call(self, video):
        return self.pixels(video)

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        return ops.mean(self.lpips(y, y_pred))


class Batches(keras.utils.PyDataset):
    """Two batches of clips, without a static batch size on TensorFlow."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        video = frames(seed=index).reshape(2, 2, 16, 16, 3)
        return video, video


def test_training_with_lpips_leaves_its_weights_frozen():
    policy = "mixed_bfloat16"
    lpips = models.LPIPS(seed=0, chunk_size=3, dtype=policy)
    lpips.trainable = True  # Set when the parent model is made trainable.
    model = Blur(lpips, dtype=policy)
    model.compile(keras.optimizers.Adam(1e-2))
    before = [numpy(w) for w in lpips.weights]
    history = model.fit(Batches(), epochs=2, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
    assert len(model.trainable_variables) == 2
    for old, new in zip(before, lpips.weights, strict=True):
        np.testing.assert_array_equal(old, numpy(new))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_close_to_float32(lpips, policy):
    half = models.LPIPS(seed=0, dtype=policy)
    x, y = frames(), frames(seed=1)
    received = half(x, y)
    assert keras.backend.standardize_dtype(received.dtype) == "float32"
    assert_close(received, numpy(lpips(x, y)), 2e-2)
    assert np.abs(numpy(received) - numpy(lpips(x, y))).max() > 0


def test_random_weights_are_equal_on_every_backend():
    kernel = numpy(models.LPIPS(seed=1).stages[0][0][0])
    expected = np.random.default_rng(1).standard_normal(kernel.shape, "float32")
    np.testing.assert_allclose(kernel, expected * (2 / 27) ** 0.5, rtol=1e-6)


def test_config_round_trip():
    model = models.LPIPS(chunk_size=7, seed=3, dtype="mixed_bfloat16")
    twin = models.LPIPS.from_config(model.get_config())
    assert (twin.chunk_size, twin.seed) == (7, 3)
    assert twin.dtype_policy.name == "mixed_bfloat16"


def test_weights_are_saved(lpips, tmp_path):
    x, y = frames(), frames(seed=1)
    expected = numpy(lpips(x, y))
    model = models.LPIPS()
    model.set_weights(lpips.get_weights())
    model.save(tmp_path / "lpips.keras")
    model.save_to_preset(tmp_path / "preset")
    loaded = keras.saving.load_model(tmp_path / "lpips.keras")
    assert_close(loaded(x, y), expected, 1e-6)
    assert_close(presets.load(tmp_path / "preset")(x, y), expected, 1e-6)


@pytest.mark.parametrize(
    "shape",
    [(16, 16, 3), (1, 2, 2, 16, 16, 3), (1, 16, 16, 1), (1, 3, 16, 16)]
    + [(1, 15, 16, 3), (1, 2, 16, 8, 3)],
)
def test_invalid_shapes_raise(lpips, shape):
    video = np.zeros(shape, "float32")
    with pytest.raises(ValueError, match=r"Expected clips .*Received: shape"):
        lpips(video, video)


def test_different_shapes_raise(lpips):
    with pytest.raises(ValueError, match=r"\(4, 16, 16, 3\) and \(1, 16, 16"):
        lpips(frames(), frames(1))


def test_integer_clips_raise(lpips):
    video = np.zeros((1, 16, 16, 3), "uint8")
    with pytest.raises(ValueError, match="uint8.*Divide 8-bit video by 255"):
        lpips(video, video)


def test_invalid_chunk_size_raises():
    with pytest.raises(ValueError, match="chunk_size=0"):
        models.LPIPS(chunk_size=0)
