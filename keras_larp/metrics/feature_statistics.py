import numpy as np

from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.files import atomic_write


class FeatureStatistics:
    """Count, sum and sum of outer products of features.

    These are sufficient statistics of a Fréchet distance. They are NumPy
    arrays in float64. Statistics of subsets can be added in any order; each
    addition has the relative rounding error of float64 (about 1e-15).

    Args:
        extractor: String. Identifies the feature extractor, including a
            checksum of its weights. Statistics of different extractors can be
            neither added nor compared. Defaults to `""`.

    Attributes:
        extractor: String, see above.
        count: Integer. Number of samples.
        sum: float64 array `(D,)`, or `None` if there are no samples.
        sum_of_products: float64 array `(D, D)`, or `None` if there are no
            samples.

    Example:

    ```python
    statistics = keras_larp.metrics.FeatureStatistics("my features")
    statistics.update(np.random.normal(size=(100, 16)))
    statistics.save("part_0.npz")
    total = statistics + keras_larp.metrics.FeatureStatistics.load("part_0.npz")
    total.count  # 200
    ```
    """

    def __init__(self, extractor=""):
        self.extractor = extractor
        self.count = 0
        self.sum = None
        self.sum_of_products = None

    @property
    def num_features(self):
        """Integer. Number of features, or `None` if there are no samples."""
        return None if self.sum is None else self.sum.shape[0]

    def update(self, features):
        """Adds samples.

        Args:
            features: Float array or tensor `(B, D)`.

        Raises:
            ValueError: If the rank is wrong, `D` differs from earlier
                samples, or a feature is not finite. No sample is added then.
        """
        features = to_numpy(features)
        if features.ndim != 2:
            raise ValueError(
                "Expected features of shape (samples, features). "
                f"Received: shape={features.shape}"
            )
        features = features.astype("float64")
        if self.num_features not in (None, features.shape[1]):
            raise ValueError(
                f"Expected {self.num_features} features per sample, as in "
                f"earlier updates. Received: shape={features.shape}"
            )
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise ValueError(
                "Expected finite features. Received: NaN or infinity in "
                f"{int((~finite).sum())} of {len(finite)} samples, first at "
                f"index {int(np.argmin(finite))}. Are the clips finite?"
            )
        if self.sum is None:
            size = features.shape[1]
            self.sum = np.zeros(size)
            self.sum_of_products = np.zeros((size, size))
        self.count += len(features)
        self.sum += features.sum(axis=0)
        self.sum_of_products += features.T @ features

    def __add__(self, other):
        """Returns the statistics of the union of both sets.

        Raises:
            ValueError: If the extractors or the numbers of features differ.
        """
        if not isinstance(other, FeatureStatistics):
            return NotImplemented
        check_comparable(self, other)
        total = FeatureStatistics(self.extractor)
        total.count = self.count + other.count
        # Statistics without samples have no arrays yet.
        parts = [part for part in (self, other) if part.sum is not None]
        if parts:
            total.sum = sum(part.sum for part in parts)
            total.sum_of_products = sum(p.sum_of_products for p in parts)
        return total

    def mean_and_covariance(self):
        """Returns mean `(D,)` and population covariance `(D, D)`, float64.

        Raises:
            ValueError: If there are fewer than two samples.
        """
        if self.count < 2:
            raise ValueError(
                f"A covariance needs at least 2 samples. Received: {self.count}"
            )
        mean = self.sum / self.count
        covariance = self.sum_of_products / self.count - np.outer(mean, mean)
        return mean, covariance

    def save(self, path):
        """Writes an `.npz` file atomically.

        Args:
            path: String or path. Missing parent folders are created.

        Raises:
            ValueError: If there are no samples.
        """
        if not self.count:
            raise ValueError("There are no samples to save. Call `update`.")
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                extractor=np.array(self.extractor),
                count=np.int64(self.count),
                sum=self.sum,
                sum_of_products=self.sum_of_products,
            )

    @classmethod
    def load(cls, path):
        """Reads a file written by `save`, without unpickling.

        Args:
            path: String or path.

        Returns:
            `FeatureStatistics`.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file is damaged or of another kind.
        """
        statistics = cls()
        try:
            with np.load(path, allow_pickle=False) as arrays:
                statistics.extractor = str(arrays["extractor"])
                statistics.count = int(arrays["count"])
                statistics.sum = arrays["sum"]
                statistics.sum_of_products = arrays["sum_of_products"]
            size = statistics.num_features
            if statistics.sum_of_products.shape != (size, size):
                raise ValueError("the shapes of its arrays do not match")
        except FileNotFoundError:
            raise
        # A damaged zip file raises many types of errors.
        except Exception as error:
            raise ValueError(
                "Expected a file that `FeatureStatistics.save` wrote. "
                f"Received: {path} ({error})"
            ) from error
        return statistics


def check_comparable(first, second):
    """Raises `ValueError` unless statistics share an extractor and size."""
    if first.extractor != second.extractor:
        raise ValueError(
            "Expected statistics of the same extractor. Received: "
            f"{first.extractor!r} and {second.extractor!r}"
        )
    sizes = first.num_features, second.num_features
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(
            "Expected statistics with the same number of features. Received: "
            f"{sizes[0]} and {sizes[1]}"
        )
