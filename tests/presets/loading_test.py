"""Presets: names, folders, hubs and reference checkpoints."""

import json
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import (
    clips,
    tiny_discriminator,
    tiny_generator,
    tiny_tokenizer,
)

from keras_larp import models, presets
from keras_larp.presets.converters.larp_weights import (
    load_larp_state,
    mappings,
    to_larp_state,
)


def numpy(x):
    return ops.convert_to_numpy(x)


def test_preset_names():
    assert presets.list_presets() == [
        "larp_l_long_frame_prediction",
        "larp_l_long_generator",
        "larp_l_long_tokenizer",
        "larp_small_atari_generator",
        "larp_small_atari_tokenizer",
        "larp_tiny_moving_shapes_frame_prediction",
        "larp_tiny_moving_shapes_generator",
        "larp_tiny_moving_shapes_tokenizer",
        "lpips_vgg16",
    ]


def test_round_trip_through_a_folder(tmp_path):
    for model in (tiny_tokenizer(), tiny_generator()):
        folder = tmp_path / type(model).__name__
        model.save_to_preset(folder)
        files = {path.name for path in folder.iterdir()}
        assert files == {"config.json", "metadata.json", "model.weights.h5"}
        loaded = presets.load(folder)
        assert type(loaded) is type(model)
        for old, new in zip(model.weights, loaded.weights, strict=True):
            np.testing.assert_array_equal(numpy(old), numpy(new))


def test_presets_do_not_contain_training_state(tmp_path):
    model = tiny_tokenizer()
    model.compile("adam")
    model.fit(clips(), batch_size=4, verbose=0)
    model.save_to_preset(tmp_path / "trained")
    tiny_tokenizer().save_to_preset(tmp_path / "new")
    sizes = [
        (tmp_path / name / "model.weights.h5").stat().st_size
        for name in ("trained", "new")
    ]
    assert sizes[0] == sizes[1]
    loaded = presets.load(tmp_path / "trained")
    np.testing.assert_array_equal(
        numpy(loaded.encode(clips())), numpy(model.encode(clips()))
    )


def test_half_precision_rounds_matrices(tmp_path):
    model = tiny_tokenizer()
    model.save_to_preset(tmp_path / "full")
    model.save_to_preset(tmp_path / "half", weights_dtype="float16")
    with h5py.File(tmp_path / "half" / "model.weights.h5") as content:
        kinds = set()
        content.visititems(
            lambda _, x: (
                kinds.add((x.dtype.name, x.ndim > 1))
                if isinstance(x, h5py.Dataset)
                else None
            )
        )
    assert ("float16", True) in kinds and ("float32", True) not in kinds
    loaded = presets.load(tmp_path / "half")
    for old, new in zip(model.weights, loaded.weights, strict=True):
        assert old.dtype == new.dtype
        kind = "float16" if len(old.shape) > 1 else "float32"
        rounded = numpy(old).astype(kind).astype("float32")
        np.testing.assert_array_equal(rounded, numpy(new))


def test_weights_out_of_the_range_of_float16_are_named(tmp_path):
    model = tiny_tokenizer()
    kernel = model.to_code.kernel
    kernel.assign(np.full(kernel.shape, 1e5))
    with pytest.raises(ValueError, match=r"100000.*dense.*float32"):
        model.save_to_preset(tmp_path / "half", weights_dtype="float16")
    with pytest.raises(ValueError, match="weights_dtype.*float32.*float16"):
        model.save_to_preset(tmp_path / "int", weights_dtype="int4")
    assert list(tmp_path.iterdir()) == []


def test_arguments_override_the_config(tmp_path):
    tiny_generator().save_to_preset(tmp_path / "preset")
    loaded = models.ARVideoGenerator.from_preset(
        tmp_path / "preset", dtype="mixed_bfloat16"
    )
    assert loaded.dtype_policy.name == "mixed_bfloat16"


def test_failed_save_leaves_no_folder(tmp_path, monkeypatch):
    model = tiny_generator()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(type(model), "save_weights", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save_to_preset(tmp_path / "preset")
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_not_overwritten(tmp_path):
    with pytest.raises(FileExistsError, match=str(tmp_path)):
        tiny_generator().save_to_preset(tmp_path)


def test_expected_class(tmp_path):
    tiny_generator().save_to_preset(tmp_path / "preset")
    with pytest.raises(ValueError, match="of ARVideoGenerator"):
        models.LARPTokenizer.from_preset(tmp_path / "preset")


def test_folder_without_config(tmp_path):
    with pytest.raises(ValueError, match="config.json"):
        presets.load(tmp_path)


def test_hugging_face_presets_are_downloaded(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    tiny_generator().save_to_preset(tmp_path / "preset")
    calls = []

    def snapshot_download(repository, revision=None, **kwargs):
        calls.append((repository, revision))
        return str(tmp_path / "preset")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    presets.load("hf://someone/model", revision="v1")
    presets.load("larp_l_long_generator")
    assert calls == [
        ("someone/model", "v1"),
        ("hywang66/LARP-L-long-AR", None),
    ]


def test_kaggle_presets_are_downloaded(tmp_path, monkeypatch):
    hub = pytest.importorskip("kagglehub")
    tiny_generator().save_to_preset(tmp_path / "preset")
    monkeypatch.setattr(
        hub,
        "model_download",
        lambda handle: {"me/larp/keras/tiny": str(tmp_path / "preset")}[handle],
    )
    model = presets.load("kaggle://me/larp/keras/tiny")
    assert isinstance(model, models.ARVideoGenerator)


def test_failed_download_suggests_a_local_folder(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def snapshot_download(*args, **kwargs):
        raise OSError("no route to host.")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    with pytest.raises(
        ConnectionError, match="LARP-L-long-AR .* no route .* pass a folder"
    ):
        presets.load("larp_l_long_generator")


def test_conversion_to_reference_weights_is_invertible():
    for model in (tiny_tokenizer(), tiny_generator()):
        before = [numpy(m.variable) for m in mappings(model)]
        for mapping, array in zip(mappings(model), before, strict=True):
            again = mapping.from_larp(mapping.to_larp(array))
            np.testing.assert_array_equal(again, array)
        covered = {id(m.variable) for m in mappings(model)}
        left = [
            v.name for v in model.trainable_variables if id(v) not in covered
        ]
        assert left == []


def write_reference_checkpoint(golden_dir, case, folder):
    from golden import golden_state_dict
    from safetensors.numpy import save_file

    state = golden_state_dict(golden_dir / case)
    folder.mkdir(exist_ok=True)
    save_file(state, folder / "model.safetensors")
    config = (golden_dir / case / "config.json").read_text()
    (folder / "config.json").write_text(config)
    return state


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch is the backend"
)
def test_reference_checkpoint_loads_without_pytorch(golden_dir, tmp_path):
    write_reference_checkpoint(golden_dir, "generator_class", tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from keras_larp import models\n"
        f"models.ARVideoGenerator.from_preset({str(tmp_path)!r})\n"
        "print('loaded')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.stdout.strip().endswith("loaded"), result.stderr


def test_reference_tokenizer_without_prior_loads(golden_dir, tmp_path):
    from safetensors.numpy import save_file

    state = write_reference_checkpoint(golden_dir, "tokenizer_base", tmp_path)
    state = {k: v for k, v in state.items() if not k.startswith("prior_model")}
    save_file(state, tmp_path / "model.safetensors")
    assert presets.load(tmp_path).prior is None


def test_untransposed_weight_changes_the_logits(golden_dir, tmp_path):
    # The golden cases can detect a square weight that is not transposed.
    from safetensors.numpy import save_file

    state = write_reference_checkpoint(golden_dir, "generator_class", tmp_path)
    case = np.load(golden_dir / "generator_class/arrays.npz")
    name = next(
        n
        for n, w in state.items()
        if w.ndim == 2 and w.shape[0] == w.shape[1] and "layers.0" in n
    )
    state[name] = np.ascontiguousarray(state[name].T)
    save_file(state, tmp_path / "model.safetensors")
    inputs = {
        "token_ids": case["token_ids"],
        "class_ids": case["condition"],
    }
    logits = numpy(presets.load(tmp_path)(inputs))
    assert np.abs(logits - case["logits"]).max() > 1e-2


def test_mismatched_reference_weights_are_named(tmp_path):
    model = tiny_tokenizer()
    state = to_larp_state(model, [numpy(m.variable) for m in mappings(model)])
    state["surplus"] = state.pop("bottleneck.in_linear.weight")
    state["prior_model.head.bias"] = np.zeros(3)
    with pytest.raises(ValueError) as error:
        load_larp_state(model, state)
    for text in (
        "surplus",
        "bottleneck.in_linear.weight",
        "head.bias has shape (3,)",
    ):
        assert text in str(error.value)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"hidden_dim": 32},
            r"misshapen: .*head/0 has shape \(16, 32\)",
        ),
        ({"num_layers": 2}, "missing: .*1/"),
        ({"num_classes": 5}, "class_embedding"),
    ],
)
def test_mismatched_weights_are_named(tmp_path, change, message):
    tiny_generator().save_to_preset(tmp_path / "preset")
    file = tmp_path / "preset/config.json"
    config = json.loads(file.read_text())
    config["config"].update(change)
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        presets.load(tmp_path / "preset")


def test_extra_weights_are_named(tmp_path):
    tiny_generator(num_layers=2).save_to_preset(tmp_path / "preset")
    file = tmp_path / "preset/config.json"
    config = json.loads(file.read_text())
    config["config"]["num_layers"] = 1
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="extra: "):
        presets.load(tmp_path / "preset")


CHECK = """
import sys, numpy as np
from keras import ops
from keras_larp import presets
folder = sys.argv[1]
expected = np.load(folder + "/arrays.npz", allow_pickle=False)
tokenizer = presets.load(folder + "/tokenizer")
generator = presets.load(folder + "/generator")
ids = ops.convert_to_numpy(tokenizer.encode(expected["video"]))
wide = ops.convert_to_numpy(tokenizer.encode(expected["wide_video"]))
prefix = ops.convert_to_numpy(
    tokenizer.decode(wide[:, :2], expected["wide_video"].shape[1:4]))
greedy = ops.convert_to_numpy(
    generator.generate([0, 1, 2], temperature=0, guidance_scale=1.5))
sampled = ops.convert_to_numpy(generator.generate([0, 1, 2], seed=7))
np.testing.assert_array_equal(ids, expected["ids"])
np.testing.assert_array_equal(wide, expected["wide_ids"])
np.testing.assert_allclose(prefix, expected["prefix"], atol=1e-5)
np.testing.assert_array_equal(greedy, expected["greedy"])
np.testing.assert_array_equal(sampled, expected["sampled"])
print("equal")
"""


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_saved_presets_compute_equal_tokens_on_every_backend(tmp_path, backend):
    pytest.importorskip(backend)
    if backend == keras.backend.backend():
        pytest.skip("The presets are saved on this backend.")
    tokenizer = tiny_tokenizer(token_dropout={"rate": 0.5})
    generator = tiny_generator()
    wide_video = np.random.default_rng(1).random((2, 6, 8, 24, 3), "float32")
    wide_ids = numpy(tokenizer.encode(wide_video))
    # Output layers are initialized to zeros.
    kernel = tokenizer.decoder.pixels.kernel
    kernel.assign(np.random.default_rng(2).normal(size=kernel.shape))
    kernel = np.random.default_rng(0).normal(size=(16, 32))
    generator.head.kernel.assign(kernel)
    tokenizer.save_to_preset(tmp_path / "tokenizer")
    generator.save_to_preset(tmp_path / "generator")
    greedy = generator.generate([0, 1, 2], temperature=0, guidance_scale=1.5)
    arrays = {
        "video": clips(),
        "ids": numpy(tokenizer.encode(clips())),
        "wide_video": wide_video,
        "wide_ids": wide_ids,
        "prefix": numpy(tokenizer.decode(wide_ids[:, :2], (6, 8, 24))),
        "greedy": numpy(greedy),
        "sampled": numpy(generator.generate([0, 1, 2], seed=7)),
    }
    assert len(np.unique(arrays["greedy"])) > 3
    np.savez(tmp_path / "arrays.npz", **arrays)
    result = subprocess.run(
        [sys.executable, "-c", CHECK, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip().endswith("equal"), result.stderr


def test_presets_with_earlier_setting_names_load(tmp_path):
    tokenizer = tiny_tokenizer(quantizer={"reset_unused_after": 7})
    tokenizer.save_to_preset(tmp_path / "preset")
    file = tmp_path / "preset" / "config.json"
    text = file.read_text().replace("encoder_num_layers", "encoder_layers")
    text = text.replace("reset_unused_after", "restart_after")
    file.write_text(text)
    config = presets.load(tmp_path / "preset").get_config()
    assert config["encoder_num_layers"] == 1
    assert config["quantizer"] == {"reset_unused_after": 7}


def test_keras_files_load(tmp_path):
    model, file = tiny_tokenizer(), tmp_path / "model.keras"
    model.save(file)
    loaded = models.LARPTokenizer.from_preset(file)
    np.testing.assert_array_equal(
        numpy(loaded.encode(clips())), numpy(model.encode(clips()))
    )
    with pytest.raises(ValueError, match="of LARPTokenizer"):
        models.ARVideoGenerator.from_preset(file)
    assert presets.load(file, dtype="bfloat16").compute_dtype == "bfloat16"
    with pytest.raises(ValueError, match="load_weights"):
        presets.load(tmp_path / "model.weights.h5")


def test_keras_files_of_compiled_models_load(tmp_path):
    model, file = tiny_tokenizer(), tmp_path / "model.keras"
    model.compile("adam", discriminator=tiny_discriminator())
    model.save(file)
    np.testing.assert_array_equal(
        numpy(presets.load(file).encode(clips())), numpy(model.encode(clips()))
    )


@pytest.mark.once
def test_keras_files_name_no_foreign_classes(tmp_path):
    file = tmp_path / "model.keras"
    keras.Sequential([keras.layers.Dense(1)]).save(file)
    with pytest.raises(ValueError, match="Received: 'Sequential' in .*model.k"):
        presets.load(file)
    file.write_text("text")
    with pytest.raises(ValueError, match="cannot be read.*`.keras` file"):
        presets.load(file)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "state_dict."]
)
def test_prefixes_of_training_wrappers_are_ignored(
    golden_dir, tmp_path, prefix
):
    from safetensors.numpy import save_file

    state = write_reference_checkpoint(golden_dir, "generator_class", tmp_path)
    expected = presets.load(tmp_path)
    state = {f"{prefix}{name}": weight for name, weight in state.items()}
    save_file(state, tmp_path / "model.safetensors")
    loaded = presets.load(tmp_path)
    for old, new in zip(expected.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(numpy(old), numpy(new))
