import keras
import pytest
from absl import flags

from keras_larp import distribution
from keras_larp.cli import distribution_flags


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


@pytest.mark.parametrize("kind", ["none", "model_parallel"])
def test_flag_of_sharded_optimizers_needs_data_parallel(kind):
    values = flags.FlagValues()
    distribution_flags.define(values)
    values(["command", "--shard_optimizer", f"--distribution={kind}"])
    with pytest.raises(ValueError, match=f"Received: --distribution={kind}"):
        distribution_flags.start(values)


@pytest.mark.parametrize("count", [0, 1.5, "2"])
def test_invalid_number_of_model_shards(count):
    with pytest.raises(ValueError, match="num_model_shards"):
        distribution.model_parallel(count)
