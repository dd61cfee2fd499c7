"""Training on several devices and machines, on every backend."""

from keras_larp.distribution.data_parallel import data_parallel
from keras_larp.distribution.model_parallel import model_parallel
from keras_larp.distribution.processes import (
    initialize,
    is_chief,
    process_count,
    process_index,
)

# For the rest of the package.
from keras_larp.distribution.shared_folder import (
    lock_job_folder as lock_job_folder,
)
from keras_larp.distribution.shared_folder import on_chief as on_chief

__all__ = [
    "data_parallel",
    "initialize",
    "is_chief",
    "model_parallel",
    "process_count",
    "process_index",
]
