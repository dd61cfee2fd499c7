import math

import keras
from keras import ops

from keras_larp.backend.clamp import clamp_min


@keras.saving.register_keras_serializable(package="keras_larp")
class CodeStatistics(keras.metrics.Metric):
    """How the codebook is used by all tokens seen since the last reset.

    Args:
        codebook_size: Integer, number of codes.

    Call arguments (of `update_state`):
        token_ids: int, any shape, ids in [0, codebook_size).

    Returns (of `result`):
        A dictionary of float32 scalars: `codebook_usage`, the share of codes
        that occurred, in [0, 1]; `perplexity`, exp of the entropy of the code
        frequencies, in [1, codebook_size]; `kl_from_uniform`, in nats.

    Example:

    ```python
    metric = keras_larp.metrics.CodeStatistics(codebook_size=128)
    metric.update_state(tokenizer.encode(video))
    metric.result()["perplexity"]
    ```
    """

    def __init__(self, codebook_size, name="codes", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.codebook_size = codebook_size
        self.counts = self.add_variable(
            shape=(codebook_size,), initializer="zeros", name="counts"
        )

    def update_state(self, token_ids):
        ids = ops.reshape(token_ids, (-1,))
        counts = ops.segment_sum(
            ops.ones_like(ids, dtype=self.counts.dtype),
            ids,
            num_segments=self.codebook_size,
        )
        self.counts.assign_add(counts)

    def result(self):
        counts = ops.convert_to_tensor(self.counts)
        shares = counts / clamp_min(ops.sum(counts), 1.0)
        entropy = -ops.sum(shares * ops.log(clamp_min(shares, 1e-30)))
        used = ops.cast(counts > 0, "float32")
        return {
            "codebook_usage": ops.mean(used),
            "perplexity": ops.exp(entropy),
            "kl_from_uniform": math.log(self.codebook_size) - entropy,
        }

    def get_config(self):
        return {
            "codebook_size": self.codebook_size,
            "name": self.name,
            "dtype": self.dtype,
        }
