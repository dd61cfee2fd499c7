"""Fréchet distances and feature statistics."""

import keras
import numpy as np
import pytest
from accelerator_tensor import AcceleratorTensor
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_larp import metrics
from keras_larp.metrics import FeatureStatistics, frechet_distance


def statistics_of(features, extractor=""):
    statistics = FeatureStatistics(extractor)
    statistics.update(features)
    return statistics


def random_features(count, size, seed=0):
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(size, size))
    return generator.normal(size=(count, size)) @ mixing + 3.0


def mean_pixel(videos):
    """Feature extractor: the mean color of each clip, `(B, 3)`."""
    return ops.mean(ops.convert_to_tensor(videos), axis=(1, 2, 3))


def colored_clips(count=5, seed=0):
    generator = np.random.default_rng(seed)
    return generator.random((count, 2, 4, 4, 3), dtype="float32")


def assert_equal_statistics(first, second):
    assert first.count == second.count
    for name in ("sum", "sum_of_products"):
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(
    "count, name", [(None, "distance"), (16, "distance_first_16")]
)
def test_golden_distance(golden_dir, count, name):
    case = np.load(golden_dir / "frechet_distance/arrays.npz")
    generated = statistics_of(case["generated"][:count])
    received = frechet_distance(statistics_of(case["real"]), generated)
    assert received == pytest.approx(float(case[name]), rel=1e-5)


def test_distance_of_independent_features_has_a_closed_form():
    # All combinations of +1 and -1: zero mean, identity covariance.
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    shift, scale = np.array([1, 2, 0, 0.5]), np.array([1, 3, 0.5, 0])
    received = frechet_distance(
        statistics_of(signs), statistics_of(signs * scale + shift)
    )
    expected = np.sum(shift**2) + np.sum((scale - 1) ** 2)
    assert received == pytest.approx(expected, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 40), size=st.integers(1, 30))
def test_distance_of_a_set_to_itself_is_zero(count, size):
    features = statistics_of(random_features(count, size))
    scale = np.trace(features.mean_and_covariance()[1])
    assert 0 <= frechet_distance(features, features) <= 1e-9 * scale


@settings(max_examples=25, deadline=None)
@given(
    counts=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    size=st.integers(1, 30),
)
def test_distance_is_symmetric_and_increases_with_a_shift(counts, size):
    first = random_features(counts[0], size, seed=1)
    second = random_features(counts[1], size, seed=2)
    second += first.mean(0) - second.mean(0)
    near = frechet_distance(statistics_of(first), statistics_of(second))
    back = frechet_distance(statistics_of(second), statistics_of(first))
    far = frechet_distance(statistics_of(first), statistics_of(second + 2.0))
    assert near == pytest.approx(back, rel=1e-6, abs=1e-6)
    assert far == pytest.approx(near + 4.0 * size, rel=1e-6, abs=1e-6)


def test_distance_of_constant_features():
    first, second = np.zeros((3, 2)), np.ones((4, 2))
    received = frechet_distance(statistics_of(first), statistics_of(second))
    assert received == pytest.approx(2.0)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 30), max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_statistics_of_subsets_add_up_in_any_order(count, cuts, order):
    features = random_features(count, 5)
    expected = statistics_of(features)
    bounds = sorted({0, count, *(c for c in cuts if c < count)})
    parts = [
        features[start:end]
        for start, end in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    order.shuffle(parts)
    total, streamed = FeatureStatistics(), FeatureStatistics()
    for part in parts:
        total = total + statistics_of(part)
        streamed.update(part)
    assert_equal_statistics(total, expected)
    assert_equal_statistics(streamed, expected)


def test_adding_statistics_of_different_lambdas_raises():
    first = metrics.FrechetVideoDistance(lambda clips: clips.mean((1, 2, 3)))
    second = metrics.FrechetVideoDistance(lambda clips: clips.max((1, 2, 3)))
    for distance in (first, second):
        distance.update_real(colored_clips())
    with pytest.raises(ValueError, match="same extractor.*<lambda> in frechet"):
        first.real + second.real


def test_adding_does_not_change_the_operands():
    first = statistics_of(np.ones((2, 3)))
    total = first + statistics_of(np.ones((4, 3)))
    total.update(np.ones((1, 3)))
    assert (first.count, total.count) == (2, 7)
    np.testing.assert_array_equal(first.sum, [2, 2, 2])


def test_sums_are_more_precise_than_float32():
    statistics = FeatureStatistics()
    for _ in range(3):
        statistics.update(np.full((1, 1), 2.0**24, "float32"))
        statistics.update(np.ones((1, 1), "float32"))
    assert statistics.sum[0] == 3 * 2**24 + 3


def test_statistics_are_saved_and_loaded(tmp_path):
    statistics = statistics_of(random_features(7, 4), "features v1")
    statistics.save(tmp_path / "folder/part.npz")
    loaded = FeatureStatistics.load(tmp_path / "folder/part.npz")
    assert loaded.extractor == "features v1"
    assert loaded.count == 7
    np.testing.assert_array_equal(loaded.sum, statistics.sum)
    np.testing.assert_array_equal(
        loaded.sum_of_products, statistics.sum_of_products
    )
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["part.npz"]


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    statistics = statistics_of(random_features(7, 4))
    statistics.save(tmp_path / "part.npz")
    before = (tmp_path / "part.npz").read_bytes()

    def full_disk(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space"):
        statistics.save(tmp_path / "part.npz")
    assert (tmp_path / "part.npz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "content",
    ["text", "truncated", "pickle", "other arrays", "mismatch"],
)
def test_loading_an_invalid_file_raises(tmp_path, content):
    file = tmp_path / "part.npz"
    if content == "text":
        file.write_text("<html>not found</html>")
    elif content == "pickle":
        np.savez(file, extractor=np.array([object()]), count=2)
    elif content == "other arrays":
        np.savez(file, mu=np.zeros(3), sigma=np.eye(3))
    elif content == "mismatch":
        arrays = {"sum": np.zeros(3), "sum_of_products": np.eye(2)}
        np.savez(file, extractor=np.array(""), count=2, **arrays)
    else:
        statistics_of(random_features(7, 4)).save(file)
        file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match="`FeatureStatistics.save` wrote"):
        FeatureStatistics.load(file)


def test_loading_a_missing_file_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match="part.npz"):
        FeatureStatistics.load(tmp_path / "part.npz")


def test_saving_statistics_without_samples_raises(tmp_path):
    with pytest.raises(ValueError, match="no samples"):
        FeatureStatistics().save(tmp_path / "part.npz")


@pytest.mark.parametrize("combine", [frechet_distance, lambda a, b: a + b])
def test_combining_mismatched_statistics_raises(combine):
    features = random_features(4, 3)
    with pytest.raises(ValueError, match="'I3D' and 'other'"):
        combine(
            statistics_of(features, "I3D"), statistics_of(features, "other")
        )
    with pytest.raises(ValueError, match="Received: 3 and 2"):
        combine(statistics_of(features), statistics_of(features[:, :2]))


@pytest.mark.parametrize(
    "features, message",
    [
        (np.ones(3), r"shape=\(3,\)"),
        (np.ones((2, 4)), "Expected 3 features"),
        (np.array([[1, 1, 1], [1, np.nan, 1]]), "1 of 2 samples.*index 1"),
        (np.full((2, 3), np.inf), "2 of 2 samples"),
    ],
)
def test_invalid_features_raise_and_are_not_added(features, message):
    statistics = statistics_of(np.ones((5, 3)))
    with pytest.raises(ValueError, match=message):
        statistics.update(features)
    assert_equal_statistics(statistics, statistics_of(np.ones((5, 3))))


def test_metric_is_the_distance_between_features():
    metric = metrics.FrechetVideoDistance(mean_pixel)
    real, generated = colored_clips(5, seed=1), 0.5 * colored_clips(7, seed=2)
    metric.update_real(real[:2])
    metric.update_state(real[2:], generated[:4])
    metric.update_generated(generated[4:])
    expected = frechet_distance(
        statistics_of(real.astype("float64").mean((1, 2, 3))),
        statistics_of(generated.astype("float64").mean((1, 2, 3))),
    )
    assert isinstance(metric.result(), float)
    assert metric.result() == pytest.approx(expected, rel=1e-4)


def test_metric_merges_statistics_of_several_processes(tmp_path):
    real, generated = colored_clips(6, seed=1), colored_clips(6, seed=2)
    expected = metrics.FrechetVideoDistance(mean_pixel)
    expected.update_state(real, generated)
    merged = metrics.FrechetVideoDistance(mean_pixel)
    merged.update_real(real)
    for i in (1, 0):
        part = metrics.FrechetVideoDistance(mean_pixel)
        part.update_generated(generated[3 * i : 3 * i + 3])
        part.generated.save(tmp_path / f"{i}.npz")
        merged.generated += FeatureStatistics.load(tmp_path / f"{i}.npz")
    assert merged.result() == pytest.approx(expected.result(), rel=1e-6)


def test_reset_removes_all_clips():
    metric = metrics.FrechetVideoDistance(mean_pixel)
    metric.update_state(colored_clips(), colored_clips())
    metric.reset_state()
    assert (metric.real.count, metric.generated.count) == (0, 0)


def test_too_few_clips_raise():
    metric = metrics.FrechetVideoDistance(mean_pixel)
    metric.update_state(colored_clips(2), colored_clips(1))
    with pytest.raises(ValueError, match="2 generated clips. Received: 1"):
        metric.result()


def test_extractor_must_return_one_vector_per_clip():
    metric = metrics.FrechetVideoDistance(lambda videos: videos)
    with pytest.raises(ValueError, match=r"\(batch, features\).*Received"):
        metric.update_real(colored_clips())


def test_extractor_must_be_callable():
    with pytest.raises(ValueError, match="callable"):
        metrics.FrechetVideoDistance("i3d")


def small_model():
    return keras.Sequential(
        [
            keras.Input((2, 4, 4, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )


def test_keras_models_are_identified_by_their_weights():
    first, second = small_model(), small_model()
    second.set_weights(first.get_weights())
    names = [
        metrics.FrechetVideoDistance(model).extractor_name
        for model in (first, second, small_model())
    ]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("Sequential sha256:")


def test_keras_model_as_extractor():
    model = small_model()
    metric = metrics.FrechetVideoDistance(model)
    metric.update_real(colored_clips())
    features = ops.convert_to_numpy(model(colored_clips()))
    np.testing.assert_allclose(metric.real.sum, features.sum(0), rtol=1e-4)


def test_extractor_name_defaults_to_the_function_name():
    unnamed = metrics.FrechetVideoDistance(mean_pixel)
    assert unnamed.extractor_name == "mean_pixel"
    named = metrics.FrechetVideoDistance(mean_pixel, extractor_name="colors 2")
    assert named.extractor_name == "colors 2"
    named.update_real(colored_clips())
    assert named.real.extractor == "colors 2"


@pytest.mark.once
def test_features_may_be_a_tensor():
    features = random_features(5, 3)
    tensor = AcceleratorTensor(features)
    assert_equal_statistics(statistics_of(tensor), statistics_of(features))
