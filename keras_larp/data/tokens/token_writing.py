import contextlib
import os
import pathlib
import sys

import keras
from absl import flags, logging
from keras import ops

from keras_larp.data.pipelines.clip_loader import (
    ClipLoader,
    batch_clips,
    check_flip,
)
from keras_larp.data.pipelines.grain_pipeline import (
    MAX_WORKERS,
    decode_in_workers,
)
from keras_larp.data.sources.video_source import VideoSource
from keras_larp.data.tokens.source_fingerprint import (
    path_fingerprint,
    source_fingerprint,
)
from keras_larp.data.tokens.token_records import (
    VERSION,
    pack_record,
    read_description,
    shard_names,
    write_description,
)
from keras_larp.data.tokens.token_source import TokenSource
from keras_larp.layers.frame_condition import repeat_last_frame
from keras_larp.utils.checks import (
    check_attribute,
    check_boolean,
    check_integer,
    check_path,
)
from keras_larp.utils.differences import describe_differences
from keras_larp.utils.files import atomic_write, remove_temporary_files
from keras_larp.utils.fingerprints import model_fingerprint
from keras_larp.utils.locks import lock_folder
from keras_larp.utils.optional_imports import require

_NUM_THREADS = 4


def write_token_dataset(
    folder: str | os.PathLike,
    source: VideoSource,
    tokenizer: keras.Model,
    frame_sampling: str = "first",
    include_flips: bool = False,
    num_condition_frames: int | None = None,
    batch_size: int = 8,
    clips_per_shard: int = 1024,
    seed: int = 0,
    num_workers: int = 0,
    on_error: str = "raise",
) -> TokenSource:
    """Tokenizes the clips of a source into files for `token_dataset`.

    Each clip is read once. Shards are written atomically. If writing was
    interrupted, call the function again with the same arguments to write the
    missing shards. The folder of the videos may have moved in the meantime.

    Args:
        folder: String or path. Folder of the token data set; it is created if
            it does not exist.
        source: `VideoSource`, such as `UCF101`.
        tokenizer: `LARPTokenizer`, or an object with the same `encode`,
            `num_tokens`, `codebook_size`, `num_frames`, `image_size`,
            `get_config` and `weights`.
        frame_sampling: String. Which frames form a clip; see `video_dataset`.
            One clip per video, or all `"windows"`. Defaults to `"first"`.
        include_flips: Boolean. Whether to also write the mirrored clips.
            Defaults to `False`.
        num_condition_frames: Integer. Also writes the tokens of this many
            first frames, to train a generator for frame prediction. Defaults
            to `None`, which writes none.
        batch_size: Integer. Number of clips per call of the tokenizer.
            Defaults to 8.
        clips_per_shard: Integer. Number of clips per shard, not counting
            mirrored ones. Defaults to 1024.
        seed: Integer. Seed of random starts. Defaults to 0.
        num_workers: Integer. Number of decoding processes; see
            `video_dataset`. Defaults to 0.
        on_error: String. What to do with videos that do not decode: `"raise"`
            or `"skip"`. Defaults to `"raise"`.

    Returns:
        The `TokenSource` of the folder.

    Raises:
        BlockingIOError: If another process is writing the folder.
        ValueError: If the folder holds a token data set of another tokenizer,
            source or frame sampling; the message names the differences.
        VideoDecodeError: If a video does not decode; see `on_error`.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    tokens = keras_larp.data.write_token_dataset(
        "ucf101_tokens",
        source,
        tokenizer,
        frame_sampling="windows",
        include_flips=True,
    )
    ```
    """
    check_integer("batch_size", batch_size, 1)
    check_integer("clips_per_shard", clips_per_shard, 1)
    check_integer("num_workers", num_workers, 0, MAX_WORKERS)
    check_boolean("include_flips", include_flips)
    folder = check_path("folder", folder)
    check_attribute("tokenizer", tokenizer, "codebook_size", "LARPTokenizer")
    if num_condition_frames is not None:
        check_integer(
            "num_condition_frames",
            num_condition_frames,
            1,
            tokenizer.num_frames,
        )
    loader = ClipLoader(
        source,
        tokenizer.num_frames,
        tokenizer.image_size,
        frame_sampling,
        seed=seed,
        on_error=on_error,
    )
    if include_flips:
        check_flip(source)
    description = {
        "version": VERSION,
        "tokenizer": model_fingerprint(tokenizer),
        "source": source_fingerprint(source),
        "geometry": source.geometry,
        "vocab_size": tokenizer.codebook_size,
        "num_tokens": tokenizer.num_tokens,
        "class_names": list(source.class_names),
        "num_clips": len(loader),
        "clips_per_shard": clips_per_shard,
        "sampling": frame_sampling,
        "seed": seed,
        "flips": bool(include_flips),
        "num_condition_frames": num_condition_frames,
    }
    folder = pathlib.Path(folder)
    with lock_folder(folder):
        remove_temporary_files(folder)
        _start_or_resume(folder, description, source)
        _write_missing(
            folder,
            description,
            loader,
            tokenizer,
            batch_size,
            num_workers,
        )
    return TokenSource(folder)


def _write_missing(
    folder, description, loader, tokenizer, batch_size, num_workers
):
    """Writes the shards that the folder does not have."""
    clips_per_shard = description["clips_per_shard"]
    num_condition_frames = description["num_condition_frames"]
    names = shard_names(description)
    missing = [i for i, n in enumerate(names) if not (folder / n).is_file()]
    batches = _batches(
        loader, missing, clips_per_shard, batch_size, num_workers
    )
    with _ShardWriter(folder, names, missing) as writer:
        for indices, batch in batches:
            videos = [batch["video"]]
            if description["flips"]:
                videos.append(batch["video"][:, :, :, ::-1])
            encoded = [
                (
                    _encode(tokenizer, video),
                    _encode_first(tokenizer, video, num_condition_frames),
                )
                for video in videos
            ]
            for i, index in enumerate(indices.tolist()):
                writer.advance_to(index // clips_per_shard)
                for flipped, (token_ids, condition_ids) in enumerate(encoded):
                    writer.write(
                        pack_record(
                            token_ids[i],
                            batch["label"][i],
                            batch["start"][i],
                            bool(flipped),
                            loader.name(index),
                            tokenizer.codebook_size,
                            None if condition_ids is None else condition_ids[i],
                        )
                    )


def _start_or_resume(folder, description, source):
    """Writes the description of the data set, or compares it with the stored
    one."""
    stored = read_description(folder)
    if stored is None:
        write_description(folder, description)
        return
    requested = description
    # Computing the earlier fingerprint may render a clip.
    if stored["source"] != description["source"] and (
        stored["source"] == path_fingerprint(source)
    ):
        requested = {**description, "source": stored["source"]}
    differences = describe_differences(stored, requested)
    if differences:
        raise ValueError(
            f"{folder} holds another token data set. Choose another folder, "
            f"or delete it. Received: {differences}"
        )


def _batches(loader, shards, clips_per_shard, batch_size, num_workers):
    """Pairs of the indices of clips and a batch of these clips, in order."""
    grain = require("grain")
    if not flags.FLAGS.is_parsed():  # Grain's workers read flags.
        flags.FLAGS.mark_as_parsed()
    indices = [
        index
        for shard in shards
        for index in range(
            shard * clips_per_shard,
            min((shard + 1) * clips_per_shard, len(loader)),
        )
    ]
    clips = grain.MapDataset.source(indices).map(
        lambda index: (index, loader.load(0, index))
    )
    buffer_size = 2 * batch_size
    if num_workers:
        clips = decode_in_workers(clips, num_workers, buffer_size)
    else:
        clips = clips.to_iter_dataset(
            grain.ReadOptions(_NUM_THREADS, prefetch_buffer_size=buffer_size)
        )
    return clips.filter(lambda item: loader.keep(item[1])).batch(
        batch_size, batch_fn=batch_clips
    )


class _ShardWriter:
    """Context manager that writes shards one after the other.

    Each shard is written atomically. An exception discards the current one.

    Args:
        folder: Path.
        names: List of strings. File names of all shards.
        missing: List of integers. The shards to write, in order. Shards that
            get no record, because none of their videos decodes, are written
            empty.
    """

    def __init__(self, folder, names, missing):
        self._module = require("array_record.python.array_record_module")
        self._folder = folder
        self._names = names
        self._missing = list(missing)
        self._writer = None
        self._file = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if error[0] is not None:
            self._remove(*error)
            return
        try:
            while self._missing:
                self._complete()
        except BaseException:
            self._remove(*sys.exc_info())
            raise

    def _remove(self, *error):
        """Removes the shard that is being written after an exception."""
        if self._file is None:
            return
        if self._writer is not None:
            with contextlib.suppress(RuntimeError):  # It may be the error.
                self._writer.close()
        # `atomic_write` removes the file and lets the exception pass.
        self._file.__exit__(*error)

    def advance_to(self, shard):
        """Completes all shards before `shard` and opens it."""
        while self._missing[0] != shard:
            self._complete()
        self._open()

    def write(self, record):
        self._writer.write(record)

    def _open(self):
        if self._writer is None:
            self._file = atomic_write(self._path())
            # Training reads single records in random order.
            self._writer = self._module.ArrayRecordWriter(
                str(self._file.__enter__()), "group_size:1"
            )

    def _complete(self):
        self._open()
        self._writer.close()
        self._writer = None
        file, self._file = self._file, None
        file.__exit__(None, None, None)
        logging.info("Wrote %s", self._path())
        self._missing.pop(0)

    def _path(self):
        return self._folder / self._names[self._missing[0]]


def _encode(tokenizer, video):
    return ops.convert_to_numpy(tokenizer.encode(video))


def _encode_first(tokenizer, video, num_frames):
    """The tokens of the first frames, or `None` if `num_frames` is `None`."""
    if num_frames is None:
        return None
    first = repeat_last_frame(video, num_frames)
    return _encode(tokenizer, ops.convert_to_numpy(first))
