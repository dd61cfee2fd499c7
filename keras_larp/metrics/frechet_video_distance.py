import numpy as np

from keras_larp.metrics.feature_extraction import (
    describe_extractor,
    extract_features,
)
from keras_larp.metrics.feature_statistics import (
    FeatureStatistics,
    check_comparable,
)
from keras_larp.utils.checks import check_instance


def frechet_distance(
    first: FeatureStatistics, second: FeatureStatistics
) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features.

    Covariances may be singular, so that sets can be smaller than the number
    of features. The estimate is biased upwards for small sets.

    Args:
        first: `FeatureStatistics` of at least two samples.
        second: `FeatureStatistics` of at least two samples of the same
            extractor.

    Returns:
        Float, non-negative.

    Raises:
        ValueError: If the extractors or the numbers of features differ, or a
            set has fewer than two samples.

    Example:

    ```python
    first = keras_larp.metrics.FeatureStatistics()
    first.update(np.random.normal(size=(100, 16)))
    second = keras_larp.metrics.FeatureStatistics()
    second.update(np.random.normal(size=(80, 16)))
    distance = keras_larp.metrics.frechet_distance(first, second)
    ```
    """
    check_instance("first", first, FeatureStatistics)
    check_instance("second", second, FeatureStatistics)
    check_comparable(first, second)
    mean_1, covariance_1 = first.mean_and_covariance()
    mean_2, covariance_2 = second.mean_and_covariance()
    # The trace of the square root of the covariances' product equals the sum
    # of the singular values of the product of their square roots. These are
    # real and avoid squared rounding errors.
    product = _square_root(covariance_1).T @ _square_root(covariance_2)
    trace_of_root = np.linalg.svd(product, compute_uv=False).sum()
    distance = np.sum((mean_1 - mean_2) ** 2) - 2.0 * trace_of_root
    distance += np.trace(covariance_1) + np.trace(covariance_2)
    return max(float(distance), 0.0)


def _square_root(covariance):
    """R with `R @ R.T = covariance`; rounding noise is set to zero."""
    values, vectors = np.linalg.eigh(covariance)
    floor = len(values) * np.finfo("float64").eps * np.abs(values).max()
    return vectors * np.sqrt(np.where(values > floor, values, 0.0))


class FrechetVideoDistance:
    """Fréchet distance between features of real and generated clips.

    With the I3D network trained on Kinetics-400 as feature extractor, this is
    the Fréchet Video Distance (FVD). Values are comparable only under the
    same protocol: extractor, numbers of clips and frames, frame size, and
    selection of real clips.

    Statistics are accumulated in float64 on the host. This is not a
    `keras.metrics.Metric`; it cannot be passed to `compile`. Statistics of
    several processes can be saved, loaded and added.

    Args:
        feature_extractor: Callable from clips to features `(B, D)`: a
            `keras_larp.models.I3D`, a `keras_larp.presets.TorchScriptI3D`, or
            your own.
        extractor_name: Optional string. Identifies the extractor in saved
            statistics. Defaults to the class and a checksum of the weights
            for a Keras model, and otherwise to the `name` attribute or the
            qualified name of the callable.

    Attributes:
        extractor_name: String, see above.
        real: `FeatureStatistics` of the real clips.
        generated: `FeatureStatistics` of the generated clips.

    Example:

    ```python
    fvd = keras_larp.metrics.FrechetVideoDistance(
        lambda videos: videos.mean(axis=(1, 2, 3)), "mean color"
    )
    videos = np.random.uniform(size=(8, 16, 32, 32, 3))
    fvd.update_state(videos, 0.9 * videos)
    fvd.result()  # Float.
    fvd.generated.save("generated.npz")
    ```

    Reference:
        - [Towards Accurate Generative Models of Video](
          https://arxiv.org/abs/1812.01717)
    """

    def __init__(self, feature_extractor, extractor_name=None):
        if not callable(feature_extractor):
            raise ValueError(
                "Expected a callable that maps clips to features. "
                f"Received: feature_extractor={feature_extractor!r}"
            )
        self.feature_extractor = feature_extractor
        if extractor_name is not None:
            check_instance("extractor_name", extractor_name, str)
        self.extractor_name = extractor_name or describe_extractor(
            feature_extractor
        )
        self.reset_state()

    def reset_state(self):
        """Removes all clips."""
        self.real = FeatureStatistics(self.extractor_name)
        self.generated = FeatureStatistics(self.extractor_name)

    def update_real(self, videos):
        """Adds real clips `(B, ...)`."""
        self.real.update(self._features(videos))

    def update_generated(self, videos):
        """Adds generated or reconstructed clips `(B, ...)`."""
        self.generated.update(self._features(videos))

    def update_state(self, real, generated):
        """Adds real and generated clips; the batch sizes may differ."""
        self.update_real(real)
        self.update_generated(generated)

    def result(self):
        """Returns the distance as a non-negative float.

        Raises:
            ValueError: If a set has fewer than two clips.
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
