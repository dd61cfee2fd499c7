"""Statistics in files that are damaged."""

import numpy as np
import pytest
from damaged_files import assert_reads_or_names, damaged_bytes, quick
from hypothesis import given
from hypothesis import strategies as st

from keras_larp.metrics import FeatureStatistics

pytestmark = pytest.mark.once


def arrays(**changes):
    features = np.random.default_rng(0).normal(size=(10, 3))
    return {
        "extractor": np.array("features"),
        "count": np.int64(10),
        "sum": features.sum(axis=0),
        "sum_of_products": features.T @ features,
        **changes,
    }


def changed(name, index, value):
    array = arrays()[name].copy()
    array[index] = value
    return {name: array}


def test_valid_statistics_load(tmp_path):
    np.savez(tmp_path / "x.npz", **arrays())
    assert FeatureStatistics.load(tmp_path / "x.npz").count == 10


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"count": np.int64(-10)}, "`count` is -10"),
        ({"count": np.int64(0)}, "`count` is 0"),
        ({"count": np.float64(9.5)}, "`count` has .* float64"),
        ({"count": np.array([10])}, "`count` has shape"),
        ({"extractor": np.array(1)}, "`extractor` has"),
        ({"sum": np.array(["a"])}, "`sum` has"),
        ({"sum": np.zeros(0)}, "shapes"),
        ({"sum_of_products": np.eye(4)}, "shapes of its arrays"),
        ({"sum_of_products": np.ones((3, 4))}, "shapes of its arrays"),
        (changed("sum", 1, np.nan), "`sum` has values that are not finite"),
        (changed("sum_of_products", (1, 2), np.inf), "not finite"),
        (changed("sum_of_products", (0, 1), 50.0), "not symmetric"),
        (changed("sum_of_products", (0, 0), -1.0), "variances are negative"),
        (changed("sum", 0, 1e6), "variances are negative"),
    ],
)
def test_numbers_that_are_no_statistics_are_refused(changes, message, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays(**changes))
    with pytest.raises(ValueError, match=f"x.npz.*{message}"):
        FeatureStatistics.load(tmp_path / "x.npz")


def test_missing_arrays_are_named(tmp_path):
    content = arrays()
    del content["sum"]
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(ValueError, match="x.npz.*`sum` is missing"):
        FeatureStatistics.load(tmp_path / "x.npz")


def test_statistics_that_inflate_are_refused_by_their_shape(
    tmp_path, monkeypatch
):
    size = 3000
    np.savez_compressed(
        tmp_path / "x.npz",
        **arrays(sum=np.zeros(size), sum_of_products=np.zeros((size, size))),
    )
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(ValueError, match="x.npz.*72,0.* bytes.*compressed"):
        FeatureStatistics.load(tmp_path / "x.npz")


@quick
@given(st.data())
def test_damaged_statistics_raise_clear_errors(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("statistics") / "x.npz"
    np.savez(path, **arrays())
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    assert_reads_or_names(lambda: FeatureStatistics.load(path), path)
