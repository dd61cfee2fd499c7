"""Types of public functions."""

from typing import Any, TypeAlias

# A tensor of the active backend, a NumPy array or a `keras.KerasTensor`. The
# backends share no base class.
Tensor: TypeAlias = Any
