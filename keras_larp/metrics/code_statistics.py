import math

import keras
from keras import ops

from keras_larp.backend.clamp import clamp_min
from keras_larp.utils.checks import check_integer
from keras_larp.utils.input_checks import check_id_range, check_tensor


def count_codes(token_ids, codebook_size, token_mask=None):
    """How often each code occurs among token ids of any shape.

    Args:
        token_ids: Integer tensor `(...)`.
        codebook_size: Integer.
        token_mask: float32 tensor `(...)` of 0 and 1. Tokens that count.
            Defaults to `None`, all of them.

    Returns:
        float32 `(codebook_size,)`.
    """
    ids = ops.reshape(token_ids, (-1,))
    if token_mask is None:
        counts = ops.ones_like(ids, dtype="float32")
    else:
        counts = ops.reshape(token_mask, (-1,))
    return ops.segment_sum(counts, ids, num_segments=codebook_size)


@keras.saving.register_keras_serializable(package="keras_larp")
class CodeStatistics(keras.metrics.Metric):
    """Codebook usage, perplexity and KL divergence of token frequencies.

    Accumulates the frequency of each code over all tokens since the last
    reset.

    Args:
        codebook_size: Integer. Number of codes.
        name: String. Defaults to `"codes"`.
        dtype: Data type of the counts. Defaults to `"float32"`.

    Call arguments (of `update_state`):
        token_ids: Integer tensor of any shape, in [0, codebook_size).

    Returns (of `result`):
        Dictionary of float32 scalars: `codebook_usage`, the fraction of codes
        that occurred, in [0, 1]; `perplexity`, the exponential of the entropy
        of the code frequencies, in [1, codebook_size]; and `kl_from_uniform`,
        the KL divergence from the uniform distribution in nats.

    Example:

    ```python
    metric = keras_larp.metrics.CodeStatistics(codebook_size=4)
    metric.update_state(keras.ops.array([[0, 1], [1, 1]]))
    metric.result()["codebook_usage"]  # 0.5
    ```
    """

    def __init__(self, codebook_size, name="codes", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.codebook_size = check_integer("codebook_size", codebook_size, 2)
        self.counts = self.add_variable(
            shape=(codebook_size,), initializer="zeros", name="counts"
        )

    def update_state(self, token_ids, token_mask=None):
        check_tensor("token_ids", token_ids, (...,), "int")
        check_id_range(
            token_ids, "token ids", self.codebook_size, "CodeStatistics"
        )
        if token_mask is not None:
            check_tensor("token_mask", token_mask, tuple(token_ids.shape))
        self.counts.assign_add(
            count_codes(token_ids, self.codebook_size, token_mask)
        )

    def result(self):
        counts = ops.convert_to_tensor(self.counts)  # (K,)
        frequencies = counts / clamp_min(ops.sum(counts), 1.0)
        entropy = -ops.sum(frequencies * ops.log(clamp_min(frequencies, 1e-30)))
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
