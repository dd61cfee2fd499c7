import contextlib
import math
import os
import pathlib
import tempfile
import zipfile
from typing import Any

import keras

from keras_larp import models
from keras_larp.presets.converters.larp_config import is_larp_config
from keras_larp.presets.converters.larp_weights import load_larp_checkpoint
from keras_larp.presets.converters.vgg16 import is_vgg16_config, load_lpips
from keras_larp.presets.finite_weights import check_finite_weights
from keras_larp.presets.int8_matrices import (
    SCALE_SUFFIX,
    VALUES_SUFFIX,
    dequantized,
)
from keras_larp.presets.registry import resolve
from keras_larp.presets.size_checks import check_sizes, explain_config
from keras_larp.presets.weight_dtypes import WEIGHT_DTYPES
from keras_larp.utils.array_files import explain_damage, hdf5_shapes
from keras_larp.utils.checks import check_instance, check_path, shorten
from keras_larp.utils.differences import describe_mismatch
from keras_larp.utils.files import check_free_space
from keras_larp.utils.json_files import mapping, read_json, text
from keras_larp.utils.setting_names import to_current_names

_SCHEMA = {"class_name": text, "config": mapping}
_REMEDY = "Download or copy the preset again."
_KERAS_REMEDY = "Expected a complete `.keras` file; download or copy it again."
# Other errors, such as a lack of memory, are not those of the file.
_LOADING_ERRORS = (KeyError, OSError, ValueError)


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
        ValueError: If the preset is unknown, a file is damaged, or weights do
            not match the configuration. Sizes are compared before the model
            is built.
        ImportError: If the hub's library is not installed.
        ConnectionError: If the download fails.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    token_ids = tokenizer.encode(np.zeros((1, 16, 32, 32, 3), "float32"))
    token_ids.shape  # (1, 64)
    ```
    """
    check_path("preset", preset)
    if expected is not None:
        check_instance("expected", expected, type)
    if revision is not None:
        check_instance("revision", revision, str)
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
    with tempfile.TemporaryDirectory() as folder:
        with (
            explain_damage(file, _KERAS_REMEDY),
            zipfile.ZipFile(file) as archive,
        ):
            names = ("config.json", "model.weights.h5")
            size = sum(archive.getinfo(name).file_size for name in names)
            if size > os.path.getsize(file):
                raise ValueError(
                    f"its content takes {size:,} bytes: it is compressed, and "
                    "`.keras` files are not"
                )
            config, weights = (
                pathlib.Path(archive.extract(name, folder)) for name in names
            )
        # Errors must not name the temporary files.
        with _renamed(folder, f"{file}:"):
            config = _with_tuples(read_json(config, _SCHEMA, _KERAS_REMEDY))
            shapes = _read_shapes(weights)
            model = _build_model(file, config, overrides, shapes)
            with explain_damage(weights, _KERAS_REMEDY, _LOADING_ERRORS):
                model.load_weights(weights)
    return model


@contextlib.contextmanager
def _renamed(folder, name):
    """Context in which error messages have a name instead of a folder."""
    try:
        yield
    except ValueError as error:
        message = str(error).replace(os.path.join(folder, ""), name)
        raise ValueError(message) from error


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
    file = folder / "config.json"
    if not file.exists():
        raise ValueError(
            f"Expected a preset folder with a `config.json`. Received: {folder}"
        )
    config = read_json(file, {}, _REMEDY)
    if is_larp_config(config):
        return load_larp_checkpoint(folder, config, **overrides)
    if is_vgg16_config(config):
        return load_lpips(folder / "model.safetensors", **overrides)
    config = read_json(file, _SCHEMA, _REMEDY)
    _check_weights_dtype(folder / "metadata.json")
    weights = folder / "model.weights.h5"
    if not weights.exists():
        raise ValueError(
            "Expected a preset folder with a `model.weights.h5`. "
            f"Received: {folder}"
        )
    shapes = _read_shapes(weights)
    model = _build_model(file, config, overrides, shapes)
    _load_weights(model, weights, shapes)
    return model


def _check_weights_dtype(file):
    """Checks that this version can read the weights of a preset."""
    if not file.exists():
        return
    dtype = read_json(file, {}, _REMEDY).get("weights_dtype", "float32")
    if dtype not in WEIGHT_DTYPES:
        raise ValueError(
            f"`weights_dtype` must be one of {list(WEIGHT_DTYPES)}. "
            f"Received: weights_dtype={shorten(dtype)} in {file}. The preset "
            "may be from a newer version of keras-larp; install it."
        )


def _build_model(file, config, overrides, shapes):
    """Builds the model of a configuration.

    Args:
        file: Path of the configuration, for error messages.
        config: Dictionary.
        overrides: Dictionary of arguments that replace the configuration.
        shapes: Dictionary of the shapes of the stored weights.
    """
    classes = {name: getattr(models, name) for name in models.__all__}
    if config["class_name"] not in classes:
        raise ValueError(
            f"Expected a preset of one of: {', '.join(classes)}. "
            f"Received: {config['class_name']!r} in {file}"
        )
    model_class = classes[config["class_name"]]
    with explain_config(file):
        arguments = {**to_current_names(config["config"]), **overrides}
        num_stored = sum(map(math.prod, shapes.values()))
        check_sizes(model_class, arguments, num_stored, str(file))
        return model_class.from_config(arguments)


def _load_weights(model, file, stored):
    """Loads weights, or raises an error that lists all mismatches.

    Args:
        model: The model.
        file: Path of the HDF5 file.
        stored: Dictionary of the shapes of the weights in the file.
    """
    num_parameters = sum(math.prod(shape) for shape in stored.values())
    with dequantized(file, _REMEDY) as readable:
        try:
            # Keras ignores weights that are in the file but not in the model.
            if num_parameters != model.count_params():
                raise ValueError(
                    f"The file has {num_parameters} parameters, the model "
                    f"{model.count_params()}."
                )
            model.load_weights(readable)
        except _LOADING_ERRORS as error:
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
    return {
        name.removesuffix(VALUES_SUFFIX): shape
        for name, shape in hdf5_shapes(file, _REMEDY).items()
        if "seed" not in name and not name.endswith(SCALE_SUFFIX)
    }
