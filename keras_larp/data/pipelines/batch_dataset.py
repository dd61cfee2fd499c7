from absl import flags

from keras_larp.utils.checks import check_integer
from keras_larp.utils.optional_imports import require

grain = require("grain")

# `fit` looks at the first batches of a data set, through an iterator of their
# own, before it trains on any.
_LOOKED_AT = 2
# Batches may be fetched so far ahead of training.
_REMEMBERED = 4096


class ItemStream:
    """In which order the items of a source come, and how many batches a pass
    has. The arguments are those of `video_dataset`.

    Attributes:
        indices: `grain.MapDataset` of indices, endless where it repeats.
        length: Integer, items of one pass.
        steps: Integer, batches of one pass.
        repeats: Boolean.
        drop_remainder: Boolean, whether the batches have to be cut.
        identity: Dictionary of what the order depends on.
    """

    def __init__(
        self,
        count,
        batch_size,
        shuffle,
        seed,
        repeat,
        shard_index,
        shard_count,
        drop_remainder,
    ):
        check_integer("batch_size", batch_size, 1)
        check_integer("seed", seed, 0)
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
        self.drop_remainder = drop_remainder and not repeat
        self.identity = {
            "length": count,
            "shuffle": bool(shuffle),
            "seed": seed,
            "shard_index": shard_index,
            "shard_count": shard_count,
        }


class BatchDataset(grain.IterDataset):
    """Batches for `fit` that can go on, at the very batch, after a stop.

    Positions are counted in items from the beginning of the stream, through
    all epochs, so that a run may go on with another number of workers or
    another batch size. `video_dataset` and `token_dataset` make these.

    A callback knows how many batches were trained, whatever was fetched
    ahead, saves `get_state` of that number, and hands the state to
    `set_state` when training begins again.

    Args:
        items: A `grain.MapDataset`, endless where it repeats.
        make_batches: Function of `items`, or a slice of them, to a
            `grain.IterDataset` of pairs: the places of a batch's items in
            `items`, and the batch.
        stream: The `ItemStream` behind the items. States of streams in
            another order are refused.

    Attributes:
        steps_per_epoch: Integer, batches of one pass.
        repeats: Boolean, whether it never ends.

    Example:

    ```python
    dataset = keras_larp.data.video_dataset(source, batch_size=8)
    batches = iter(dataset)
    next(batches), next(batches)
    state = dataset.get_state(1)  # as if only one had been asked for
    dataset.set_state(state)
    second_batch = next(iter(dataset))
    ```
    """

    def __init__(self, items, make_batches, stream):
        super().__init__(make_batches(items))
        self._items = items
        self._make_batches = make_batches
        self.steps_per_epoch = stream.steps
        self.repeats = stream.repeats
        self._identity = stream.identity
        self._start = 0
        self._ends = {0: 0}  # place behind each batch of the last iterator

    def __iter__(self):
        # Grain's workers read flags, which only `absl.app.run` parses.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        self._ends = {0: self._start}
        return _BatchIterator(self, self._ends)

    def get_state(self, batches=None):
        """Where the stream stands behind some batches.

        Args:
            batches: Integer, how many batches of the iterator that was made
                last have been used; all that it handed out where `None`.

        Returns:
            Dictionary of numbers and booleans, for `set_state`; fit for JSON.

        Raises:
            ValueError: If the iterator did not hand out so many, or handed
                out thousands more.
        """
        if batches is None:
            batches = max(self._ends)
        if batches not in self._ends:
            raise ValueError(
                "`batches` must be a number of batches that the last iterator "
                f"of this data set handed out, from {min(self._ends)} to "
                f"{max(self._ends)}. Received: batches={batches!r}"
            )
        return {**self._identity, "position": self._ends[batches]}

    def set_state(self, state):
        """Makes the next iterator begin where `get_state` was.

        Iterators after it begin at the beginning again. One that hands out no
        more than two batches, which is how `fit` looks at a data set, does
        not count.

        Args:
            state: What `get_state` returned, of a data set made with the same
                arguments; batch size and workers may differ.

        Raises:
            ValueError: If it is the state of another stream; says how.
        """
        self._start = self.check_state(state)
        self._ends = {0: self._start}

    def check_state(self, state):
        """The position in a state, or `ValueError` where it does not fit."""
        if not isinstance(state, dict) or "position" not in state:
            raise ValueError(
                "A state must be what `get_state` returned. "
                f"Received: {state!r}"
            )
        differing = {
            name: (state.get(name), value)
            for name, value in self._identity.items()
            if state.get(name) != value
        }
        position = state["position"]
        if not 0 <= position <= len(self._items):
            differing["position"] = (position, len(self._items))
        if differing:
            text = ", ".join(
                f"{name} {old!r} there and {new!r} here"
                for name, (old, new) in differing.items()
            )
            raise ValueError(
                "The state is that of another stream of items, so that going "
                "on would give other batches. Make the data set as it was "
                f"made then. Received: {text}"
            )
        return position


class _BatchIterator(grain.DatasetIterator):
    """Hands batches out and notes in `ends` where each of them ends."""

    def __init__(self, dataset, ends):
        self._dataset = dataset
        self._ends = ends
        self._begin(ends[0])

    def _begin(self, position):
        items = self._dataset._items
        items = items[position:] if position else items
        super().__init__(iter(self._dataset._make_batches(items)))
        self._count = 0
        self._ends.clear()
        self._ends[0] = position

    def __next__(self):
        places, batch = next(self._parent)
        self._count += 1
        self._ends[self._count] = int(places[-1]) + 1
        self._ends.pop(self._count - _REMEMBERED, None)
        if self._count == _LOOKED_AT + 1:
            self._dataset._start = 0
        return batch

    # Grain's own interface.

    def get_state(self):
        return {
            **self._dataset._identity,
            "position": self._ends[self._count],
        }

    def set_state(self, state):
        self._begin(self._dataset.check_state(state))
