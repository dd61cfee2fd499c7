import os
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_larp.evaluation.small_video_network import SmallVideoNetwork
from keras_larp.metrics.feature_extraction import extract_features
from keras_larp.models.i3d import MIN_FRAMES
from keras_larp.presets import TorchScriptI3D, load_i3d
from keras_larp.presets.converters import i3d, torchscript_i3d
from keras_larp.utils.checks import (
    check_callable,
    check_instance,
    check_integer,
    check_number,
)
from keras_larp.utils.downloads import fetch_file
from keras_larp.utils.fingerprints import file_sha256, model_fingerprint
from keras_larp.utils.input_checks import check_floating_point, check_unit_range


class FeatureExtractor:
    """Features of a Fréchet distance, and the names to report.

    Args:
        function: Callable from float32 clips of shape `(B, T, H, W, 3)` with
            values in [0, 1] to features of shape `(B, D)`.
        name: String. Identifies the extractor in reports, with a checksum of
            its weights.
        distance: String. Name of the distance in results. `"FVD"` is for
            pretrained I3D only. Defaults to `"frechet_distance"`.
        min_frames: Integer. Minimum number of frames per clip. Defaults to 1.

    Call arguments:
        videos: Float array of shape `(B, T, H, W, 3)` with values in [0, 1].

    Returns:
        float32 NumPy array of shape `(B, D)`.

    Raises:
        ValueError: If an argument is invalid; when called, if clips have
            another shape, dtype or range, or `function` returns another
            shape.

    Example:

    ```python
    extractor = keras_larp.evaluation.FeatureExtractor(
        lambda clips: clips.mean(axis=(1, 2, 3)), "mean colors"
    )
    extractor(np.zeros((4, 16, 32, 32, 3), "float32")).shape  # (4, 3)
    ```
    """

    def __init__(
        self,
        function: Callable,
        name: str,
        distance: str = "frechet_distance",
        min_frames: int = 1,
    ):
        self.function = check_callable("function", function)
        self.name = check_instance("name", name, str)
        self.distance = check_instance("distance", distance, str)
        self.min_frames = check_integer("min_frames", min_frames, 1)

    def check(self, num_frames: int) -> None:
        """Raises `ValueError` if clips of `num_frames` are too short."""
        if num_frames < self.min_frames:
            raise ValueError(
                f"{self.name.split()[0]} needs clips of at least "
                f"{self.min_frames} frames (FVD commonly uses 16). Received: "
                f"clips of {num_frames} frames"
            )

    def __call__(self, videos: Any) -> np.ndarray:
        check_floating_point(videos)
        if len(videos.shape) != 5 or videos.shape[-1] != 3:
            raise ValueError(
                "Expected clips of shape (batch, frames, height, width, 3). "
                f"Received: shape={tuple(videos.shape)}"
            )
        check_unit_range(videos, self.name)
        features = extract_features(self.function, self.name, videos)
        return features.astype("float32")


def i3d_features(
    source: str | os.PathLike,
    sha256: str | None = None,
    epsilon: float = 1e-5,
) -> FeatureExtractor:
    """Returns the feature extractor of the Fréchet Video Distance.

    Args:
        source: String or path. Path or URL of a state dict for
            `presets.load_i3d`, or of StyleGAN-V's TorchScript file for
            `presets.TorchScriptI3D`.
        sha256: String. Checksum of the file. Required for a URL.
        epsilon: Float. Epsilon of batch normalization; pass 1e-3 for
            `rgb_imagenet.pt`. The TorchScript file ignores it. Defaults to
            1e-5.

    Returns:
        A `FeatureExtractor` for a distance called `"FVD"`, whose name has the
        checksum of the file.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
            The message says where the supported files are available.
        ImportError: If the file needs PyTorch, which is not installed.
        ValueError: If the file has another checksum or format.

    Example:

    ```python
    extractor = keras_larp.evaluation.i3d_features("i3d_pretrained_400.pt")
    ```

    Reference:
        [Towards Accurate Generative Models of Video](
        https://arxiv.org/abs/1812.01717)
    """
    check_number("epsilon", epsilon, "(0, inf)")
    hint = torchscript_i3d.DOWNLOAD_HINT + i3d.DOWNLOAD_HINT
    path = fetch_file(source, sha256, hint)
    if _is_torchscript(path):
        options = {"sha256": sha256} if sha256 else {}
        network = TorchScriptI3D(path, **options)
        return FeatureExtractor(network, network.name, "FVD", MIN_FRAMES)
    network = load_i3d(path, epsilon=epsilon)
    name = f"I3D epsilon={epsilon:g} sha256:{file_sha256(path)}"
    return FeatureExtractor(network, name, "FVD", MIN_FRAMES)


def random_features() -> FeatureExtractor:
    """Returns the features of a small network with fixed random weights.

    They need no download, but their distances do not compare with FVD.

    Returns:
        A `FeatureExtractor` for a distance called
        `"random_frechet_distance"`.

    Example:

    ```python
    extractor = keras_larp.evaluation.random_features()
    extractor(np.zeros((2, 16, 32, 32, 3), "float32")).shape  # (2, 64)
    ```
    """
    network = SmallVideoNetwork()
    name = f"random_features sha256:{model_fingerprint(network)}"
    return FeatureExtractor(network, name, "random_frechet_distance")


def _is_torchscript(path):
    """Returns whether `torch.jit.save` wrote a file."""
    try:
        with zipfile.ZipFile(path) as file:
            return any("/code/" in name for name in file.namelist())
    # A damaged zip file raises many types of errors; `load_i3d` reports them.
    except Exception:
        return False
