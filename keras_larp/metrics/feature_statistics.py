import os
import pathlib
import tempfile

import numpy as np


class FeatureStatistics:
    """Count, sum and sum of outer products of features, in float64 NumPy.

    What a Fréchet distance needs to know of a set of clips. Statistics of
    parts add up to those of the whole, whatever the parts and their order are,
    to the rounding of float64 (about 1e-15 of the largest sum for each
    addition).

    Args:
        extractor: String that tells what computed the features, with a
            checksum of its weights. Statistics of different extractors do not
            add and are not compared.

    Example:

    ```python
    statistics = keras_larp.metrics.FeatureStatistics("my features")
    statistics.update(np.random.normal(size=(100, 16)))
    statistics.save("part_0.npz")
    whole = statistics + keras_larp.metrics.FeatureStatistics.load("part_0.npz")
    whole.count  # 200
    ```
    """

    def __init__(self, extractor=""):
        self.extractor = extractor
        self.count = 0
        self.sum = None
        self.sum_of_products = None

    @property
    def num_features(self):
        """Integer, or `None` while there are no samples."""
        return None if self.sum is None else self.sum.shape[0]

    def update(self, features):
        """Adds samples.

        Args:
            features: float array `(B, D)`.

        Raises:
            ValueError: for another rank or another D than before, and for
                features that are not finite; nothing is added then.
        """
        features = np.asarray(features)
        if features.ndim != 2:
            raise ValueError(
                "Expected features of shape (samples, features). "
                f"Received: shape={features.shape}"
            )
        features = features.astype("float64")
        if self.num_features not in (None, features.shape[1]):
            raise ValueError(
                f"Expected {self.num_features} features a sample, as before. "
                f"Received: shape={features.shape}"
            )
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise ValueError(
                "Expected finite features. Received: NaN or infinity in "
                f"{int((~finite).sum())} of {len(finite)} samples, the first "
                f"at index {int(np.argmin(finite))}. Are the clips finite?"
            )
        if self.sum is None:
            size = features.shape[1]
            self.sum = np.zeros(size)
            self.sum_of_products = np.zeros((size, size))
        self.count += len(features)
        self.sum += features.sum(axis=0)
        self.sum_of_products += features.T @ features

    def __add__(self, other):
        """The statistics of both sets together.

        Raises:
            ValueError: for statistics of another extractor or with another
                number of features.
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
        """Mean `(D,)` and population covariance `(D, D)`, float64.

        Raises:
            ValueError: for fewer than two samples.
        """
        if self.count < 2:
            raise ValueError(
                f"A covariance needs at least 2 samples. Received: {self.count}"
            )
        mean = self.sum / self.count
        covariance = self.sum_of_products / self.count - np.outer(mean, mean)
        return mean, covariance

    def save(self, path):
        """Writes an `.npz` file beside its place and renames it when whole.

        Raises:
            ValueError: while there are no samples.
        """
        if not self.count:
            raise ValueError("There are no samples to save. Call `update`.")
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(suffix=path.suffix, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(
                    file,
                    extractor=np.array(self.extractor),
                    count=np.int64(self.count),
                    sum=self.sum,
                    sum_of_products=self.sum_of_products,
                )
            os.chmod(part, 0o644)
            os.replace(part, path)
        finally:
            pathlib.Path(part).unlink(missing_ok=True)

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote; nothing is unpickled.

        Raises:
            FileNotFoundError: where there is no such file.
            ValueError: for another kind of file, or a broken one.
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
                raise ValueError("its arrays do not fit together")
        except FileNotFoundError:
            raise
        # A broken zip file raises errors of many kinds.
        except Exception as error:
            raise ValueError(
                "Expected a file that `FeatureStatistics.save` wrote. "
                f"Received: {path} ({error})"
            ) from error
        return statistics


def check_comparable(first, second):
    """Raises where statistics differ in extractor or number of features."""
    if first.extractor != second.extractor:
        raise ValueError(
            "Expected statistics of one extractor. Received: "
            f"{first.extractor!r} and {second.extractor!r}"
        )
    sizes = first.num_features, second.num_features
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(
            "Expected statistics with equally many features. Received: "
            f"{sizes[0]} and {sizes[1]}"
        )
