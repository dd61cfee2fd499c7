import hashlib
import json

import numpy as np
from keras import ops


def tokenizer_identity(tokenizer):
    """SHA-256 of a tokenizer's configuration and weights, as a string.

    The same on every backend, and whether it is compiled or not; the name of
    the model does not count, nor what only training needs.

    Args:
        tokenizer: A `LARPTokenizer`, or another model.

    Returns:
        String of 64 characters.
    """
    config = tokenizer.get_config()
    config = {name: config[name] for name in sorted(config) if name != "name"}
    text = json.dumps(config, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode())
    for weight in getattr(tokenizer, "model_weights", tokenizer.weights):
        weight = ops.convert_to_numpy(weight)
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
