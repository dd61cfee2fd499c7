import collections.abc
from typing import Any

import keras
from absl import flags

from keras_larp.distribution import process_count, process_index
from keras_larp.utils.checks import check_boolean, check_integer
from keras_larp.utils.differences import describe_differences
from keras_larp.utils.optional_imports import require

grain = require("grain")

# Before training, `fit` reads up to this many batches with a separate iterator.
_MAX_PEEKED_BATCHES = 2
# Iterators remember the positions of this many of the latest batches; fewer
# than these may be prefetched ahead of training.
_MAX_POSITIONS = 4096


class ItemStream:
    """The order of the items of a data set, and its number of batches.

    The arguments are those of `video_dataset`.

    After `keras_larp.distribution.initialize`, each process reads its part of
    each batch if the data set repeats, so that every process has the same
    number of complete batches. Of a single epoch, such as validation data,
    each process reads its part of the items, unless the backend's processes
    must evaluate the same batches together (JAX).

    Attributes:
        indices: `grain.MapDataset` of item indices; endless if it repeats.
        length: Integer. Number of items per epoch.
        steps: Integer. Number of batches per epoch.
        repeats: Boolean.
        drop_remainder: Boolean. Whether the last batch may have to be dropped.
        settings: Dictionary of everything that the order depends on.
        local_batch_size: Integer. Number of items of a batch that this process
            reads.
        is_sharded_by_process: Boolean. Whether each process reads a part of
            the items.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        repeat: bool,
        shard_index: int,
        shard_count: int,
        drop_remainder: bool,
    ):
        check_integer("batch_size", batch_size, 1)
        check_integer("seed", seed, 0)
        check_boolean("shuffle", shuffle)
        check_boolean("repeat", repeat)
        check_boolean("drop_remainder", drop_remainder)
        check_integer("shard_count", shard_count, 1, count)
        check_integer("shard_index", shard_index, 0, shard_count - 1)
        indices = grain.MapDataset.range(count)
        if shuffle:
            indices = indices.shuffle(seed=seed)
        indices = indices[shard_index::shard_count]
        self.length = len(indices)
        self.indices = indices.repeat() if repeat else indices
        self.steps = self.length // batch_size
        if self.length % batch_size and not (
            drop_remainder or (repeat and self.steps)
        ):
            self.steps += 1
        self.repeats = repeat
        self._batch_size = batch_size
        self._num_parts = _num_parts(repeat)
        self._part = process_index() if self._num_parts > 1 else 0
        if repeat:
            check_divisible(batch_size, self._num_parts)
        self.local_batch_size = -(-batch_size // self._num_parts)
        self.is_sharded_by_process = self._num_parts > 1
        self.drop_remainder = drop_remainder and not repeat
        self.settings: dict[str, Any] = {
            "length": count,
            "shuffle": bool(shuffle),
            "seed": seed,
            "shard_index": shard_index,
            "shard_count": shard_count,
        }

    def own_items(self, items):
        """The items that this process reads.

        Args:
            items: `grain.MapDataset`, from the start of a batch.
        """
        parts, part = self._num_parts, self._part
        if parts == 1:
            return items
        if not self.repeats:
            count = len(items)
            return items[count * part // parts : count * (part + 1) // parts]
        size, local_size = self._batch_size, self.local_batch_size

        def read(index):
            batch, row = divmod(index, local_size)
            return items[batch * size + part * local_size + row]

        return grain.MapDataset.range(len(items) // parts).map(read)

    def end_of_batch(self, start, position):
        """The position after the batch of an item.

        Args:
            start: Integer. Position of the first item that was read.
            position: Integer. Position of the last item of a batch that this
                process read.
        """
        if self._num_parts == 1:
            return position + 1
        batch = (position - start) // self._batch_size
        return start + (batch + 1) * self._batch_size


def check_divisible(batch_size, count):
    """Checks that a batch can be divided among processes or devices."""
    if batch_size % count:
        raise ValueError(
            "`batch_size` is the size of the global batch, and must be a "
            f"multiple of the number of processes. Received: "
            f"batch_size={batch_size} with {count} processes"
        )


def _num_parts(repeat):
    # On JAX, processes evaluate each batch together.
    is_part = repeat or keras.backend.backend() != "jax"
    return process_count() if is_part else 1


class BatchDataset(grain.IterDataset):
    """Batches for `fit`, with a state from which an interrupted run resumes.

    `video_dataset` and `token_dataset` create these data sets. A state is a
    position in the stream of items, counted through all epochs, so a run may
    resume with another batch size or number of workers.

    Batches are prefetched ahead of training. A callback therefore counts the
    batches that were trained on, saves `get_state` of that count, and passes
    the state to `set_state` before training resumes.

    Args:
        items: `grain.MapDataset` of items; endless if it repeats.
        make_batches: Function that returns a `grain.IterDataset` for `items`
            or a slice of it. Its elements are pairs: the positions in `items`
            of a batch's items, and the batch.
        stream: `ItemStream`. The order of the items. States of data sets in
            another order are refused.

    Attributes:
        steps_per_epoch: Integer. Number of batches per epoch.
        repeats: Boolean. Whether the data set is endless.
        is_sharded_by_process: Boolean. Whether each process of a distributed
            job reads a part of each batch.

    Example:

    ```python
    dataset = keras_larp.data.video_dataset(source, batch_size=8)
    batches = iter(dataset)
    next(batches), next(batches)
    state = dataset.get_state(1)  # After the first batch.
    dataset.set_state(state)
    second_batch = next(iter(dataset))
    ```
    """

    def __init__(
        self,
        items,
        make_batches: collections.abc.Callable,
        stream: ItemStream,
    ):
        super().__init__(make_batches(stream.own_items(items)))
        self._stream = stream
        self._items = items
        self._make_batches = make_batches
        self.steps_per_epoch = stream.steps
        self.repeats = stream.repeats
        self.is_sharded_by_process = stream.is_sharded_by_process
        self._settings = stream.settings
        self._start = 0
        # From the number of batches of the last iterator to the position.
        self._positions = {0: 0}

    def __iter__(self):
        # Grain's workers read flags, which only `absl.app.run` parses.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        self._positions = {0: self._start}
        return _BatchIterator(self, self._positions)

    def get_state(self, batches: int | None = None) -> dict:
        """Returns the state after a number of batches.

        Args:
            batches: Integer. Number of batches of the last iterator. Defaults
                to all that it returned.

        Returns:
            Dictionary of integers and booleans, which JSON can store.

        Raises:
            ValueError: If the iterator returned fewer batches, or thousands
                more.
        """
        if batches is None:
            batches = max(self._positions)
        if batches not in self._positions:
            raise ValueError(
                "`batches` must be a number of batches that the last iterator "
                f"of this data set returned, from {min(self._positions)} to "
                f"{max(self._positions)}. Received: batches={batches!r}"
            )
        return {**self._settings, "position": self._positions[batches]}

    def set_state(self, state: dict):
        """Makes the next iterator start from a state.

        Later iterators start from the beginning again. Iterators that return
        at most two batches do not count: `fit` uses one to infer shapes.

        Args:
            state: Result of `get_state` of a data set with the same arguments,
                except for the batch size and the number of workers.

        Raises:
            ValueError: If the state is one of another stream; the message
                names the differences.
        """
        self._start = self.check_state(state)
        self._positions = {0: self._start}

    def check_state(self, state: dict) -> int:
        """Returns the position in a state, or raises `ValueError`."""
        if not isinstance(state, collections.abc.Mapping) or (
            "position" not in state
        ):
            raise ValueError(
                f"A state must be a result of `get_state`. Received: {state!r}"
            )
        settings, position = dict(state), state["position"]
        del settings["position"]
        differences = describe_differences(settings, self._settings)
        is_position = isinstance(position, int) and (
            0 <= position <= len(self._items)
        )
        if not differences and not is_position:
            differences = f"position {position} of {len(self._items)} items"
        if differences:
            raise ValueError(
                "The state belongs to a data set with other items or another "
                "order. Create the data set with the arguments that it had. "
                f"Received: {differences}"
            )
        return position


class _BatchIterator(grain.DatasetIterator):
    """Returns batches and records the position after each in `positions`."""

    def __init__(self, dataset, positions):
        self._dataset = dataset
        self._positions = positions
        self._begin(positions[0])

    def _begin(self, position):
        items = self._dataset._items
        items = items[position:] if position else items
        items = self._dataset._stream.own_items(items)
        super().__init__(iter(self._dataset._make_batches(items)))
        self._start = position
        self._count = 0
        self._positions.clear()
        self._positions[0] = position

    def __next__(self):
        indices, batch = next(self._parent)
        self._count += 1
        self._positions[self._count] = self._dataset._stream.end_of_batch(
            self._start, int(indices[-1])
        )
        self._positions.pop(self._count - _MAX_POSITIONS, None)
        if self._count == _MAX_PEEKED_BATCHES + 1:
            self._dataset._start = 0
        return batch

    # Grain's own interface.

    def get_state(self):
        return {
            **self._dataset._settings,
            "position": self._positions[self._count],
        }

    def set_state(self, state):
        self._begin(self._dataset.check_state(state))
