"""Tensors on any device and of any dtype become NumPy arrays."""

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_larp.utils.arrays import to_numpy

VALUES = [[0.0, 0.5], [1.0, 0.25]]  # exact in bfloat16


def test_arrays_are_not_copied():
    array = np.array(VALUES)
    assert to_numpy(array) is array


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_backend_tensors_and_variables(dtype):
    tensor = keras.ops.convert_to_tensor(VALUES, dtype)
    for x in (
        tensor,
        keras.Variable(tensor, dtype=dtype),
        [tensor[0], tensor[1]],
    ):
        array = to_numpy(x)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, VALUES)


def test_integers_keep_their_dtype():
    tensor = keras.ops.convert_to_tensor([1, 255], "uint8")
    assert to_numpy(tensor).dtype == np.uint8


def test_bfloat16_arrays_become_float32():
    array = np.array(VALUES, ml_dtypes.bfloat16)
    assert to_numpy(array).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_torch_tensors_that_require_gradients(dtype):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(
        VALUES, dtype=getattr(torch, dtype), requires_grad=True
    )
    array = to_numpy(tensor * 1)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, VALUES)
