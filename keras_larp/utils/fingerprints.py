"""SHA-256 checksums of models, arrays and files."""

import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_larp.utils.checks import check_attribute
from keras_larp.utils.setting_names import to_format_1_names


def model_fingerprint(model: keras.Model) -> str:
    """Returns the SHA-256 checksum of a model's configuration and weights.

    It is equal on every backend, whether or not the model is compiled. The
    name of the model and the state of training do not count.

    Args:
        model: A `LARPTokenizer` or another Keras model.

    Returns:
        String of 64 hexadecimal digits.
    """
    check_attribute("model", model, "get_config", "keras.Model")
    config = to_format_1_names(model.get_config())
    config = {name: config[name] for name in sorted(config) if name != "name"}
    text = json.dumps(config, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode())
    _add_arrays(digest, getattr(model, "model_weights", model.weights))
    return digest.hexdigest()


def arrays_sha256(arrays: Iterable[Any]) -> str:
    """Returns the SHA-256 checksum of the bytes of arrays or tensors."""
    digest = hashlib.sha256()
    _add_arrays(digest, arrays)
    return digest.hexdigest()


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add_arrays(digest: Any, arrays: Iterable[Any]) -> None:
    for array in arrays:
        array = np.ascontiguousarray(ops.convert_to_numpy(array))
        digest.update(array.tobytes())
