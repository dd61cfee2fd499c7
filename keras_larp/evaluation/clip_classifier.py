import os
import pathlib
import tempfile
import zlib

import keras
import numpy as np
from keras import layers, ops

from keras_larp.data import model_fingerprint
from keras_larp.data.pipelines.clip_loader import ClipLoader, batch_clips
from keras_larp.evaluation.feature_extractor import FeatureExtractor
from keras_larp.evaluation.small_video_network import (
    IMAGE_SIZE,
    SmallVideoNetwork,
)

_EPOCHS, _BATCH_SIZE, _SEED = 12, 32, 1_000_003


@keras.saving.register_keras_serializable(package="keras_larp")
class ClipClassifier(keras.Model):
    """Tells the class of a clip, in a domain of few and distinct classes.

    What generated clips' classes and features are judged by where there are
    no weights of I3D. `load_or_train_classifier` gives a trained one.

    Args:
        num_classes: Integer.
        seed: Integer, of the initial weights, which are the same on every
            backend.

    Attributes:
        network: The layer of features.
        accuracy: Float in [0, 1], its own on clips that it was not trained
            on; 0 before training.

    Call arguments:
        videos: float `(B, T, H, W, 3)` in [0, 1].

    Returns:
        float32 `(B, num_classes)`, logits of the classes.
    """

    def __init__(self, num_classes, seed=0, name="clip_classifier"):
        super().__init__(name=name, dtype="float32")
        self.num_classes = num_classes
        self.seed = seed
        self.network = SmallVideoNetwork(seed)
        self.head = layers.Dense(
            num_classes, kernel_initializer="zeros", dtype="float32"
        )
        self.head.build((None, 64))
        self.accuracy_weight = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="accuracy"
        )
        # A checksum of the names of the classes that it was trained on.
        self.classes_weight = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            dtype="int32",
            name="classes",
        )
        self.built = True

    @property
    def accuracy(self):
        return round(float(ops.convert_to_numpy(self.accuracy_weight)), 6)

    def call(self, videos):
        return self.head(self.network(videos))

    def get_config(self):
        return {
            "num_classes": self.num_classes,
            "seed": self.seed,
            "name": self.name,
        }


def load_or_train_classifier(train, test, path=None, num_frames=16, verbose=0):
    """A trained `ClipClassifier`, of a fixed seed.

    Trains on one core in a minute or two on a few thousand clips. Processes
    that share a path get the same weights, also if they begin at once.

    Args:
        train: A source of clips with classes, such as `MovingShapes`; one
            clip is taken of each video.
        test: Another one, with the same classes, on which it states its
            accuracy.
        path: Optional path, ending in `.weights.h5`, that the weights are
            kept in: written where it is not there, else read.
        num_frames: Integer, length of the clips.
        verbose: As of `keras.Model.fit`.

    Returns:
        A `ClipClassifier`.

    Raises:
        ValueError: If the sources have no classes or not the same, if the
            path ends otherwise, and for a file of other classes.

    Example:

    ```python
    train = keras_larp.data.MovingShapes(960, image_size=32, seed=1)
    test = keras_larp.data.MovingShapes(240, image_size=32, seed=2)
    classifier = keras_larp.evaluation.load_or_train_classifier(train, test)
    classifier.accuracy  # about 1.0
    ```
    """
    names = [source.class_names for source in (train, test)]
    if not names[0] or names[0] != names[1]:
        raise ValueError(
            "A classifier needs two sources with the same classes. Received: "
            f"{len(names[0])} classes to train and {len(names[1])} to test on"
        )
    if path is None:
        return _train(train, test, num_frames, verbose)
    path = pathlib.Path(path)
    if not path.name.endswith(".weights.h5"):
        raise ValueError(
            "The file of a classifier's weights must end in .weights.h5. "
            f"Received: {path}"
        )
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = pathlib.Path(folder) / path.name
            _train(train, test, num_frames, verbose).save_weights(part)
            try:
                os.link(part, path)
            except FileExistsError:
                pass  # Another process was first; its weights count.
    classifier = ClipClassifier(len(names[0]))
    try:
        classifier.load_weights(path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} holds no classifier of {len(names[0])} classes. Choose "
            f"another path, where one is trained. ({error})"
        ) from error
    if int(ops.convert_to_numpy(classifier.classes_weight)) != _checksum(
        names[0]
    ):
        raise ValueError(
            f"{path} holds a classifier of other classes, though as many, "
            f"{len(names[0])}. Choose another path, where one is trained."
        )
    return classifier


def _checksum(class_names):
    """31 bits that tell lists of names apart."""
    return zlib.crc32("\n".join(map(str, class_names)).encode()) >> 1


def class_features(classifier):
    """The classifier's features, as extractor of a Fréchet distance.

    Returns:
        A `FeatureExtractor`, of a distance that is called
        "class_frechet_distance".
    """
    name = (
        f"class_features (accuracy {classifier.accuracy}) "
        f"sha256:{model_fingerprint(classifier)}"
    )
    return FeatureExtractor(classifier.network, name, "class_frechet_distance")


def _train(train, test, num_frames, verbose):
    classifier = ClipClassifier(len(train.class_names))
    clips, labels = _clips(train, num_frames)
    classifier.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    generator = np.random.default_rng(_SEED)
    for epoch in range(_EPOCHS):
        if epoch == _EPOCHS - 4:
            classifier.optimizer.learning_rate.assign(5e-4)
        # An order of our own, the same on every backend.
        order = generator.permutation(len(clips))
        classifier.fit(
            clips[order],
            labels[order],
            batch_size=_BATCH_SIZE,
            shuffle=False,
            verbose=verbose,
        )
    clips, labels = _clips(test, num_frames)
    accuracy = np.mean(predicted_classes(classifier, clips) == labels)
    classifier.accuracy_weight.assign(np.float32(accuracy))
    classifier.classes_weight.assign(np.int32(_checksum(train.class_names)))
    # A plain model: its weights without the state of training.
    trained = ClipClassifier(classifier.num_classes)
    trained.set_weights(classifier.get_weights())
    return trained


def predicted_classes(classifier, videos):
    """int `(B,)`, the likeliest class of each clip."""
    logits = classifier.predict(videos, batch_size=_BATCH_SIZE, verbose=0)
    return np.argmax(logits, axis=-1)


def _clips(source, num_frames):
    """float32 `(N, T, 32, 32, 3)` and classes of a clip of each video."""
    loader = ClipLoader(source, num_frames, IMAGE_SIZE, seed=_SEED)
    clips = [loader.load(0, index) for index in range(len(loader))]
    clips = [(0, clip) for clip in clips if loader.keep(clip)]
    _, batch = batch_clips(clips)
    return batch["video"], batch["label"]
