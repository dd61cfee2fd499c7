import numpy as np
from keras import ops

from keras_larp.losses import token_cross_entropy


def numpy(x):
    return ops.convert_to_numpy(x)


def test_cross_entropy_and_accuracies_of_known_logits():
    logits = np.full((1, 3, 8), -30.0, "float32")
    logits[0, 0, 2] = logits[0, 1, 3] = 30.0
    logits[0, 2] = np.arange(8)
    loss, top1, top5 = token_cross_entropy(logits, np.array([[2, 3, 4]]))
    row = np.arange(8.0)
    expected = (np.log(np.exp(row).sum()) - 4.0) / 3
    np.testing.assert_allclose(numpy(loss), expected, rtol=1e-5)
    np.testing.assert_allclose(numpy(top1), 2 / 3, rtol=1e-5)
    np.testing.assert_allclose(numpy(top5), 1.0, rtol=1e-5)


def test_tied_logits_rank_by_token_id():
    ids = np.arange(8)[None]
    logits = np.zeros((1, 8, 8), "float32")
    loss, top1, top5 = token_cross_entropy(logits, ids)
    np.testing.assert_allclose(numpy(loss), np.log(8), rtol=1e-5)
    np.testing.assert_allclose(numpy(top1), 1 / 8, rtol=1e-5)
    np.testing.assert_allclose(numpy(top5), 5 / 8, rtol=1e-5)
