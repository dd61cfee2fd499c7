import zipfile

import keras
import numpy as np
from keras import ops

from keras_larp.data import model_fingerprint
from keras_larp.evaluation.small_video_network import SmallVideoNetwork
from keras_larp.models.i3d import MIN_FRAMES
from keras_larp.presets import TorchScriptI3D, load_i3d
from keras_larp.presets.converters.i3d import WHERE as WHERE_STATE_DICT
from keras_larp.presets.converters.torchscript_i3d import (
    WHERE as WHERE_TORCHSCRIPT,
)
from keras_larp.presets.weight_files import fetch_file, file_sha256


class FeatureExtractor:
    """What computes the features of a Fréchet distance, and its names.

    Args:
        function: Callable from float32 clips `(B, T, H, W, 3)` in [0, 1] to
            features `(B, D)`.
        name: String for reports that tells it from all others, with a
            checksum of its weights.
        distance: String, what distances of its features are called. "FVD" is
            for the trained I3D alone.
        min_frames: Integer, the least T.

    Example:

    ```python
    extractor = keras_larp.evaluation.FeatureExtractor(
        lambda clips: clips.mean(axis=(1, 2, 3)), "mean colours"
    )
    extractor(np.zeros((4, 16, 32, 32, 3), "float32")).shape  # (4, 3)
    ```
    """

    def __init__(
        self, function, name, distance="frechet_distance", min_frames=1
    ):
        self.function = function
        self.name = name
        self.distance = distance
        self.min_frames = min_frames

    def check(self, num_frames):
        """Raises `ValueError` where clips are too short."""
        if num_frames < self.min_frames:
            raise ValueError(
                f"{self.name.split()[0]} needs clips of at least "
                f"{self.min_frames} frames (FVD commonly has 16). Received: "
                f"clips of {num_frames} frames"
            )

    def __call__(self, videos):
        """float32 NumPy features `(B, D)` of clips."""
        if isinstance(self.function, keras.Model):
            # Compiled, and without gradients.
            features = self.function.predict_on_batch(videos)
        else:
            features = self.function(videos)
        features = np.asarray(ops.convert_to_numpy(features), "float32")
        if features.ndim != 2 or len(features) != len(videos):
            raise ValueError(
                f"Expected features (batch, features) from {self.name}. "
                f"Received: shape={features.shape} of {len(videos)} clips"
            )
        return features


def i3d_features(source, sha256=None, epsilon=1e-5):
    """The extractor of the Fréchet Video Distance, from a file of weights.

    Args:
        source: Path or URL of a state dict, which `presets.load_i3d` reads,
            or of StyleGAN-V's TorchScript file, which
            `presets.TorchScriptI3D` runs.
        sha256: String, the file's checksum; required with a URL.
        epsilon: Float, of batch normalization; 1e-3 with `rgb_imagenet.pt`.
            TorchScript has its own.

    Returns:
        A `FeatureExtractor` whose distance is called "FVD" and whose name has
        the file's checksum.

    Raises:
        FileNotFoundError: where the file is not there or cannot be
            downloaded; says where to get each of the three.
        ImportError, ValueError: as these two.
    """
    path = fetch_file(source, sha256, WHERE_TORCHSCRIPT + WHERE_STATE_DICT)
    if _is_torchscript(path):
        options = {"sha256": sha256} if sha256 else {}
        i3d = TorchScriptI3D(path, **options)
        return FeatureExtractor(i3d, i3d.extractor, "FVD", MIN_FRAMES)
    i3d = load_i3d(path, epsilon=epsilon)
    name = f"I3D epsilon={epsilon:g} sha256:{file_sha256(path)}"
    return FeatureExtractor(i3d, name, "FVD", MIN_FRAMES)


def random_features():
    """A small network with random weights, always the same; for trials.

    Returns:
        A `FeatureExtractor`, of a distance that compares with no FVD.
    """
    network = SmallVideoNetwork()
    name = f"random_features sha256:{model_fingerprint(network)}"
    return FeatureExtractor(network, name, "random_frechet_distance")


def _is_torchscript(path):
    """Whether a file holds a program, as `torch.jit.save` writes it."""
    try:
        with zipfile.ZipFile(path) as file:
            return any("/code/" in name for name in file.namelist())
    except zipfile.BadZipFile:
        return False  # `load_i3d` says what is wrong.
