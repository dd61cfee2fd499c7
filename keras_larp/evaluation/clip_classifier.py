import os
import zlib
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_larp.data.pipelines.clip_loader import ClipLoader, batch_clips
from keras_larp.data.sources.video_source import check_source
from keras_larp.evaluation.feature_extractor import FeatureExtractor
from keras_larp.evaluation.small_video_network import (
    IMAGE_SIZE,
    SmallVideoNetwork,
)
from keras_larp.utils.array_files import hdf5_shapes
from keras_larp.utils.checks import (
    check_boolean,
    check_instance,
    check_integer,
    check_path,
)
from keras_larp.utils.files import atomic_write, check_free_space
from keras_larp.utils.fingerprints import model_fingerprint
from keras_larp.utils.locks import lock_path

_EPOCHS, _BATCH_SIZE, _SEED = 12, 32, 1_000_003


@keras.saving.register_keras_serializable(package="keras_larp")
class ClipClassifier(keras.Model):
    """Classifier of clips, for data sets with few and distinct classes.

    It scores the classes and provides features of generated clips if no I3D
    weights are available. `load_or_train_classifier` returns a trained one.

    Args:
        num_classes: Integer. Number of classes.
        seed: Integer. Seed of the initial weights, which are equal on every
            backend. Defaults to 0.
        motion_only: Boolean. Whether to classify the differences between
            consecutive frames, in which the background of a fixed camera is
            invisible. Requires at least two frames. Defaults to `False`.

    Attributes:
        network: `SmallVideoNetwork` that computes the features.
        accuracy: Float in [0, 1]. Accuracy on the test clips; 0 before
            training.

    Call arguments:
        videos: Float tensor of shape `(B, T, H, W, 3)` with values in [0, 1].

    Returns:
        float32 tensor of shape `(B, num_classes)`, logits of the classes.

    Example:

    ```python
    classifier = keras_larp.evaluation.ClipClassifier(num_classes=12)
    classifier(np.zeros((2, 16, 32, 32, 3), "float32")).shape  # (2, 12)
    ```
    """

    def __init__(
        self, num_classes, seed=0, motion_only=False, name="clip_classifier"
    ):
        super().__init__(name=name, dtype="float32")
        self.num_classes = check_integer("num_classes", num_classes, 1)
        self.seed = check_integer("seed", seed, 0)
        self.motion_only = check_boolean("motion_only", motion_only)
        self.network = SmallVideoNetwork(seed)
        self.head = layers.Dense(
            num_classes, kernel_initializer="zeros", dtype="float32"
        )
        self.head.build((None, 64))
        self.accuracy_weight = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="accuracy"
        )
        # Checksum of the names of the classes and of the input.
        self.classes_weight = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            dtype="int32",
            name="classes",
        )
        self.built = True

    @property
    def accuracy(self) -> float:
        return round(float(ops.convert_to_numpy(self.accuracy_weight)), 6)

    def call(self, videos):
        if self.motion_only:
            videos = frame_differences(videos)
        return self.head(self.network(videos))

    def get_config(self):
        return {
            "num_classes": self.num_classes,
            "seed": self.seed,
            "motion_only": self.motion_only,
            "name": self.name,
        }


def frame_differences(videos: Any) -> Any:
    """Returns the differences of consecutive frames, mapped to [0, 1].

    Args:
        videos: Float tensor `(B, T, H, W, C)` in [0, 1].

    Returns:
        float32 tensor `(B, T - 1, H, W, C)`. Pixels that do not change are
        0.5.

    Raises:
        ValueError: If clips have a single frame.
    """
    if videos.shape[1] < 2:
        raise ValueError(
            "A classifier of motion needs clips of at least 2 frames. "
            f"Received: shape={tuple(videos.shape)}"
        )
    videos = ops.cast(videos, "float32")
    return (videos[:, 1:] - videos[:, :-1] + 1.0) / 2.0


def load_or_train_classifier(
    train: Any,
    test: Any,
    path: str | os.PathLike | None = None,
    num_frames: int = 16,
    verbose: int | str = 0,
    motion_only: bool = False,
) -> ClipClassifier:
    """Returns a trained `ClipClassifier`, loading it from a file if it exists.

    Training uses a fixed seed and takes one or two minutes on one core for a
    few thousand clips. Concurrent processes that share a path get the same
    weights.

    Args:
        train: Source of videos with classes, such as `MovingShapes`. One clip
            of each video with a class is used.
        test: Source of videos with the same classes, to measure the accuracy.
        path: Optional string or path that ends in `.weights.h5`. Weights are
            read from this file, or written to it if it does not exist.
        num_frames: Integer. Number of frames per clip. Defaults to 16.
        verbose: As in `keras.Model.fit`. Defaults to 0.
        motion_only: Boolean. See `ClipClassifier`. Defaults to `False`.

    Returns:
        A `ClipClassifier`.

    Raises:
        ValueError: If the sources have no classes or different ones, `path`
            has another suffix, or the file does not match the classes.

    Example:

    ```python
    train = keras_larp.data.MovingShapes(960, image_size=32, seed=1)
    test = keras_larp.data.MovingShapes(240, image_size=32, seed=2)
    classifier = keras_larp.evaluation.load_or_train_classifier(train, test)
    classifier.accuracy  # about 1.0
    ```
    """
    check_source(train)
    check_source(test)
    check_integer("num_frames", num_frames, 1)
    check_boolean("motion_only", motion_only)
    if path is not None:
        path = check_path("path", path)
    names = [source.class_names for source in (train, test)]
    if not names[0] or names[0] != names[1]:
        raise ValueError(
            "A classifier needs two sources with the same classes. Received: "
            f"{len(names[0])} training classes and {len(names[1])} test classes"
        )
    if path is None:
        return _train(train, test, num_frames, verbose, motion_only)
    if not path.name.endswith(".weights.h5"):
        raise ValueError(
            "The name of a classifier's weight file must end in .weights.h5. "
            f"Received: {path}"
        )
    # Of several processes, one trains the classifier, and the others wait.
    with lock_path(path, wait=True):
        if not path.exists():
            classifier = _train(train, test, num_frames, verbose, motion_only)
            with atomic_write(path) as temporary:
                check_free_space(path.parent, classifier.weights)
                classifier.save_weights(temporary)
    classifier = ClipClassifier(len(names[0]), motion_only=motion_only)
    try:
        hdf5_shapes(path, "Remove the file.")
        classifier.load_weights(path)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} does not hold a classifier of {len(names[0])} classes. "
            f"Choose another path to train one. ({error})"
        ) from error
    stored = int(ops.convert_to_numpy(classifier.classes_weight))
    if stored != _checksum(names[0], motion_only):
        is_other_kind = stored == _checksum(names[0], not motion_only)
        raise ValueError(
            f"{path} holds a classifier of {len(names[0])} classes with other "
            f"{'input' if is_other_kind else 'names'}. Choose another path to "
            f"train one. Received: motion_only={motion_only}"
        )
    return classifier


def _checksum(class_names, motion_only):
    """Returns a 31-bit checksum of the classes and the kind of input."""
    lines = [*map(str, class_names), *["(motion only)"] * motion_only]
    return zlib.crc32("\n".join(lines).encode()) >> 1


def class_features(classifier: ClipClassifier) -> FeatureExtractor:
    """Returns a feature extractor that uses the features of a classifier.

    Args:
        classifier: A trained `ClipClassifier`.

    Returns:
        A `FeatureExtractor` for a distance called `"class_frechet_distance"`.

    Example:

    ```python
    classifier = keras_larp.evaluation.ClipClassifier(num_classes=12)
    extractor = keras_larp.evaluation.class_features(classifier)
    extractor(np.zeros((2, 16, 32, 32, 3), "float32")).shape  # (2, 64)
    ```
    """
    check_instance("classifier", classifier, ClipClassifier)
    name = (
        f"class_features (accuracy {classifier.accuracy}) "
        f"sha256:{model_fingerprint(classifier)}"
    )
    return FeatureExtractor(classifier.network, name, "class_frechet_distance")


def _train(train, test, num_frames, verbose, motion_only):
    classifier = ClipClassifier(len(train.class_names), motion_only=motion_only)
    clips, labels = _clips(train, num_frames)
    classifier.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    generator = np.random.default_rng(_SEED)
    for epoch in range(_EPOCHS):
        if epoch == _EPOCHS - 4:
            classifier.optimizer.learning_rate.assign(5e-4)
        # Shuffle in NumPy, so that the order is equal on every backend.
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
    checksum = _checksum(train.class_names, motion_only)
    classifier.classes_weight.assign(np.int32(checksum))
    # A new model has the weights without the training state.
    trained = ClipClassifier(classifier.num_classes, motion_only=motion_only)
    trained.set_weights(classifier.get_weights())
    return trained


def predicted_classes(classifier: ClipClassifier, videos: Any) -> np.ndarray:
    """Returns the most likely class of each clip, integers of shape `(B,)`."""
    logits = classifier.predict(videos, batch_size=_BATCH_SIZE, verbose=0)
    return np.argmax(logits, axis=-1)


def _clips(source, num_frames):
    """Returns one clip per video with a class, `(N, T, 32, 32, 3)`, and the
    class ids `(N,)`."""
    loader = ClipLoader(source, num_frames, IMAGE_SIZE, seed=_SEED)
    indices = [i for i in range(len(loader)) if loader.label(i) >= 0]
    clips = [loader.load(0, index) for index in indices]
    clips = [(0, clip) for clip in clips if loader.keep(clip)]
    _, batch = batch_clips(clips)
    return batch["video"], batch["label"]
