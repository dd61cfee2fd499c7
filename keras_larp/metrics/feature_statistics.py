import numpy as np

from keras_larp.utils.array_files import read_npz
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.checks import check_instance, check_path
from keras_larp.utils.files import atomic_write

# Kinds of dtype, and ranks, of the arrays in a file.
_ARRAYS = {
    "extractor": ("U", 0),
    "count": ("iu", 0),
    "sum": ("f", 1),
    "sum_of_products": ("f", 2),
}
_RELATIVE_TOLERANCE = 1e-6
_REMEDY = (
    "Pass a file that `FeatureStatistics.save` wrote, or compute the "
    "statistics again."
)


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
        self.extractor = check_instance("extractor", extractor, str)
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
        path = check_path("path", path)
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
            ValueError: If the file is damaged or of another kind, or its
                numbers are no statistics, such as a negative count.
        """
        path = check_path("path", path)
        arrays = read_npz(path, _REMEDY)
        problem = _find_problem(arrays)
        if problem:
            raise ValueError(
                f"{path} does not hold statistics: {problem}. {_REMEDY}"
            )
        statistics = cls(str(arrays["extractor"]))
        statistics.count = int(arrays["count"])
        statistics.sum = arrays["sum"].astype("float64")
        statistics.sum_of_products = arrays["sum_of_products"].astype("float64")
        return statistics


def _find_problem(arrays):
    """Returns what is wrong with the arrays of a file, or `None`."""
    for name, (kinds, rank) in _ARRAYS.items():
        if name not in arrays:
            return f"`{name}` is missing"
        array = arrays[name]
        if array.dtype.kind not in kinds or array.ndim != rank:
            return f"`{name}` has shape {array.shape} and dtype {array.dtype}"
    count, total, products = (
        arrays[name] for name in ("count", "sum", "sum_of_products")
    )
    if count < 1:
        return f"`count` is {count}, not a positive number"
    if not total.size or products.shape != 2 * total.shape:
        return (
            f"the shapes of its arrays do not match: `sum` has {total.shape}, "
            f"`sum_of_products` {products.shape}"
        )
    for name, array in (("sum", total), ("sum_of_products", products)):
        if not np.isfinite(array).all():
            return f"`{name}` has values that are not finite"
    squares = np.diagonal(products)
    # Bounds of rounding errors, with which `update` adds products.
    tolerance = _RELATIVE_TOLERANCE * squares.max()
    if np.abs(products - products.T).max() > tolerance:
        return "`sum_of_products` is not symmetric"
    if (squares + tolerance < total**2 / count).any():
        return "variances are negative"
    return None


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
