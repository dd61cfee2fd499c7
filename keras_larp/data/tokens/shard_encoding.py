"""Encoding and writing of the shards of a token data set."""

import contextlib
import itertools
import pathlib
from collections.abc import Iterable, Iterator

from absl import flags, logging
from keras import ops

from keras_larp.data.pipelines.clip_loader import ClipLoader, batch_clips
from keras_larp.data.pipelines.grain_pipeline import decode_in_workers
from keras_larp.data.tokens.token_records import pack_record
from keras_larp.layers.frame_condition import repeat_last_frame
from keras_larp.utils.files import atomic_write
from keras_larp.utils.optional_imports import require

_NUM_THREADS = 4


def encode_shards(
    shards: list[int],
    description: dict,
    loader: ClipLoader,
    tokenizer,
    batch_size: int,
    num_workers: int,
) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Encodes the clips of shards.

    Batches do not cross shards, so that the tokens of a shard do not depend
    on the process that encodes it.

    Args:
        shards: List of integers. Indices of the shards.
        description: Dictionary. Description of the data set.
        loader: `ClipLoader` of the clips.
        tokenizer: See `write_token_dataset`.
        batch_size: Integer. Maximum number of clips per batch.
        num_workers: Integer. Number of decoding processes.

    Yields:
        Pairs of the index of a shard and an iterator of its records, which
        must be exhausted before the next pair.
    """
    if not shards:
        return
    size = description["clips_per_shard"]
    ranges = [range(i * size, min((i + 1) * size, len(loader))) for i in shards]
    all_indices = list(itertools.chain.from_iterable(ranges))
    clips = iter(_load_clips(all_indices, loader, batch_size, num_workers))
    for shard, indices in zip(shards, ranges, strict=True):
        items = itertools.islice(clips, len(indices))
        kept = (item for item in items if loader.keep(item[1]))
        yield shard, _records(kept, description, loader, tokenizer, batch_size)


def write_shard(path: pathlib.Path, records: Iterable[bytes]) -> None:
    """Writes a shard atomically.

    A shard without records, because none of its videos decodes, is written
    too.
    """
    module = require("array_record.python.array_record_module")
    with atomic_write(path) as temporary:
        # Training reads single records in random order.
        writer = module.ArrayRecordWriter(str(temporary), "group_size:1")
        try:
            for record in records:
                writer.write(record)
        except BaseException:
            with contextlib.suppress(RuntimeError):  # It may be the error.
                writer.close()
            raise
        writer.close()
    logging.info("Wrote %s", path)


def _load_clips(indices, loader, batch_size, num_workers):
    """Iterable of pairs of the index of a clip and the clip, in order."""
    grain = require("grain")
    if not flags.FLAGS.is_parsed():  # Grain's workers read flags.
        flags.FLAGS.mark_as_parsed()
    clips = grain.MapDataset.source(indices).map(
        lambda index: (index, loader.load(0, index))
    )
    buffer_size = 2 * batch_size
    if num_workers:
        return decode_in_workers(clips, num_workers, buffer_size)
    return clips.to_iter_dataset(
        grain.ReadOptions(_NUM_THREADS, prefetch_buffer_size=buffer_size)
    )


def _records(clips, description, loader, tokenizer, batch_size):
    """Records of the clips of a shard, in order."""
    while items := list(itertools.islice(clips, batch_size)):
        indices, batch = batch_clips(items)
        videos = [batch["video"]]
        if description["flips"]:
            videos.append(batch["video"][:, :, :, ::-1])
        encoded = [_encode(tokenizer, video, description) for video in videos]
        for i, index in enumerate(indices.tolist()):
            for flipped, (token_ids, condition_ids) in enumerate(encoded):
                yield pack_record(
                    token_ids[i],
                    batch["label"][i],
                    batch["start"][i],
                    bool(flipped),
                    loader.name(index),
                    description["vocab_size"],
                    None if condition_ids is None else condition_ids[i],
                )


def _encode(tokenizer, video, description):
    """The tokens of clips and of their first frames, or `None` for these if
    `num_condition_frames` is `None`."""

    def leading_tokens(video):
        token_ids = ops.convert_to_numpy(tokenizer.encode(video))
        return token_ids[:, : description["num_tokens"]]

    num_frames = description["num_condition_frames"]
    if num_frames is None:
        return leading_tokens(video), None
    first = ops.convert_to_numpy(repeat_last_frame(video, num_frames))
    return leading_tokens(video), leading_tokens(first)
