"""The classifier of moving shapes, trained for a moment."""

import keras
import numpy as np
import pytest

from keras_larp import data, evaluation
from keras_larp.evaluation import shape_classifier
from keras_larp.evaluation.small_video_network import SmallVideoNetwork


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shape_classifier, "_NUM_CLIPS", 240)
        patch.setattr(shape_classifier, "_NUM_TEST_CLIPS", 60)
        patch.setattr(shape_classifier, "_EPOCHS", 18)
        path = folder / "shapes.weights.h5"
        evaluation.load_or_train_shape_classifier(path, num_frames=4)
    return path


def test_it_learns_and_states_its_accuracy(path):
    classifier = evaluation.load_or_train_shape_classifier(path)
    source = data.MovingShapes(60, 4, 32, seed=shape_classifier._TEST_SEED)
    clips = np.stack([item["video"] for item in source])
    labels = np.arange(60) % 12
    found = shape_classifier.predicted_classes(classifier, clips)
    assert classifier.accuracy == pytest.approx(np.mean(found == labels))
    assert classifier.accuracy > 3 / 12


def test_processes_that_begin_at_once_share_the_first_weights(
    path, tmp_path, monkeypatch
):
    mine = tmp_path / "mine.weights.h5"

    def train(*_):
        # Meanwhile another process ends.
        mine.write_bytes(path.read_bytes())
        return evaluation.ShapeClassifier()

    monkeypatch.setattr(shape_classifier, "_train", train)
    classifier = evaluation.load_or_train_shape_classifier(mine)
    assert classifier.accuracy > 0
    assert [file.name for file in tmp_path.iterdir()] == [mine.name]


def test_features_have_a_name_of_their_own(path):
    classifier = evaluation.load_or_train_shape_classifier(path)
    shapes = evaluation.shape_features(classifier)
    noise = evaluation.random_features()
    assert shapes.distance == "shape_frechet_distance"
    assert noise.distance == "random_frechet_distance"
    assert f"accuracy {classifier.accuracy}" in shapes.name
    clips = np.random.default_rng(0).random((3, 12, 16, 16, 3), "float32")
    assert shapes(clips).shape == noise(clips).shape == (3, 64)
    assert np.abs(shapes(clips) - noise(clips)).max() > 0.01


def test_random_weights_are_the_same_on_every_backend():
    network = SmallVideoNetwork(seed=3)
    kernel = keras.ops.convert_to_numpy(network.convolutions[0].kernel)
    expected = np.random.default_rng(3).normal(size=(3, 3, 6, 16))
    expected = expected * (2 / 54) ** 0.5
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)


def test_serialization(path):
    classifier = evaluation.load_or_train_shape_classifier(path)
    twin = evaluation.ShapeClassifier.from_config(classifier.get_config())
    twin.set_weights(classifier.get_weights())
    clips = keras.random.uniform((1, 4, 32, 32, 3))
    pair = [
        keras.ops.convert_to_numpy(model(clips)) for model in (twin, classifier)
    ]
    np.testing.assert_array_equal(*pair)
