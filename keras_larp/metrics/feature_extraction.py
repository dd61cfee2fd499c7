"""Features of clips, and the names of feature extractors."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.fingerprints import arrays_sha256


def extract_features(
    feature_extractor: Callable, name: str, videos: Any
) -> np.ndarray:
    """Computes the features of a batch of clips.

    Args:
        feature_extractor: Callable from clips to features of shape `(B, D)`.
            A Keras model runs compiled, in inference mode.
        name: String. Name of the extractor, for error messages.
        videos: Clips of shape `(B, ...)`.

    Returns:
        NumPy array of shape `(B, D)`.

    Raises:
        ValueError: If the features have another shape.
    """
    if isinstance(feature_extractor, keras.Model):
        # Compiled, and without gradients.
        features = feature_extractor.predict_on_batch(videos)
    else:
        features = feature_extractor(videos)
    features = to_numpy(features)  # Also PyTorch tensors on other backends.
    if features.ndim != 2 or len(features) != len(videos):
        raise ValueError(
            "Expected features of shape (batch, features) from the extractor "
            f"{name}. Received: shape={features.shape} for clips of shape "
            f"{tuple(videos.shape)}"
        )
    return features


def describe_extractor(feature_extractor: Callable) -> str:
    """Returns a string that identifies a feature extractor.

    It is the class and a checksum of the weights for a Keras model, and
    otherwise the extractor's `name` attribute or qualified name. A lambda is
    identified by its file and line.
    """
    if isinstance(feature_extractor, keras.Model):
        checksum = arrays_sha256(feature_extractor.weights)
        return f"{type(feature_extractor).__name__} sha256:{checksum}"
    if hasattr(feature_extractor, "name"):
        return str(feature_extractor.name)
    name = getattr(feature_extractor, "__qualname__", None)
    if name is not None and name.endswith("<lambda>"):
        code = feature_extractor.__code__
        file = pathlib.PurePath(code.co_filename).name
        return f"{name} in {file}, line {code.co_firstlineno}"
    return name or type(feature_extractor).__qualname__
