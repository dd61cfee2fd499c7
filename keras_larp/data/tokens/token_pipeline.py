import os

import numpy as np

from keras_larp.data.pipelines.batch_dataset import BatchDataset, ItemStream
from keras_larp.data.tokens.token_source import TokenSource
from keras_larp.utils.checks import check_choice
from keras_larp.utils.optional_imports import require

grain = require("grain")


def token_dataset(
    folder: "str | os.PathLike | TokenSource",
    batch_size: int = 64,
    shuffle: bool = True,
    seed: int = 0,
    repeat: bool = True,
    shard_index: int = 0,
    shard_count: int = 1,
    drop_remainder: bool = False,
    vocab_size: int | None = None,
    num_tokens: int | None = None,
    conditioning: str = "class",
) -> "TokenDataset":
    """A Grain pipeline of batches of tokens, for `generator.fit`.

    Order, `repeat` and resuming work as in `video_dataset`.

    Args:
        folder: String or path. A folder that `write_token_dataset` wrote, or a
            `TokenSource`.
        batch_size: Integer. Number of clips per batch, over all processes
            after `keras_larp.distribution.initialize`. Defaults to 64.
        shuffle: Boolean. Whether to shuffle the clips. Defaults to `True`.
        seed: Integer. Seed of the order. Defaults to 0.
        repeat: Boolean. Whether the data set is endless; otherwise it is one
            epoch. Defaults to `True`.
        shard_index: Integer. Index of the shard. Defaults to 0.
        shard_count: Integer. Number of shards. Defaults to 1.
        drop_remainder: Boolean. Whether to drop an incomplete last batch if
            the data set does not repeat. Defaults to `False`.
        vocab_size: Integer. The vocabulary size of the generator, to check
            that the tokens match. Defaults to `None`, no check.
        num_tokens: Integer. The number of tokens per clip of the generator, to
            check that the tokens match. Defaults to `None`, no check.
        conditioning: String. `"class"`, or `"frames"` for tokens written with
            `num_condition_frames`. Defaults to `"class"`.

    Returns:
        A `TokenDataset`, a `grain.IterDataset` of dictionaries of
        `token_ids`, int32 `(batch_size, num_tokens)`, and either `class_ids`,
        int32 `(batch_size,)`, -1 for no class, or `condition_ids`, int32
        `(batch_size, num_tokens + 1)`, the tokens of the condition frames
        followed by the separator.

    Raises:
        FileNotFoundError: If the folder or a shard does not exist.
        ValueError: If an argument is out of range or does not match the
            tokens, or if there are shards of several tokenizers.

    Example:

    ```python
    tokens = keras_larp.data.token_dataset("ucf101_tokens", batch_size=64)
    generator.fit(tokens, epochs=10)
    ```
    """
    source = folder if isinstance(folder, TokenSource) else TokenSource(folder)
    for name, stored, requested in (
        ("vocab_size", source.vocab_size, vocab_size),
        ("num_tokens", source.num_tokens, num_tokens),
    ):
        if requested not in (None, stored):
            raise ValueError(
                f"The generator must have the {name} of the tokens, {stored}. "
                f"Received: {name}={requested}"
            )
    check_choice("conditioning", conditioning, ("class", "frames"))
    if conditioning == "frames" and source.num_condition_frames is None:
        raise ValueError(
            "The token data set has no tokens of condition frames. Write it "
            "with `num_condition_frames=`. Received: conditioning='frames'"
        )
    stream = ItemStream(
        len(source),
        batch_size,
        shuffle,
        seed,
        repeat,
        shard_index,
        shard_count,
        drop_remainder,
    )

    def load(position, index):
        record = source[index]
        if conditioning == "class":
            condition = {"class_ids": np.int32(record["label"])}
        else:
            ids = np.append(record["condition_ids"], source.vocab_size)
            condition = {"condition_ids": ids.astype("int32")}
        return position, {"token_ids": record["token_ids"], **condition}

    def make_batches(items):
        return items.to_iter_dataset().batch(
            stream.local_batch_size, drop_remainder=stream.drop_remainder
        )

    items = stream.indices.map_with_index(load)
    return TokenDataset(items, make_batches, stream, source)


class TokenDataset(BatchDataset):
    """Batches of tokens, created by `token_dataset`.

    Interrupted runs resume with `get_state` and `set_state`; see
    `BatchDataset`.

    Attributes:
        source: The `TokenSource`.
        steps_per_epoch: Integer. Number of batches per epoch.
        repeats: Boolean. Whether the data set is endless.
    """

    def __init__(self, items, make_batches, stream, source):
        super().__init__(items, make_batches, stream)
        self.source = source
