import numpy as np

from keras_larp.metrics.feature_extraction import (
    describe_extractor,
    extract_features,
)
from keras_larp.metrics.feature_statistics import (
    FeatureStatistics,
    check_comparable,
)


def frechet_distance(first, second):
    """Fréchet distance of two Gaussians with the moments of two sets.

    Few samples are enough, since covariances may be singular; but the distance
    of few samples is larger than that of many.

    Args:
        first: `FeatureStatistics` of at least two samples.
        second: The same, of the same extractor.

    Returns:
        Float, zero or more.

    Raises:
        ValueError: for statistics of different extractors or numbers of
            features, and for fewer than two samples.
    """
    check_comparable(first, second)
    mean_1, covariance_1 = first.mean_and_covariance()
    mean_2, covariance_2 = second.mean_and_covariance()
    # The trace of the square root of the product is the sum of the singular
    # values of the roots' product: real, and without squared rounding errors.
    product = _root(covariance_1).T @ _root(covariance_2)
    overlap = np.linalg.svd(product, compute_uv=False).sum()
    distance = np.sum((mean_1 - mean_2) ** 2) - 2.0 * overlap
    distance += np.trace(covariance_1) + np.trace(covariance_2)
    return max(float(distance), 0.0)


def _root(covariance):
    """R with R @ R.T = covariance, and what is only rounding set to zero."""
    values, vectors = np.linalg.eigh(covariance)
    floor = len(values) * np.finfo("float64").eps * np.abs(values).max()
    return vectors * np.sqrt(np.where(values > floor, values, 0.0))


class FrechetVideoDistance:
    """Fréchet distance between the features of real and generated clips.

    With the I3D of Kinetics-400 as extractor this is the Fréchet Video
    Distance. Values compare only under one protocol: the same extractor,
    numbers of clips and frames, frame sizes, and choice of real clips.

    Statistics are kept in float64 on the host, apart from training: pass this
    to no `compile`. Those of several processes can be saved, loaded and added.

    Args:
        feature_extractor: Callable from clips to features `(B, D)`: a
            `keras_larp.models.I3D`, a `keras_larp.presets.TorchScriptI3D`, or
            your own.
        extractor_name: Optional string. Identifies the extractor in saved
            statistics. Defaults to the class and a checksum of the weights
            for a Keras model, and otherwise to the `name` attribute or the
            qualified name of the callable.

    Attributes:
        real, generated: `FeatureStatistics`.

    Example:

    ```python
    fvd = keras_larp.metrics.FrechetVideoDistance(
        keras_larp.presets.load_i3d("i3d_pretrained_400.pt")
    )
    for video, _ in test:
        fvd.update_state(video, tokenizer(video))
    fvd.result()  # a float
    fvd.generated.save("generated.npz")
    ```

    Reference:
        [Towards Accurate Generative Models of Video](
        https://arxiv.org/abs/1812.01717)
    """

    def __init__(self, feature_extractor, extractor_name=None):
        if not callable(feature_extractor):
            raise ValueError(
                "Expected a callable from clips to features. "
                f"Received: feature_extractor={feature_extractor!r}"
            )
        self.feature_extractor = feature_extractor
        self.extractor_name = extractor_name or describe_extractor(
            feature_extractor
        )
        self.reset_state()

    def reset_state(self):
        """Forgets all clips."""
        self.real = FeatureStatistics(self.extractor_name)
        self.generated = FeatureStatistics(self.extractor_name)

    def update_real(self, videos):
        """Adds real clips: what the extractor takes, `(B, ...)`."""
        self.real.update(self._features(videos))

    def update_generated(self, videos):
        """Adds generated clips or reconstructions."""
        self.generated.update(self._features(videos))

    def update_state(self, real, generated):
        """Adds clips to both sets; they need not be equally many."""
        self.update_real(real)
        self.update_generated(generated)

    def result(self):
        """The distance, a float of zero or more.

        Raises:
            ValueError: for fewer than two clips in a set.
        """
        for name in ("real", "generated"):
            count = getattr(self, name).count
            if count < 2:
                raise ValueError(
                    f"Expected at least 2 {name} clips. Received: {count}"
                )
        return frechet_distance(self.real, self.generated)

    def _features(self, videos):
        return extract_features(
            self.feature_extractor, self.extractor_name, videos
        )
