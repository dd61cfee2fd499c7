import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_larp import metrics


def numpy(x):
    return ops.convert_to_numpy(x)


def test_psnr_of_a_known_error():
    video = np.zeros((2, 3, 4, 4, 3), "float32")
    received = numpy(metrics.psnr(video, video + [[[[[0.1]]]], [[[[0.01]]]]]))
    np.testing.assert_allclose(received, [20.0, 40.0], rtol=1e-4)


def test_psnr_metric_is_the_mean_over_all_clips():
    metric = metrics.PSNR()
    video = np.zeros((1, 2), "float32")
    metric.update_state(video, video + 0.1)
    metric.update_state(np.zeros((3, 2)), np.full((3, 2), 0.01))
    np.testing.assert_allclose(numpy(metric.result()), 35.0, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(ids=st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_code_statistics_match_counts(ids):
    metric = metrics.CodeStatistics(7)
    metric.update_state(np.array(ids))
    result = {k: float(numpy(v)) for k, v in metric.result().items()}
    frequencies = np.bincount(ids, minlength=7) / len(ids)
    used = frequencies[frequencies > 0]
    entropy = -(used * np.log(used)).sum()
    assert result["codebook_usage"] == pytest.approx(len(used) / 7, rel=1e-4)
    assert result["perplexity"] == pytest.approx(np.exp(entropy), rel=1e-4)
    expected = np.log(7) - entropy
    assert result["kl_from_uniform"] == pytest.approx(expected, abs=1e-4)


def test_code_statistics_accumulate_until_reset():
    metric = metrics.CodeStatistics(4)
    for ids in ([0, 0], [1, 2]):
        metric.update_state(np.array(ids))
    assert float(numpy(metric.result()["codebook_usage"])) == 0.75
    metric.reset_state()
    assert float(numpy(metric.result()["codebook_usage"])) == 0.0


@pytest.mark.parametrize(
    "metric", [metrics.PSNR(), metrics.CodeStatistics(4, name="mine")]
)
def test_config_round_trip(metric):
    twin = type(metric).from_config(metric.get_config())
    assert twin.name == metric.name
