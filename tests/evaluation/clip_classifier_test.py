"""The clip classifier, trained for a few epochs."""

import collections
import concurrent.futures
import time

import keras
import numpy as np
import pytest
from keras import ops
from number_clips import ArraySource

from keras_larp import data, evaluation
from keras_larp.evaluation import clip_classifier
from keras_larp.evaluation.small_video_network import SmallVideoNetwork
from keras_larp.utils import files


def shapes(count, seed):
    return data.MovingShapes(count, 4, 32, seed=seed)


def load(path):
    return evaluation.load_or_train_classifier(
        shapes(240, 1), shapes(60, 2), path, num_frames=4
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_classifier, "_EPOCHS", 18)
        path = tmp_path_factory.mktemp("classifier") / "shapes.weights.h5"
        load(path)
    return path


def test_classifier_learns_and_reports_its_accuracy(path):
    classifier = load(path)
    clips = np.stack([shapes(60, 2).render(i) for i in range(60)])
    labels = np.arange(60) % 12
    predicted = clip_classifier.predicted_classes(classifier, clips)
    assert classifier.accuracy == pytest.approx(np.mean(predicted == labels))
    assert classifier.accuracy > 0.6  # Chance is 1 / 12.


def test_training_is_deterministic(monkeypatch):
    monkeypatch.setattr(clip_classifier, "_EPOCHS", 5)
    first, second = (
        evaluation.load_or_train_classifier(
            shapes(48, 1), shapes(12, 2), num_frames=4
        )
        for _ in range(2)
    )
    for pair in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(*pair)
    assert ops.convert_to_numpy(first.head.kernel).any()


def test_invalid_files(path, tmp_path):
    with pytest.raises(ValueError, match="must end in .weights.h5.*any.h5"):
        load(tmp_path / "any.h5")
    other = tmp_path / "other.weights.h5"
    evaluation.ClipClassifier(3).save_weights(other)
    with pytest.raises(ValueError, match="not hold a classifier of 12 classes"):
        load(other)
    other.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="not hold a classifier of 12 classes"):
        load(other)


def test_file_of_equally_many_other_classes(path, monkeypatch):
    names = [f"other {name}" for name in data.MovingShapes.class_names]
    monkeypatch.setattr(data.MovingShapes, "class_names", tuple(names))
    with pytest.raises(ValueError, match="12 classes with other names"):
        load(path)


def test_file_of_a_classifier_with_other_input(path):
    with pytest.raises(ValueError, match="other input.*motion_only=True"):
        evaluation.load_or_train_classifier(
            shapes(240, 1), shapes(60, 2), path, 4, motion_only=True
        )


def test_motion_classifier_does_not_see_what_stands_still():
    classifier = evaluation.ClipClassifier(3, motion_only=True)
    classifier.head.kernel.assign(np.eye(64, 3))
    clips = np.random.default_rng(0).random((2, 4, 32, 32, 3), "float32") / 2
    background = np.random.default_rng(1).random((32, 32, 3), "float32") / 2
    pair = [ops.convert_to_numpy(classifier(x)) for x in (clips, clips[::-1])]
    assert np.abs(pair[0] - pair[1]).max() > 1e-3
    covered = ops.convert_to_numpy(classifier(clips + background))
    np.testing.assert_allclose(covered, pair[0], atol=1e-5)


def test_motion_classifier_learns_directions(monkeypatch):
    monkeypatch.setattr(clip_classifier, "_EPOCHS", 18)
    classifier = evaluation.load_or_train_classifier(
        shapes(240, 1), shapes(60, 2), num_frames=4, motion_only=True
    )
    assert classifier.motion_only
    assert classifier.accuracy > 0.3  # Chance is 1 / 12.


def test_motion_classifier_of_single_frames_raises():
    classifier = evaluation.ClipClassifier(3, motion_only=True)
    with pytest.raises(ValueError, match="at least 2 frames"):
        classifier(np.zeros((1, 1, 32, 32, 3), "float32"))


def test_sources_must_have_the_same_classes():
    without = ArraySource([np.zeros((4, 32, 32, 3), "uint8")])
    with pytest.raises(ValueError, match="0 training classes and 12 test"):
        evaluation.load_or_train_classifier(without, shapes(12, 0))


def test_concurrent_callers_share_the_first_weights(
    path, tmp_path, monkeypatch
):
    shared, num_trained = tmp_path / "shared.weights.h5", []

    def train(*_):
        num_trained.append(1)
        time.sleep(0.2)  # Meanwhile the other one waits.
        classifier = evaluation.ClipClassifier(12)
        classifier.load_weights(path)
        return classifier

    monkeypatch.setattr(clip_classifier, "_train", train)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first, second = pool.map(load, [shared, shared])
    assert len(num_trained) == 1
    assert first.accuracy == second.accuracy > 0
    assert [file.name for file in tmp_path.iterdir()] == [shared.name]


def test_full_disk_leaves_no_classifier(path, tmp_path, monkeypatch):
    def train(*_):
        classifier = evaluation.ClipClassifier(12)
        classifier.load_weights(path)
        return classifier

    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(clip_classifier, "_train", train)
    monkeypatch.setattr(
        files.shutil, "disk_usage", lambda _: usage(2**30, 2**30, 0)
    )
    with pytest.raises(OSError, match="has 0 MiB left"):
        load(tmp_path / "new.weights.h5")
    assert list(tmp_path.iterdir()) == []


def test_names_of_features_and_distances(path):
    classifier = load(path)
    trained = evaluation.class_features(classifier)
    noise = evaluation.random_features()
    assert trained.distance == "class_frechet_distance"
    assert noise.distance == "random_frechet_distance"
    assert f"accuracy {classifier.accuracy}" in trained.name
    clips = np.random.default_rng(0).random((3, 12, 16, 16, 3), "float32")
    assert trained(clips).shape == noise(clips).shape == (3, 64)
    assert np.abs(trained(clips) - noise(clips)).max() > 0.01


def test_random_weights_are_the_same_on_every_backend():
    network = SmallVideoNetwork(seed=3)
    kernel = keras.ops.convert_to_numpy(network.convolutions[0].kernel)
    expected = np.random.default_rng(3).normal(size=(3, 3, 6, 16))
    expected = expected * (2 / 54) ** 0.5
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)


def test_serialization(path):
    classifier = load(path)
    twin = evaluation.ClipClassifier.from_config(classifier.get_config())
    twin.set_weights(classifier.get_weights())
    clips = keras.random.uniform((1, 4, 32, 32, 3))
    pair = [
        keras.ops.convert_to_numpy(model(clips)) for model in (twin, classifier)
    ]
    np.testing.assert_array_equal(*pair)


@pytest.mark.once
def test_videos_without_a_class_are_not_used():
    class PartlyLabeled(data.MovingShapes):
        def label(self, index):
            return super().label(index) if index % 3 else -1

    clips, labels = clip_classifier._clips(PartlyLabeled(6, 4, 32), 4)
    np.testing.assert_array_equal(labels, [1, 2, 4, 5])
    assert len(clips) == 4
