"""Named sizes of transformers, and models that are built from them."""

from typing import NamedTuple


class Size(NamedTuple):
    """The size of a transformer."""

    num_layers: int
    num_heads: int
    hidden_dim: int


class SizesMixin:
    """Adds `from_size` to a transformer model.

    Subclasses define `sizes`, a dictionary of names to `Size`s, and accept
    `num_layers`, `num_heads` and `hidden_dim` in their constructor.
    """

    sizes: dict[str, Size] = {}

    @classmethod
    def from_size(cls, size, **kwargs):
        """Creates a model of a named size.

        Args:
            size: String. A key of `sizes`.
            **kwargs: Further arguments of the constructor.

        Returns:
            A model with random weights.

        Raises:
            ValueError: If the size is unknown.
        """
        return cls(**cls.size_arguments(size), **kwargs)

    @classmethod
    def size_arguments(cls, size):
        """Returns the constructor arguments of a named size.

        Args:
            size: String. A key of `sizes`.

        Returns:
            Dictionary of `num_layers`, `num_heads` and `hidden_dim`.

        Raises:
            ValueError: If the size is unknown.
        """
        if not isinstance(size, str) or size not in cls.sizes:
            raise ValueError(
                f"Unknown size of {cls.__name__}: {size!r}. "
                f"Expected one of: {', '.join(cls.sizes)}"
            )
        return cls.sizes[size]._asdict()
