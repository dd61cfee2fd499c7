import numpy as np
import pytest
from keras import ops

from keras_larp.utils.batching import pad_batch


@pytest.mark.parametrize("convert", [np.asarray, ops.convert_to_tensor])
def test_the_last_item_pads_a_batch(convert):
    batch = convert([[1.0], [2.0]])
    padded = pad_batch(batch, 4)
    assert type(padded) is type(batch)
    assert ops.convert_to_numpy(padded)[:, 0].tolist() == [1, 2, 2, 2]
    assert pad_batch(batch, 2) is batch
