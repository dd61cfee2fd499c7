"""Presets whose files are damaged or describe another model."""

import inspect
import json
import shutil
import zipfile

import h5py
import numpy as np
import pytest
import safetensors.numpy
from damaged_files import (
    assert_reads_or_names,
    damaged_bytes,
    damaged_json,
    quick,
    time_limit,
)
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_discriminator, tiny_generator, tiny_tokenizer

from keras_larp import models, presets
from keras_larp.presets.converters.larp_config import is_larp_config
from keras_larp.presets.size_checks import _COUNTS, _defaults, check_sizes

LARP_CONFIG = {
    "vocab_size": 32,
    "cls_token_num": 1,
    "max_seq_len": 6,
    "num_classes": 3,
    "dim": 16,
    "n_layer": 1,
    "n_head": 2,
}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "tokenizer"
    tiny_tokenizer().save_to_preset(folder)
    return folder


@pytest.fixture
def folder(tokenizer_folder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(tokenizer_folder, tmp_path / "preset")


def change_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["config"].update(changes)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "model",
    [
        tiny_tokenizer,
        tiny_generator,
        tiny_discriminator,
        lambda: tiny_tokenizer(
            learned_queries=False,
            learned_latent_positions=True,
            decoder_hidden_dim=32,
            decoder_patch_size=(4, 4, 4),
            prior="gptc-XXS",
        ),
        lambda: tiny_tokenizer(prior=None),
        lambda: tiny_generator(conditioning="frames", num_kv_heads=1),
        lambda: tiny_generator(learned_positions=False, mlp_dim=None),
        lambda: models.ARPrior.from_size("gptc-XXS"),
    ],
)
def test_bounds_of_sizes_are_below_the_sizes_of_models(model):
    model = model()
    bound, _ = _COUNTS[type(model)](
        {**_defaults(type(model)), **model.get_config()}
    )
    assert 0.1 * model.count_params() < bound <= model.count_params()


def test_all_models_whose_size_varies_have_bounds():
    constant = {models.LPIPS, models.I3D}
    public = {getattr(models, name) for name in models.__all__}
    assert {x for x in public if inspect.isclass(x)} - constant == {*_COUNTS}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"num_tokens": 10**9}, "at least .* weights"),
        ({"num_tokens": 10**9, "learned_queries": False}, "position tables|at"),
        ({"codebook_size": 10**9}, "at least .* weights"),
        ({"hidden_dim": 10**9}, "at least .* weights"),
        ({"encoder_num_layers": 10**9}, "at least .* weights"),
        ({"decoder_num_layers": 10**9}, "at least .* weights"),
        ({"num_channels": 10**9}, "at least .* weights"),
        ({"num_frames": 2 * 10**9}, "position tables"),
        ({"image_size": 8 * 10**6}, "position tables"),
        ({"prior": {"num_layers": 10**9}}, "at least .* weights"),
        ({"prior": {"max_length": 10**9}}, "at least .* weights"),
    ],
)
def test_sizes_are_compared_with_the_weights_before_building(
    changes, message, folder, monkeypatch
):
    change_config(folder, **changes)
    monkeypatch.setattr(models.LARPTokenizer, "__call__", None)
    monkeypatch.setattr(models.LARPTokenizer, "build", None)
    with (
        time_limit(5),
        pytest.raises(ValueError, match=f"config.json describes.*{message}"),
    ):
        presets.load(folder)


def test_sizes_of_keras_files_are_compared(tmp_path):
    model = tiny_tokenizer()
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    config["config"]["num_tokens"] = 10**9
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "large.keras", "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with (
        time_limit(5),
        pytest.raises(ValueError, match="large.keras.*at least"),
    ):
        presets.load(tmp_path / "large.keras")


def test_compressed_keras_files_are_refused(tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(10**7))
    with pytest.raises(ValueError, match="bomb.keras.*10,000,002 bytes"):
        presets.load(path)


def write_larp(folder, **changes):
    folder.mkdir(exist_ok=True)
    config = {**LARP_CONFIG, **changes}
    assert is_larp_config(config)
    (folder / "config.json").write_text(json.dumps(config))
    weights = {"norm.weight": np.zeros(16, "float32")}
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("name", ["vocab_size", "dim", "n_layer"])
def test_sizes_of_reference_checkpoints_are_compared(name, tmp_path):
    folder = write_larp(tmp_path / "larp", **{name: 10**9})
    with (
        time_limit(5),
        pytest.raises(ValueError, match="config.json.*at least"),
    ):
        presets.load(folder)


@pytest.mark.once
@pytest.mark.parametrize("name", ["vocab_size", "dim", "n_head"])
def test_missing_settings_of_reference_checkpoints_are_named(name, tmp_path):
    folder = write_larp(tmp_path / "larp")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config[name]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"config.json.*'{name}' is missing"):
        presets.load(folder)


@pytest.mark.once
@pytest.mark.parametrize(
    "content, message",
    [
        ("", "not valid JSON"),
        ("[]", "JSON object"),
        ("{}", "`class_name`"),
        ('{"class_name": "LARPTokenizer"}', "`config`"),
        ('{"class_name": ["LARPTokenizer"], "config": {}}', "`class_name`"),
        ('{"class_name": "Model", "config": {}}', "preset of one of"),
        ('{"class_name": "I3D", "config": {"epsilon": "1"}}', "`epsilon`"),
        ('{"class_name": "I3D", "config": {"other": 1}}', "does not describe"),
        ('{"class_name": "LARPTokenizer", "config": {}}', "at least"),
    ],
)
def test_damaged_configurations_are_named(content, message, folder):
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        presets.load(folder)
    assert str(folder / "config.json") in str(error.value)


def test_damaged_weights_are_named(folder):
    path = folder / "model.weights.h5"
    content = path.read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="model.weights.h5 cannot be read"):
            presets.load(folder)


def test_weights_that_only_declare_their_size_are_refused(folder):
    path = folder / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "layers/x/vars/0", (10**6, 10**6), "float32", chunks=(10, 10)
        )
    change_config(folder, num_tokens=10**9)
    with pytest.raises(ValueError, match="model.weights.h5.*compressed"):
        presets.load(folder)


def test_damaged_vgg16_weights_are_named(tmp_path):
    path = tmp_path / "vgg16.safetensors"
    path.write_bytes(b"\x10" * 50)
    with pytest.raises(ValueError, match="vgg16.safetensors cannot be read"):
        presets.load(path)


@pytest.mark.once
@quick
@given(st.data())
def test_damaged_configurations_raise_clear_errors(
    tokenizer_folder, tmp_path_factory, data
):
    folder = tmp_path_factory.mktemp("damaged") / "preset"
    shutil.copytree(tokenizer_folder, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if data.draw(st.booleans()):
        path.write_text(data.draw(damaged_json(config)))
    else:
        path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    assert_reads_or_names(lambda: presets.load(folder), folder)


@pytest.mark.once
@quick
@given(st.data())
def test_damaged_weights_raise_clear_errors(
    tokenizer_folder, tmp_path_factory, data
):
    folder = tmp_path_factory.mktemp("damaged") / "preset"
    shutil.copytree(tokenizer_folder, folder)
    path = folder / "model.weights.h5"
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))

    def read():
        try:
            presets.load(folder)
        except ValueError as error:
            # Changed numbers may be NaN.
            if "not finite" not in str(error):
                raise

    assert_reads_or_names(read, folder)


def test_models_of_constant_size_need_no_check():
    check_sizes(models.I3D, {}, 0, "config.json")
