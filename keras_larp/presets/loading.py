import contextlib
import difflib
import importlib
import json
import math
import pathlib
import shutil
import tempfile

import h5py
import keras

from keras_larp import models
from keras_larp.presets.converters.larp_config import (
    build_from_larp_config,
    is_larp_config,
)
from keras_larp.presets.converters.larp_weights import (
    describe_mismatch,
    load_larp_state,
)
from keras_larp.presets.converters.vgg16 import is_vgg16_config, load_lpips
from keras_larp.presets.half_precision import WEIGHT_DTYPES, round_weights
from keras_larp.presets.registry import address, list_presets
from keras_larp.utils.setting_names import to_current_names
from keras_larp.version import __version__


def load(preset, expected=None, revision=None, **kwargs):
    """Loads a model from a preset.

    Nothing that is loaded is unpickled: weights are read from `safetensors`
    or HDF5 files, on every backend, without PyTorch.

    Args:
        preset: A name of `keras_larp.presets.list_presets()`, a folder,
            `"hf://owner/repository"` or `"kaggle://owner/model/..."`. A
            folder is laid out as `save` leaves it, or as the authors'
            checkpoints are: `config.json` and `model.safetensors`. For
            `LPIPS` also timm's folder of VGG16, and a `.safetensors` file of
            VGG16's weights.
        expected: Optional class that the model must be of.
        revision: Optional revision of a Hugging Face repository. Cache,
            token and offline mode are those of the hub's own library.
        **kwargs: Arguments that override the configuration, such as
            `dtype="bfloat16"`.

    Returns:
        A model of `keras_larp.models`.

    Raises:
        ValueError: for an unknown name, and for weights that do not fit.
        ImportError: where a hub's library is not installed.
        ConnectionError: where the hub does not give the preset.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_l_long_tokenizer")
    ```
    """
    if str(preset).endswith(".safetensors"):
        model = load_lpips(preset, **kwargs)
    else:
        model = _load_folder(_folder(str(preset), revision), kwargs)
    if expected is not None and not isinstance(model, expected):
        raise ValueError(
            f"Expected a preset of {expected.__name__}. "
            f"Received: {preset}, of {type(model).__name__}"
        )
    return model


def _load_folder(folder, overrides):
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise ValueError(
            f"A preset folder holds a `config.json`. Received: {folder}"
        )
    config = json.loads(config_file.read_text())
    if is_larp_config(config):
        return _load_authors(folder, config, overrides)
    if is_vgg16_config(config):
        return load_lpips(folder / "model.safetensors", **overrides)
    return _load_own(folder, config, overrides)


def save(model, folder, weights_dtype="float32"):
    """Saves a model to a preset folder, in KerasHub's layout.

    The folder is written under another name beside its place and renamed
    when it is whole.

    Args:
        model: `LARPTokenizer` or `ARVideoGenerator`.
        folder: Path that does not exist yet.
        weights_dtype: `"float32"`, or `"float16"` for a file of half the size
            whose matrices are rounded to 11 bits; they are loaded as float32.

    Raises:
        FileExistsError: where `folder` exists.
        ValueError: for another dtype, and for weights beyond its range.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_l_long_tokenizer")
    keras_larp.presets.save(tokenizer, "half", weights_dtype="float16")
    ```
    """
    if weights_dtype not in WEIGHT_DTYPES:
        raise ValueError(
            f"Weights are stored as one of {', '.join(WEIGHT_DTYPES)}. "
            f"Received: weights_dtype={weights_dtype!r}"
        )
    folder = pathlib.Path(folder)
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists. Remove it or choose another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent)
    part = pathlib.Path(part)
    part.chmod(0o755)
    try:
        # Without the state of training, which is larger than the weights.
        plain = type(model).from_config(model.get_config())
        weights = getattr(model, "model_weights", model.weights)
        plain.set_weights([keras.ops.convert_to_numpy(w) for w in weights])
        config = {
            "module": "keras_larp.models",
            "class_name": type(model).__name__,
            "config": model.get_config(),
            "registered_name": f"keras_larp>{type(model).__name__}",
        }
        metadata = {
            "keras_version": keras.version(),
            "keras_larp_version": __version__,
            "parameter_count": plain.count_params(),
            "weights_dtype": weights_dtype,
        }
        _write_json(part / "config.json", config)
        _write_json(part / "metadata.json", metadata)
        file = part / "model.weights.h5"
        plain.save_weights(file)
        if weights_dtype != "float32":
            round_weights(file, weights_dtype)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _folder(preset, revision):
    if not pathlib.Path(preset).is_dir():
        preset = address(preset) or preset
    if pathlib.Path(preset).is_dir():
        return pathlib.Path(preset)
    if preset.startswith("hf://"):
        hub = _hub_library("huggingface_hub")
        with _reaching(preset):
            folder = hub.snapshot_download(
                preset.removeprefix("hf://"),
                revision=revision,
                allow_patterns=["*.json", "*.safetensors", "*.h5"],
            )
        return pathlib.Path(folder)
    if preset.startswith("kaggle://"):
        hub = _hub_library("kagglehub")
        with _reaching(preset):
            folder = hub.model_download(preset.removeprefix("kaggle://"))
        return pathlib.Path(folder)
    close = difflib.get_close_matches(preset, list_presets(), n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise ValueError(
        f"No preset and no folder of that name: {preset!r}.{hint} Known "
        f"presets: {', '.join(list_presets())}. Or pass a folder, 'hf://...' or "
        "'kaggle://...'."
    )


@contextlib.contextmanager
def _reaching(preset):
    """Says what to do where a hub does not give a preset."""
    try:
        yield
    except Exception as error:  # Each version of a hub's library has its own.
        raise ConnectionError(
            f"{preset} could not be had from its hub: {error} Without the "
            "hub, pass a folder with the files of that repository."
        ) from error


def _hub_library(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"Loading from this hub needs {name}. "
            'Install it with: pip install "keras-larp[hub]"'
        ) from error


def _load_authors(folder, config, overrides):
    from safetensors.numpy import load_file

    file = folder / "model.safetensors"
    if not file.is_file():
        raise ValueError(
            f"A checkpoint folder holds `model.safetensors`. Received: {folder}"
        )
    state = load_file(file)
    has_prior = any(name.startswith("prior_model.") for name in state)
    if "prior_model" in config and not has_prior:
        # The authors drop the prior from some files; only training needs it.
        config = {**config, "prior_model": {"name": "none"}}
    model = build_from_larp_config(config, **overrides)
    load_larp_state(model, state, source=str(file))
    return model


def _load_own(folder, config, overrides):
    classes = {name: getattr(models, name) for name in models.__all__}
    if config.get("class_name") not in classes:
        raise ValueError(
            f"Expected a preset of one of: {', '.join(classes)}. "
            f"Received: {config.get('class_name')!r} in {folder}"
        )
    model = classes[config["class_name"]].from_config(
        {**to_current_names(config["config"]), **overrides}
    )
    _load_own_weights(model, folder / "model.weights.h5")
    return model


def _load_own_weights(model, file):
    """Loads `model.weights.h5`, or names what does not fit."""
    if not file.is_file():
        raise ValueError(
            f"A preset folder holds `model.weights.h5`. Received: {file.parent}"
        )
    stored = _stored_shapes(file)
    count = sum(math.prod(shape) for shape in stored.values())
    try:
        # Keras passes over what a file has too much.
        if count != model.count_params():
            raise ValueError(f"{count} numbers for {model.count_params()}")
        model.load_weights(file)
    except ValueError as error:
        with tempfile.TemporaryDirectory() as folder:
            fitting = pathlib.Path(folder) / "model.weights.h5"
            model.save_weights(fitting)
            expected = _stored_shapes(fitting)
        problems = describe_mismatch(stored, expected) or str(error)
        raise ValueError(
            f"The weights of {file} do not fit the model.\n{problems}"
        ) from error


def _stored_shapes(file):
    """Shapes of the weights in an HDF5 file, by their place in it."""
    shapes = {}

    def visit(name, entry):
        if isinstance(entry, h5py.Dataset) and "seed" not in name:
            shapes[name.replace("/vars/", "/")] = entry.shape

    with h5py.File(file) as content:
        content.visititems(visit)
    return shapes


def _write_json(file, content):
    file.write_text(json.dumps(content, indent=2) + "\n")
