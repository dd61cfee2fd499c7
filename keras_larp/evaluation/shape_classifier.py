import os
import pathlib
import tempfile

import keras
import numpy as np
from keras import layers, ops

from keras_larp.data import MovingShapes, tokenizer_identity
from keras_larp.evaluation.feature_extractor import FeatureExtractor
from keras_larp.evaluation.small_video_network import (
    IMAGE_SIZE,
    SmallVideoNetwork,
)

_NUM_CLIPS, _NUM_TEST_CLIPS, _EPOCHS, _BATCH_SIZE = 960, 240, 12, 32
_SEED, _TEST_SEED = 1_000_003, 1_000_004


@keras.saving.register_keras_serializable(package="keras_larp")
class ShapeClassifier(keras.Model):
    """Tells the class of a clip of `keras_larp.data.MovingShapes`.

    What generated clips' classes and features are judged by where there are
    no weights of I3D. `load_or_train_shape_classifier` gives a trained one.

    Args:
        seed: Integer, of the initial weights, which are the same on every
            backend.

    Attributes:
        network: The layer of features.
        accuracy: Float in [0, 1], its own on clips that it was not trained
            on; 0 before training.

    Call arguments:
        videos: float `(B, T, H, W, 3)` in [0, 1].

    Returns:
        float32 `(B, 12)`, logits of the classes.
    """

    def __init__(self, seed=0, name="shape_classifier"):
        super().__init__(name=name, dtype="float32")
        self.seed = seed
        self.network = SmallVideoNetwork(seed)
        self.head = layers.Dense(
            len(MovingShapes.class_names),
            kernel_initializer="zeros",
            dtype="float32",
        )
        self.head.build((None, 64))
        self.accuracy_weight = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="accuracy"
        )
        self.built = True

    @property
    def accuracy(self):
        return round(float(ops.convert_to_numpy(self.accuracy_weight)), 6)

    def call(self, videos):
        return self.head(self.network(videos))

    def get_config(self):
        return {"seed": self.seed, "name": self.name}


def load_or_train_shape_classifier(path=None, num_frames=16, verbose=0):
    """A trained `ShapeClassifier`, of a fixed seed.

    Trains on one core in less than a minute. Processes that share a path get
    the same weights, also if they begin at once.

    Args:
        path: Optional path, ending in `.weights.h5`, that the weights are
            kept in: written where it is not there, else read.
        num_frames: Integer, length of the clips to train on.
        verbose: As of `keras.Model.fit`.

    Returns:
        A `ShapeClassifier`.

    Example:

    ```python
    classifier = keras_larp.evaluation.load_or_train_shape_classifier()
    classifier.accuracy  # about 1.0
    ```
    """
    if path is None:
        return _train(num_frames, verbose)
    path = pathlib.Path(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = pathlib.Path(folder) / path.name
            _train(num_frames, verbose).save_weights(part)
            try:
                os.link(part, path)
            except FileExistsError:
                pass  # Another process was first; its weights count.
    classifier = ShapeClassifier()
    classifier.load_weights(path)
    return classifier


def shape_features(classifier):
    """The classifier's features, as extractor of a Fréchet distance.

    Returns:
        A `FeatureExtractor`, of a distance that is called
        "shape_frechet_distance".
    """
    name = (
        f"shape_features (accuracy {classifier.accuracy}) "
        f"sha256:{tokenizer_identity(classifier)}"
    )
    return FeatureExtractor(classifier.network, name, "shape_frechet_distance")


def _train(num_frames, verbose):
    classifier = ShapeClassifier()
    clips, labels = _clips(_NUM_CLIPS, num_frames, _SEED)
    classifier.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    generator = np.random.default_rng(_SEED)
    for epoch in range(_EPOCHS):
        if epoch == _EPOCHS - 4:
            classifier.optimizer.learning_rate.assign(5e-4)
        # An order of our own, the same on every backend.
        order = generator.permutation(_NUM_CLIPS)
        classifier.fit(
            clips[order],
            labels[order],
            batch_size=_BATCH_SIZE,
            shuffle=False,
            verbose=verbose,
        )
    clips, labels = _clips(_NUM_TEST_CLIPS, num_frames, _TEST_SEED)
    accuracy = np.mean(predicted_classes(classifier, clips) == labels)
    classifier.accuracy_weight.assign(np.float32(accuracy))
    # A plain model: its weights without the state of training.
    trained = ShapeClassifier()
    trained.set_weights(classifier.get_weights())
    return trained


def predicted_classes(classifier, videos):
    """int `(B,)`, the likeliest class of each clip."""
    logits = classifier.predict(videos, batch_size=_BATCH_SIZE, verbose=0)
    return np.argmax(logits, axis=-1)


def _clips(count, num_frames, seed):
    source = MovingShapes(count, num_frames, IMAGE_SIZE, seed)
    items = [source[i] for i in range(count)]
    videos = np.stack([item["video"] for item in items])
    return videos, np.array([item["label"] for item in items], "int32")
