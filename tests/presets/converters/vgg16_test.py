"""VGG16 weights for LPIPS: local files, the timm repository, mismatches."""

import json
import pathlib

import numpy as np
import pytest
from keras import ops
from safetensors.numpy import load_file, save_file

from keras_larp import models, presets


def numpy(x):
    return ops.convert_to_numpy(x)


CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


@pytest.fixture(scope="module")
def lpips():
    return models.LPIPS(seed=5)


@pytest.fixture(scope="module")
def features(lpips):
    """Weights of the model under the names of torchvision's layers."""
    state = {}
    pairs = [pair for stage in lpips.stages for pair in stage]
    for index, (kernel, bias) in zip(CONVOLUTIONS, pairs, strict=True):
        kernel = numpy(kernel).transpose(3, 2, 0, 1)
        state[f"{index}.weight"] = np.ascontiguousarray(kernel)
        bias.assign(np.full(bias.shape, 0.01 * index))
        state[f"{index}.bias"] = numpy(bias)
    return state


def timm_folder(features, folder):
    state = {f"features.{name}": w for name, w in features.items()}
    state["pre_logits.fc1.weight"] = np.zeros((4, 512, 7, 7), "float32")
    state["head.fc.weight"] = np.zeros((10, 4), "float32")
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    config = {"architecture": "vgg16", "num_classes": 1000}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def assert_same_weights(model, expected):
    for new, old in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(numpy(new), numpy(old))


def test_file_with_names_of_torchvision(lpips, features, tmp_path):
    file = tmp_path / "vgg16.safetensors"
    save_file(features, file)
    model = models.LPIPS.from_preset(file, chunk_size=3)
    assert model.chunk_size == 3
    assert_same_weights(model, lpips)


def test_named_preset_is_the_timm_repository(
    lpips, features, tmp_path, monkeypatch
):
    hub = pytest.importorskip("huggingface_hub")
    folder = timm_folder(features, tmp_path / "timm")
    calls = []

    def snapshot_download(repository, **kwargs):
        calls.append(repository)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert "lpips_vgg16" in presets.list_presets()
    assert_same_weights(models.LPIPS.from_preset("lpips_vgg16"), lpips)
    assert calls == ["timm/vgg16.tv_in1k"]


def test_float16_file(features, tmp_path):
    file = tmp_path / "vgg16.safetensors"
    save_file({k: v.astype("float16") for k, v in features.items()}, file)
    kernel, _ = presets.load(file).stages[4][2]
    expected = features["28.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(numpy(kernel), expected, rtol=1e-3, atol=1e-6)


def test_mismatched_weights_are_named(features, tmp_path):
    state = {f"features.{name}": w for name, w in features.items()}
    del state["features.7.bias"]
    state["features.30.weight"] = np.zeros(3, "float32")
    state["features.0.weight"] = np.zeros((64, 1, 3, 3), "float32")
    file = tmp_path / "model.safetensors"
    save_file(state, file)
    with pytest.raises(ValueError) as error:
        presets.load(file)
    for part in (
        str(file),
        "missing: features.7.bias\n",
        "extra: features.30.weight\n",
        "features.0.weight has shape (64, 1, 3, 3), expected (64, 3, 3, 3)",
    ):
        assert part in str(error.value)


def test_folder_without_weights(tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "vgg16"}')
    with pytest.raises(ValueError, match="safetensors, which is not a file"):
        models.LPIPS.from_preset(tmp_path)


def test_preset_of_another_class(features, tmp_path):
    file = tmp_path / "vgg16.safetensors"
    save_file(features, file)
    with pytest.raises(ValueError, match="Expected a preset of LARPTokenizer"):
        models.LARPTokenizer.from_preset(file)


def test_saved_preset_loads(lpips, features, tmp_path):
    timm = timm_folder(features, tmp_path / "timm")
    models.LPIPS.from_preset(timm).save_to_preset(tmp_path / "own")
    assert_same_weights(presets.load(tmp_path / "own"), lpips)
    assert "head.fc.weight" in load_file(timm / "model.safetensors")
    assert pathlib.Path(tmp_path / "own/model.weights.h5").is_file()
