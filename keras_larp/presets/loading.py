import json
import math
import os
import pathlib
import tempfile
import zipfile
from typing import Any

import h5py
import keras

from keras_larp import models
from keras_larp.presets.converters.larp_config import is_larp_config
from keras_larp.presets.converters.larp_weights import load_larp_checkpoint
from keras_larp.presets.converters.vgg16 import is_vgg16_config, load_lpips
from keras_larp.presets.finite_weights import check_finite_weights
from keras_larp.presets.registry import resolve
from keras_larp.utils.differences import describe_mismatch
from keras_larp.utils.files import check_free_space
from keras_larp.utils.setting_names import to_current_names


def load(
    preset: str | os.PathLike,
    expected: type[keras.Model] | None = None,
    revision: str | None = None,
    **kwargs: Any,
) -> keras.Model:
    """Loads a model from a preset.

    Weights are read from `safetensors` or HDF5 files, on every backend and
    without PyTorch. Nothing is unpickled.

    Args:
        preset: String or path. One of:

            - a name from `keras_larp.presets.list_presets()`;
            - a folder that `keras_larp.presets.save` wrote;
            - a folder of the reference implementation, with `config.json` and
              `model.safetensors`;
            - `"hf://owner/repository"` or `"kaggle://owner/model/..."`, a
              folder of either kind on a hub;
            - a `.keras` file;
            - for `LPIPS`, the VGG16 folder of timm, or a `.safetensors` file
              of VGG16 weights.
        expected: Optional class. Raises an error if the model is not an
            instance of it.
        revision: Optional string. Revision of a Hugging Face repository. The
            download honors the cache, token and offline mode that are
            configured for `huggingface_hub`.
        **kwargs: Arguments that override the configuration, such as
            `dtype="bfloat16"`.

    Returns:
        A model of `keras_larp.models`.

    Raises:
        ValueError: If the preset is unknown, or weights do not match the
            configuration.
        ImportError: If the hub's library is not installed.
        ConnectionError: If the download fails.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    token_ids = tokenizer.encode(np.zeros((1, 16, 32, 32, 3), "float32"))
    token_ids.shape  # (1, 64)
    ```
    """
    if str(preset).endswith(".safetensors"):
        model = load_lpips(preset, **kwargs)
    elif str(preset).endswith(".keras"):
        model = _load_keras_file(preset, kwargs)
    elif str(preset).endswith(".weights.h5"):
        raise ValueError(
            "A weight file has no configuration. Create the model and call "
            f"`model.load_weights`. Received: {preset}"
        )
    else:
        model = _load_folder(resolve(preset, revision), kwargs)
    check_finite_weights(model, "load")
    if expected is not None and not isinstance(model, expected):
        raise ValueError(
            f"Expected a preset of {expected.__name__}. "
            f"Received: {preset}, of {type(model).__name__}"
        )
    return model


def _load_keras_file(file, overrides):
    """Loads a model of this package. Unlike `keras.saving.load_model`, it
    imports no classes that the file names."""
    try:
        with (
            zipfile.ZipFile(file) as archive,
            tempfile.TemporaryDirectory() as folder,
        ):
            config = json.loads(archive.read("config.json"))
            model = _build_model(file, _with_tuples(config), overrides)
            model.load_weights(archive.extract("model.weights.h5", folder))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f"Expected a `.keras` file. Received: {file}, which has another "
            f"format or is incomplete ({error})."
        ) from error
    return model


def _with_tuples(config):
    """Converts the tuples in a configuration that Keras has serialized."""
    if isinstance(config, list):
        return [_with_tuples(item) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "__tuple__":
        return tuple(_with_tuples(item) for item in config["items"])
    return {key: _with_tuples(value) for key, value in config.items()}


def _load_folder(folder, overrides):
    config = _read_config(folder)
    if is_larp_config(config):
        return load_larp_checkpoint(folder, config, **overrides)
    if is_vgg16_config(config):
        return load_lpips(folder / "model.safetensors", **overrides)
    model = _build_model(folder, config, overrides)
    _load_weights(model, folder / "model.weights.h5")
    return model


def _read_config(folder):
    file = folder / "config.json"
    if not file.is_file():
        raise ValueError(
            f"Expected a preset folder with a `config.json`. Received: {folder}"
        )
    return json.loads(file.read_text())


def _build_model(folder, config, overrides):
    classes = {name: getattr(models, name) for name in models.__all__}
    if config.get("class_name") not in classes:
        raise ValueError(
            f"Expected a preset of one of: {', '.join(classes)}. "
            f"Received: {config.get('class_name')!r} in {folder}"
        )
    arguments = {**to_current_names(config["config"]), **overrides}
    return classes[config["class_name"]].from_config(arguments)


def _load_weights(model, file):
    """Loads weights, or raises an error that lists all mismatches."""
    if not file.is_file():
        raise ValueError(
            "Expected a preset folder with a `model.weights.h5`. "
            f"Received: {file.parent}"
        )
    stored = _read_shapes(file)
    num_parameters = sum(math.prod(shape) for shape in stored.values())
    try:
        # Keras ignores weights that are in the file but not in the model.
        if num_parameters != model.count_params():
            raise ValueError(
                f"The file has {num_parameters} parameters, the model "
                f"{model.count_params()}."
            )
        model.load_weights(file)
    except ValueError as error:
        problems = describe_mismatch(stored, _saved_shapes(model))
        raise ValueError(
            f"The weights of {file} do not match the model.\n"
            f"{problems or error}"
        ) from error


def _saved_shapes(model):
    """Shapes of the weights under their names in a file of this model."""
    with tempfile.TemporaryDirectory() as folder:
        check_free_space(folder, model.weights)
        file = pathlib.Path(folder) / "model.weights.h5"
        model.save_weights(file)
        return _read_shapes(file)


def _read_shapes(file):
    """Shapes of the weights in an HDF5 file, by name."""
    shapes = {}

    def visit(name, entry):
        if isinstance(entry, h5py.Dataset) and "seed" not in name:
            shapes[name.replace("/vars/", "/")] = entry.shape

    with h5py.File(file) as content:
        content.visititems(visit)
    return shapes
