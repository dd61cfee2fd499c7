"""Metrics of a tokenizer's training step."""

import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_tokenizer

from keras_larp.training.step_outputs import StepOutputs
from keras_larp.training.tokenizer_metrics import codebook_usage


def test_codebook_usage_counts_each_code_of_a_row_once():
    ids = np.array([[3, 1, 3, 1], [2, 2, 2, 2], [0, 3, 1, 2]])
    found = ops.convert_to_numpy(codebook_usage(ops.array(ids), 8))
    np.testing.assert_allclose(found, [2 / 8, 1 / 8, 4 / 8])


def test_codebook_usage_is_measured_per_clip_and_per_batch():
    tokenizer = tiny_tokenizer()  # 32 codes
    tokenizer.compile()
    video = clips(2)
    tokenizer.update_metrics(
        StepOutputs(
            loss=ops.zeros(()),
            terms={},
            token_ids=ops.array([[0, 1, 0, 1, 0, 1], [1, 2, 3, 4, 5, 5]]),
            finite=ops.array(True),
            video=video,
            reconstruction=video,
        )
    )
    usage = {
        name: float(tokenizer.term_metrics[f"{name}_codebook_usage"].result())
        for name in ("clip", "batch")
    }
    np.testing.assert_allclose(usage["clip"], (2 + 5) / 2 / 32, rtol=1e-6)
    np.testing.assert_allclose(usage["batch"], 6 / 32, rtol=1e-6)


@pytest.mark.parametrize(
    ("added", "expected"),
    [(None, True), ("nan", False), ("inf", False), ("-inf", False)],
)
def test_all_finite_checks_every_value_of_every_dtype(added, expected):
    # The sum of the second tensor overflows float16.
    tensors = [ops.ones(()), ops.full((10,), 6e4, "float16"), None]
    if added is not None:
        tensors.append(ops.array([1.0, float(added), 2.0], "bfloat16"))
    assert bool(tiny_tokenizer().all_finite(tensors)) == expected
