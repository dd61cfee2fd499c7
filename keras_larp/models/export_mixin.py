import os
from typing import Any


class ExportMixin:
    """Exports a model that has not been called."""

    def input_signature(self) -> Any:
        """Returns the `keras.InputSpec`s of a batch of any size."""
        raise NotImplementedError

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports the forward pass; see `keras.Model.export`.

        To export `encode`, `decode` or `generate`, use
        `keras.export.ExportArchive`.

        Args:
            filepath: String or path. The artifact.
            format: String. See `keras.Model.export`. Defaults to
                `"tf_saved_model"`.
            verbose: Boolean. Whether to print a message. Defaults to the
                default of the format.
            input_signature: Structure of `keras.InputSpec`. Defaults to
                batches of any size.
            **kwargs: Options of the format.

        Raises:
            ValueError: If the backend does not support the format.
            ImportError: If a library that the format needs is not installed.
        """
        if input_signature is None:
            input_signature = [self.input_signature()]
        super().export(  # type: ignore[misc]
            filepath, format, verbose, input_signature, **kwargs
        )
