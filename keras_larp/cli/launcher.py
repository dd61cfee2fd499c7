"""Commands whose work the processes of a launcher share."""

from absl import flags

import keras_larp
from keras_larp.cli import lazy_keras as keras


def initialize(values: flags.FlagValues) -> None:
    """Connects the processes that a launcher such as torchrun started.

    Without a launcher, it does nothing.

    Args:
        values: The parsed flags. With `--shard`, the user splits the work.

    Raises:
        ValueError: If `--shard` is combined with a launcher, or the backend
            does not connect processes.
    """
    backend = keras.backend.backend()
    shard = values.shard if "shard" in values else None
    if not is_launched():
        return
    if backend == "tensorflow":
        # Without a connection, `--shard` is the way to split the work.
        if shard:
            return
        hint = ", or pass --shard=i/n to process i" * ("shard" in values)
        raise ValueError(
            "On TensorFlow, the processes of a launcher cannot share the "
            f"work. Use KERAS_BACKEND=jax or torch{hint}. Received: several "
            "processes"
        )
    if shard:
        raise ValueError(
            "A launcher (torchrun or srun) started several processes, which "
            "split the work themselves. Omit --shard, or start the command "
            f"without a launcher. Received: --shard={shard}"
        )
    keras_larp.distribution.initialize()


def is_launched() -> bool:
    """Whether a launcher started several processes of this command."""
    job = keras_larp.distribution.launchers.find_job(keras.backend.backend())
    return job is not None and job.process_count != 1


def shard(values: flags.FlagValues) -> tuple[int, int]:
    """Returns the index of the part of this process and the number of parts:
    those of `--shard` or, if it is omitted, of the launcher's process."""
    if values.shard:
        return keras_larp.evaluation.shards.parse_shard(values.shard)
    return (
        keras_larp.distribution.process_index(),
        keras_larp.distribution.process_count(),
    )
