"""Preset names and where their files are stored."""

import contextlib
import os
import pathlib

from keras_larp.utils.optional_imports import require
from keras_larp.utils.suggestions import did_you_mean

# Presets that ship with the package: one folder per family, with a model card.
_BUNDLED = pathlib.Path(__file__).with_name("bundled")
_SHAPES = _BUNDLED / "larp_tiny_moving_shapes"
_ATARI = _BUNDLED / "larp_small_atari"

_PRESETS = {
    # Checkpoints of the reference implementation; torchvision's VGG16.
    "larp_l_long_tokenizer": "hf://hywang66/LARP-L-long-tokenizer",
    "larp_l_long_generator": "hf://hywang66/LARP-L-long-AR",
    "larp_l_long_frame_prediction": "hf://hywang66/LARP-L-long-AR-FP",
    "lpips_vgg16": "hf://timm/vgg16.tv_in1k",
    # Bundled presets.
    "larp_tiny_moving_shapes_tokenizer": _SHAPES / "tokenizer",
    "larp_tiny_moving_shapes_generator": _SHAPES / "generator",
    "larp_tiny_moving_shapes_frame_prediction": _SHAPES / "frame_prediction",
    "larp_small_atari_tokenizer": _ATARI / "tokenizer",
    "larp_small_atari_generator": _ATARI / "generator",
}


def list_presets() -> list[str]:
    """Returns the sorted names of the presets that `load` knows.

    Example:

    ```python
    "larp_l_long_tokenizer" in keras_larp.presets.list_presets()  # True
    ```
    """
    return sorted(_PRESETS)


def resolve(
    preset: str | os.PathLike, revision: str | None = None
) -> pathlib.Path:
    """Returns the local folder of a preset, downloading it if necessary.

    Args:
        preset: Name of a preset, path of a folder, `"hf://..."` or
            `"kaggle://..."`. A folder takes precedence over a name.
        revision: Optional revision of a Hugging Face repository.

    Raises:
        ValueError: If there is neither a preset nor a folder of that name.
        ImportError: If the hub's library is not installed.
        ConnectionError: If the download fails.
    """
    preset = str(preset)
    if pathlib.Path(preset).is_dir():
        return pathlib.Path(preset)
    source = str(_PRESETS.get(preset, preset))
    if source.startswith("hf://"):
        hub = require("huggingface_hub", "hub")
        with _explain_failed_download(source):
            folder = hub.snapshot_download(
                source.removeprefix("hf://"),
                revision=revision,
                allow_patterns=["*.json", "*.safetensors", "*.h5"],
            )
        return pathlib.Path(folder)
    if source.startswith("kaggle://"):
        hub = require("kagglehub", "hub")
        with _explain_failed_download(source):
            folder = hub.model_download(source.removeprefix("kaggle://"))
        return pathlib.Path(folder)
    if preset in _PRESETS:
        return pathlib.Path(source)
    raise ValueError(
        f"No preset or folder is named {preset!r}."
        f"{did_you_mean(preset, list_presets())} Pass a folder, 'hf://...', "
        f"'kaggle://...' or one of the presets: {', '.join(list_presets())}."
    )


@contextlib.contextmanager
def _explain_failed_download(source):
    try:
        yield
    # The exception types depend on the library and its version.
    except Exception as error:
        raise ConnectionError(
            f"{source} could not be downloaded: {error} To load it without "
            "network access, pass a folder with the files of the repository."
        ) from error
