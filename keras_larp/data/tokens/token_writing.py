import os
import pathlib

import keras

from keras_larp.data.pipelines.clip_loader import ClipLoader, check_flip
from keras_larp.data.pipelines.grain_pipeline import MAX_WORKERS
from keras_larp.data.sources.video_source import VideoSource
from keras_larp.data.tokens.shard_encoding import encode_shards, write_shard
from keras_larp.data.tokens.source_fingerprint import (
    path_fingerprint,
    source_fingerprint,
)
from keras_larp.data.tokens.token_records import (
    VERSION,
    read_description,
    shard_name,
    shard_names,
    write_description,
)
from keras_larp.data.tokens.token_source import TokenSource
from keras_larp.distribution import (
    lock_job_folder,
    on_chief,
    process_count,
    process_index,
)
from keras_larp.utils.checks import (
    check_attribute,
    check_boolean,
    check_integer,
    check_path,
)
from keras_larp.utils.differences import describe_differences
from keras_larp.utils.elastic_checks import check_elastic
from keras_larp.utils.files import remove_temporary_files
from keras_larp.utils.fingerprints import model_fingerprint


def write_token_dataset(
    folder: str | os.PathLike,
    source: VideoSource,
    tokenizer: keras.Model,
    frame_sampling: str = "first",
    include_flips: bool = False,
    num_condition_frames: int | None = None,
    num_tokens: int | None = None,
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

    After `keras_larp.distribution.initialize`, call it in all processes: each
    writes a part of the shards of a folder that they share. The files are
    equal to those of a single process.

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
        num_tokens: Integer. Number of tokens per clip to write, the first ones
            of an elastic tokenizer. Defaults to `None`, all of them.
        batch_size: Integer. Number of clips per call of the tokenizer, fewer
            at the end of a shard. Defaults to 8.
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
            source or frame sampling; the message names the differences. Or if
            `num_tokens` needs an elastic tokenizer.
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
    folder, loader, description = prepare_token_dataset(
        folder,
        source,
        tokenizer,
        frame_sampling,
        include_flips,
        num_condition_frames,
        num_tokens,
        batch_size,
        clips_per_shard,
        seed,
        num_workers,
        on_error,
    )
    with lock_job_folder(folder):
        missing = missing_shards(folder, description, source)
        for shard, records in encode_shards(
            missing[process_index() :: process_count()],
            description,
            loader,
            tokenizer,
            batch_size,
            num_workers,
        ):
            write_shard(folder / shard_name(description, shard), records)
    return TokenSource(folder)


def prepare_token_dataset(
    folder,
    source,
    tokenizer,
    frame_sampling,
    include_flips,
    num_condition_frames,
    num_tokens,
    batch_size,
    clips_per_shard,
    seed,
    num_workers,
    on_error,
) -> tuple[pathlib.Path, ClipLoader, dict]:
    """Checks the arguments of `write_token_dataset`.

    Returns:
        The path of the folder, the `ClipLoader`, and the description of the
        data set.
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
    if num_tokens is None:
        num_tokens = tokenizer.num_tokens
    check_integer("num_tokens", num_tokens, 1, tokenizer.num_tokens)
    if num_tokens < tokenizer.num_tokens:
        check_elastic(tokenizer, num_tokens=num_tokens)
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
        "num_tokens": num_tokens,
        "class_names": list(source.class_names),
        "num_clips": len(loader),
        "clips_per_shard": clips_per_shard,
        "sampling": frame_sampling,
        "seed": seed,
        "flips": bool(include_flips),
        "num_condition_frames": num_condition_frames,
    }
    return folder, loader, description


def missing_shards(
    folder: pathlib.Path, description: dict, source: VideoSource
) -> list[int]:
    """Starts or resumes a data set and returns the shards to write.

    All processes of a job must call it together; they get the same list.

    Raises:
        ValueError: If the folder holds another data set.
    """

    def start():
        remove_temporary_files(folder)
        _start_or_resume(folder, description, source)
        names = shard_names(description)
        return [i for i, n in enumerate(names) if not (folder / n).is_file()]

    missing = on_chief(start)
    # Another process may have another tokenizer than the chief.
    _start_or_resume(folder, description, source)
    return missing


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
