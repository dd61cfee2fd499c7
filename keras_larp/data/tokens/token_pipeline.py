import numpy as np

from keras_larp.data.pipelines.batch_dataset import BatchDataset, ItemStream
from keras_larp.data.tokens.token_source import TokenSource
from keras_larp.utils.checks import check_choice
from keras_larp.utils.optional_imports import require

grain = require("grain")


def token_dataset(
    folder,
    batch_size=64,
    shuffle=True,
    seed=0,
    repeat=True,
    shard_index=0,
    shard_count=1,
    drop_remainder=False,
    vocab_size=None,
    num_tokens=None,
    conditioning="class",
):
    """A Grain pipeline of batches of tokens, for `generator.fit`.

    The order, `repeat` and what a stopped run does are those of
    `video_dataset`.

    Args:
        folder: String or path, what `write_token_dataset` wrote, or a
            `TokenSource`.
        batch_size: Integer, clips in a batch.
        shuffle: Boolean.
        seed: Integer, of the order.
        repeat: Boolean, whether to go on for ever; otherwise one pass.
        shard_index: Integer, which part of the clips, from 0.
        shard_count: Integer, how many parts there are.
        drop_remainder: Boolean, whether a last batch that is not full is left
            out, where the pipeline ends.
        vocab_size: Optional integer, the number of codes that the generator
            was made for.
        num_tokens: Optional integer, the tokens a clip that it was made for.
        conditioning: String, `"class"` or, of tokens that were written with
            `num_condition_frames`, `"frames"`.

    Returns:
        A `TokenDataset`, a `grain.IterDataset` of dictionaries of
        `token_ids`, int32 `(batch_size, num_tokens)`, and either `class_ids`,
        int32 `(batch_size,)`, -1 for "no class", or `condition_ids`, int32
        `(batch_size, num_tokens + 1)`, the tokens of the condition frames
        with the separator.

    Raises:
        FileNotFoundError: If the folder or a shard is not there.
        ValueError: If an argument is out of range or is not that of the
            tokens, or if there are shards of several tokenizers.

    Example:

    ```python
    tokens = keras_larp.data.token_dataset("ucf101_tokens", batch_size=64)
    generator.fit(tokens, epochs=10)
    ```
    """
    source = folder if isinstance(folder, TokenSource) else TokenSource(folder)
    for name, value in (("vocab_size", vocab_size), ("num_tokens", num_tokens)):
        if value is not None and value != getattr(source, name):
            raise ValueError(
                f"The tokens have {name}={getattr(source, name)}, so that the "
                f"generator must have it too. Received: {name}={value}"
            )
    check_choice("conditioning", conditioning, ("class", "frames"))
    if conditioning == "frames" and source.num_condition_frames is None:
        raise ValueError(
            "These tokens were written without those of first frames. Write "
            "them with `num_condition_frames=`. Received: conditioning='frames'"
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

    def load(place, index):
        record = source[index]
        if conditioning == "class":
            condition = {"class_ids": np.int32(record["label"])}
        else:
            ids = np.append(record["condition_ids"], source.vocab_size)
            condition = {"condition_ids": ids.astype("int32")}
        return place, {"token_ids": record["token_ids"], **condition}

    def make_batches(items):
        return items.to_iter_dataset().batch(
            batch_size, drop_remainder=stream.drop_remainder
        )

    items = stream.indices.map_with_index(load)
    return TokenDataset(items, make_batches, stream, source)


class TokenDataset(BatchDataset):
    """Batches of tokens, made by `token_dataset`.

    `get_state` and `set_state` let a stopped run go on; see `BatchDataset`.

    Attributes:
        source: The `TokenSource`.
        steps_per_epoch: Integer, batches of one pass over the clips.
        repeats: Boolean, whether it never ends.
    """

    def __init__(self, items, make_batches, stream, source):
        super().__init__(items, make_batches, stream)
        self.source = source
