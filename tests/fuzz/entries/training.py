"""Entries of callbacks, schedules, recipes and presets."""

import functools

import numpy as np
from fuzz.bad_values import (
    TEXT,
    TEXT_OR_NONE,
    Kind,
    boolean,
    choice,
    existing_path,
    floats,
    instance,
    integer,
    integers,
    number,
    path,
)
from fuzz.entries.data import folder as data_folder
from fuzz.entries.data import shapes
from fuzz.entries.models import tokenizer
from fuzz.entry import Entry
from hypothesis import strategies as st
from tiny_models import clips

from keras_larp import callbacks, data, presets, recipes
from keras_larp.recipes.setting import list_settings
from keras_larp.training import schedules

POSITIVE = integer(1)
FPS = number("[0.01, inf)")
# Settings that this harness cannot choose by their type.
_TEXTS = {
    "size": choice(),
    "prior": choice(optional=True),
    # Presets are looked up when the model is built.
    "perceptual_model": Kind(lambda _: st.sampled_from([1, True, 0.5, {}])),
}


def _callbacks():
    folder = data_folder() / "callbacks"
    dataset = data.video_dataset(shapes(), batch_size=2)
    yield (
        callbacks.Checkpoint,
        {"folder": folder, "dataset": dataset},
        {
            "folder": path(),
            "dataset": instance(optional=True),
            "save_every_steps": integer(1, optional=True),
            "keep_last": POSITIVE,
            "mode": choice("min", "max"),
            "resume": boolean(),
        },
    )
    yield (
        callbacks.CodebookCollapseWarning,
        {},
        {"minimum": number("(0, 1)")},
    )
    grid = {
        "folder": path(),
        "every": POSITIVE,
        "num_columns": POSITIVE,
        "fps": FPS,
        "suffix": choice(".mp4", ".gif"),
    }
    yield (
        callbacks.ReconstructionGrid,
        {"clips": clips(2), "folder": folder},
        {
            "clips": floats(None, None, None, None, 3, unit=True),
            "num_clips": POSITIVE,
            **grid,
        },
    )
    yield (
        callbacks.SampleGrid,
        {
            "condition": np.array([0, 1]),
            "tokenizer": tokenizer(),
            "folder": folder,
        },
        {"tokenizer": instance(), "seed": integer(0), **grid},
    )
    yield callbacks.Throughput, {"batch_size": 2}, {"batch_size": POSITIVE}


def _schedules():
    steps = number("[1, inf)")
    yield (
        schedules.LinearRamp,
        {"start_value": 0.0, "end_value": 1.0, "num_steps": 10},
        {
            "start_value": number("[0, inf)"),
            "end_value": number("[0, inf)"),
            "num_steps": steps,
            "first_step": number("[0, inf)"),
        },
    )
    yield (
        schedules.WarmupCosine,
        {"peak": 1e-3, "total_steps": 10},
        {
            "peak": number("[0, inf)"),
            "total_steps": steps,
            "warmup_steps": number("[0, 10)"),
            "min_lr_ratio": number("[0, 1]"),
        },
    )


def _kind(setting):
    """The kind of a setting, by its type and description."""
    import re
    import types
    import typing

    if setting.name in _TEXTS:
        return _TEXTS[setting.name]
    kinds = [setting.type]
    if isinstance(setting.type, types.UnionType):
        kinds = list(typing.get_args(setting.type))
    optional = types.NoneType in kinds
    kind = kinds[0]
    if typing.get_origin(kind) is typing.Literal:
        return choice(*typing.get_args(kind), optional=optional)
    if typing.get_origin(kind) is tuple:
        return integers(len(typing.get_args(kind)), optional=optional)
    if kind is bool:
        return boolean()
    if kind is int:
        return integer(1, optional=optional)
    found = re.search(r"\bin ([\[(][\d.]+, [\d.]+[\])])", setting.description)
    return number(found[1] if found else "[0, inf)", optional=optional)


def _recipes():
    for name in recipes.RECIPES:
        make = recipes.RECIPES[name]
        kinds = {s.name: _kind(s) for s in list_settings(make())}
        kinds["steps_per_epoch"] = integer(1, optional=True)
        valid = {
            "patch_size": (4, 8, 8),
            "decoder_patch_size": (4, 8, 8),
        }
        valid = {key: v for key, v in valid.items() if key in kinds}
        yield f"recipes.{name}", make, valid, kinds
    yield (
        "recipes.choose_tokenizer_recipe",
        recipes.choose_tokenizer_recipe,
        {"source": shapes()},
        {"source": instance()},
    )
    yield (
        "recipes.choose_generator_recipe",
        recipes.choose_generator_recipe,
        {"num_clips": 100},
        {"num_clips": POSITIVE},
    )
    yield (
        "recipes.estimate_training_cost",
        recipes.estimate_training_cost,
        {"tokenizer": tokenizer(), "batch_size": 2},
        {"tokenizer": instance(), "batch_size": POSITIVE},
    )
    yield (
        "recipes.settings_table",
        recipes.settings_table,
        {"recipe": recipes.small_data_tokenizer()},
        {"recipe": instance()},
    )


def _presets():
    folder = data_folder() / "preset"
    presets.save(tokenizer(), folder, overwrite=True)
    yield (
        "presets.save",
        presets.save,
        {"model": tokenizer(), "folder": folder, "overwrite": True},
        {
            "model": instance(),
            "folder": path(),
            "weights_dtype": choice("float32", "float16", "int8"),
            "overwrite": boolean(),
        },
    )
    yield (
        "presets.load",
        presets.load,
        {"preset": folder},
        {
            "preset": existing_path(),
            "expected": instance(optional=True),
            "revision": TEXT_OR_NONE,
        },
    )
    yield (
        "presets.load_i3d",
        presets.load_i3d,
        None,
        {"source": existing_path(), "sha256": TEXT_OR_NONE},
    )
    yield (
        "presets.TorchScriptI3D",
        presets.TorchScriptI3D,
        None,
        {
            "source": existing_path(),
            "sha256": TEXT,
            "device": TEXT_OR_NONE,
        },
    )


@functools.cache
def _damaged_file():
    """A file that is no weight file, to call functions with another error."""
    path_ = data_folder() / "weights.pt"
    path_.write_bytes(b"not weights")
    return path_


def entries():
    for cls, valid, kinds in (*_callbacks(), *_schedules()):
        package = cls.__module__.split(".")[1]
        yield Entry(f"{package}.{cls.__name__}", cls, lambda v=valid: v, kinds)
    for name, function_, valid, kinds in (*_recipes(), *_presets()):
        can_run = valid is not None
        if valid is None:
            valid = {"source": _damaged_file()}
        yield Entry(name, function_, lambda v=valid: v, kinds, can_run)
