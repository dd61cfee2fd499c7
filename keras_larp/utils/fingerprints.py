import hashlib
import json

import numpy as np
from keras import ops

from keras_larp.utils.setting_names import to_format_1_names


def model_fingerprint(model):
    """SHA-256 of a model's configuration and weights, as a string.

    The same on every backend, and whether it is compiled or not; the name of
    the model does not count, nor what only training needs.

    Args:
        model: A `LARPTokenizer`, or another Keras model.

    Returns:
        String of 64 characters.
    """
    config = to_format_1_names(model.get_config())
    config = {name: config[name] for name in sorted(config) if name != "name"}
    text = json.dumps(config, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode())
    for weight in getattr(model, "model_weights", model.weights):
        weight = ops.convert_to_numpy(weight)
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
