import keras
import pytest

from keras_larp import distribution


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="supported on JAX")
def test_model_parallel_needs_jax():
    with pytest.raises(NotImplementedError, match="KERAS_BACKEND=jax"):
        distribution.model_parallel(2)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="supported on PyTorch"
)
def test_sharded_optimizer_needs_torch():
    with pytest.raises(ValueError, match="model_parallel"):
        distribution.data_parallel(shard_optimizer=True)


@pytest.mark.parametrize("count", [0, 1.5, "2"])
def test_invalid_number_of_model_shards(count):
    with pytest.raises(ValueError, match="num_model_shards"):
        distribution.model_parallel(count)
