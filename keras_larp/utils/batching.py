from typing import Any

import numpy as np
from keras import ops


def pad_batch(batch: Any, batch_size: int) -> Any:
    """Pads a batch to a fixed size by repeating its last item.

    A constant batch size avoids recompilation for a smaller last batch. Slice
    the result with `[:len(batch)]` to drop the padding.

    Args:
        batch: NumPy array or tensor `(B, ...)` with `1 <= B <= batch_size`.
        batch_size: Integer.

    Returns:
        Array or tensor `(batch_size, ...)`, of the type of `batch`.
    """
    missing = batch_size - len(batch)
    if not missing:
        return batch
    library = np if isinstance(batch, np.ndarray) else ops
    padding = library.repeat(batch[-1:], missing, axis=0)
    return library.concatenate([batch, padding])
