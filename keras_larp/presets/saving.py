import json
import os
import pathlib

import keras

from keras_larp.backend.compat import flatten_layers
from keras_larp.presets.finite_weights import check_finite_weights
from keras_larp.presets.weight_dtypes import (
    WEIGHT_DTYPES,
    convert_matrices,
)
from keras_larp.utils.checks import (
    check_boolean,
    check_choice,
    check_instance,
    check_path,
)
from keras_larp.utils.files import atomic_folder, check_free_space
from keras_larp.utils.locks import lock_path
from keras_larp.version import __version__

_TRAINING_PARTS = ("training_state", "discriminator")


def save(
    model: keras.Model,
    folder: str | os.PathLike,
    weights_dtype: str = "float32",
    overwrite: bool = False,
) -> None:
    """Saves a model to a preset folder in the layout of KerasHub.

    The folder holds `config.json`, `metadata.json` and `model.weights.h5`. It
    is written atomically: it appears under its name once it is complete.
    Optimizer state and metrics are not saved.

    Args:
        model: A model of `keras_larp.models`.
        folder: Path of the new folder.
        weights_dtype: String, how matrices are stored. Models load them as
            float32 in every case. Defaults to `"float32"`. One of:

            - `"float32"`;
            - `"float16"`: half of the size, by rounding to 11 significant bits;
            - `"int8"`: about a quarter of the size, by rounding to 255 values
              per output channel. Narrow matrices, such as codebooks, and the
              first and last layers of tokenizers are stored as float16.

        overwrite: Boolean. Whether to replace an existing folder. Defaults to
            `False`.

    Raises:
        BlockingIOError: If another process is writing the folder.
        FileExistsError: If `folder` exists and `overwrite` is `False`.
        OSError: If the disk is full.
        ValueError: If `weights_dtype` is unknown, or a weight is not finite or
            out of its range.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    keras_larp.presets.save(tokenizer, "half", weights_dtype="float16")
    ```
    """
    check_instance("model", model, keras.Model)
    check_choice("weights_dtype", weights_dtype, WEIGHT_DTYPES)
    check_boolean("overwrite", overwrite)
    folder = check_path("folder", folder)
    check_finite_weights(model, "save")
    with lock_path(folder), atomic_folder(folder, overwrite) as temporary:
        check_free_space(temporary, model.weights)
        copy = _copy_without_training_state(model)
        config = {
            "module": "keras_larp.models",
            "class_name": type(model).__name__,
            "config": model.get_config(),
            "registered_name": f"keras_larp>{type(model).__name__}",
        }
        metadata = {
            "keras_version": keras.version(),
            "keras_larp_version": __version__,
            "parameter_count": copy.count_params(),
            "weights_dtype": weights_dtype,
        }
        _write_json(temporary / "config.json", config)
        _write_json(temporary / "metadata.json", metadata)
        file = temporary / "model.weights.h5"
        copy.save_weights(file)
        if weights_dtype != "float32":
            check_free_space(temporary, copy.weights)
            convert_matrices(file, weights_dtype)


def _copy_without_training_state(model):
    """Optimizer slots and metrics would outweigh the weights in the file."""
    copy = type(model).from_config(model.get_config())
    parts = [getattr(model, name, None) for name in _TRAINING_PARTS]
    excluded = {
        id(layer)
        for part in parts
        if part is not None
        for layer in flatten_layers(part)
    }
    layers = [x for x in flatten_layers(model) if id(x) not in excluded]
    for layer, target in zip(layers, flatten_layers(copy), strict=True):
        # Layers with LoRA save their weights with the adaptation applied.
        variables: dict = {}
        layer.save_own_variables(variables)
        target.load_own_variables(variables)
    return copy


def _write_json(file: pathlib.Path, content):
    file.write_text(json.dumps(content, indent=2) + "\n")
