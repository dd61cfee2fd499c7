import hashlib
import os
import pathlib

import numpy as np
from absl import flags, logging
from keras import ops

from keras_larp.data.pipelines.clip_loader import (
    ClipLoader,
    batch_clips,
    check_mirroring,
)
from keras_larp.data.pipelines.grain_pipeline import decode_in_workers
from keras_larp.data.tokens.token_records import (
    VERSION,
    pack_record,
    read_description,
    shard_names,
    write_description,
)
from keras_larp.data.tokens.token_source import TokenSource
from keras_larp.layers.frame_condition import repeat_last_frame
from keras_larp.utils.checks import check_integer
from keras_larp.utils.fingerprints import model_fingerprint
from keras_larp.utils.optional_imports import require


def write_token_dataset(
    folder,
    source,
    tokenizer,
    frame_sampling="first",
    include_flips=False,
    num_condition_frames=None,
    batch_size=8,
    clips_per_shard=1024,
    seed=0,
    num_workers=0,
    on_error="raise",
):
    """Tokenizes the clips of a source into files that `token_dataset` reads.

    A shard takes its name when it is whole. Called again after a stop, with
    the same arguments, the function goes on with the shards that are missing.

    Args:
        folder: String or path; is made where it is not there.
        source: As in `video_dataset`.
        tokenizer: A `LARPTokenizer`, or what has its `encode`, `num_tokens`,
            `codebook_size`, `num_frames`, `image_size`, `get_config` and
            `weights`.
        frame_sampling: String, which frames make a clip; see `video_dataset`. One
            clip a video, or all `"windows"`.
        include_flips: Boolean, whether each clip's mirror image is written too.
        num_condition_frames: Optional integer. Where given, the tokens of the
            first frames are written too, which a generator for frame
            prediction is trained on.
        batch_size: Integer, clips that are encoded at once.
        clips_per_shard: Integer; copies by `include_flips` are not counted.
        seed: Integer, for random starts.
        num_workers: Integer, processes that decode, as in `video_dataset`.
        on_error: String: `"raise"`, or `"skip"` videos that do not decode.

    Returns:
        The `TokenSource` of the folder.

    Raises:
        ValueError: If the folder holds tokens of another tokenizer, source or
            way of sampling; says which.
        VideoDecodeError: If a video does not decode; see `on_error`.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    tokens = keras_larp.data.write_token_dataset(
        "ucf101_tokens", source, tokenizer, frame_sampling="windows", include_flips=True
    )
    ```
    """
    check_integer("batch_size", batch_size, 1)
    check_integer("clips_per_shard", clips_per_shard, 1)
    check_integer("num_workers", num_workers, 0)
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
        check_mirroring(source)
    description = {
        "version": VERSION,
        "tokenizer": model_fingerprint(tokenizer),
        "source": _source_identity(source),
        "vocab_size": tokenizer.codebook_size,
        "num_tokens": tokenizer.num_tokens,
        "class_names": list(getattr(source, "class_names", ())),
        "num_clips": len(loader),
        "clips_per_shard": clips_per_shard,
        "sampling": frame_sampling,
        "seed": seed,
        "flips": bool(include_flips),
        "num_condition_frames": num_condition_frames,
    }
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _begin(folder, description)
    names = shard_names(description)
    missing = [i for i, n in enumerate(names) if not (folder / n).is_file()]
    batches = _batches(
        loader, missing, clips_per_shard, batch_size, num_workers
    )
    writer = _ShardWriter(folder, names, missing)
    frames = num_condition_frames
    try:
        for places, batch in batches:
            videos = [batch["video"]]
            if include_flips:
                videos.append(batch["video"][:, :, :, ::-1])
            copies = [
                (_encode(tokenizer, video), _first(tokenizer, video, frames))
                for video in videos
            ]
            for i, place in enumerate(places.tolist()):
                writer.go_to(place // clips_per_shard)
                for flipped, (tokens, first) in enumerate(copies):
                    writer.write(
                        pack_record(
                            tokens[i],
                            batch["label"][i],
                            batch["start"][i],
                            flipped,
                            loader.name(place),
                            tokenizer.codebook_size,
                            None if first is None else first[i],
                        )
                    )
        writer.go_to(None)
    finally:
        writer.drop()
    return TokenSource(folder)


def _source_identity(source):
    """SHA-256 of the names and classes of a source's files; of videos that are
    no files, of the first alone, since all may take long to make."""
    digest = hashlib.sha256()
    source = getattr(source, "source", source)  # Of one that is kept or read.
    for part in getattr(source, "sources", [source]):  # Of a mixture.
        for item in part:
            if isinstance(item, dict):
                digest.update(np.ascontiguousarray(item["video"]).tobytes())
                break
            digest.update(f"{item.path} {item.label}\n".encode())
    return digest.hexdigest()


def _begin(folder, description):
    """Writes what the folder will hold, or checks that it is the same."""
    written = read_description(folder)
    if written is None:
        write_description(folder, description)
        return
    differing = [
        f"{name} {written.get(name)!r} there and {value!r} here"
        for name, value in description.items()
        if written.get(name) != value
    ]
    if differing:
        raise ValueError(
            f"{folder} holds another token data set. Choose another folder, "
            f"or delete it. Received: {', '.join(differing)}"
        )


def _batches(loader, shards, clips_per_shard, batch_size, num_workers):
    """Pairs of clips' numbers and a batch of these clips, in order."""
    grain = require("grain")
    if not flags.FLAGS.is_parsed():  # Grain's workers read flags
        flags.FLAGS.mark_as_parsed()
    places = [
        place
        for shard in shards
        for place in range(
            shard * clips_per_shard,
            min((shard + 1) * clips_per_shard, len(loader)),
        )
    ]
    clips = grain.MapDataset.source(places).map(
        lambda place: (place, loader.load(0, place))
    )
    buffer_size = 2 * batch_size
    if num_workers:
        clips = decode_in_workers(clips, num_workers, buffer_size)
    else:
        options = grain.ReadOptions(4, prefetch_buffer_size=buffer_size)
        clips = clips.to_iter_dataset(options)
    return clips.filter(lambda item: loader.keep(item[1])).batch(
        batch_size, batch_fn=batch_clips
    )


class _ShardWriter:
    """Writes shards one after the other, each beside its place until whole.

    Args:
        folder: Path.
        names: List of strings, file names of all shards.
        missing: List of integers, the shards to write, in order. Those that
            are passed over, since no clip of theirs decodes, become empty.
    """

    def __init__(self, folder, names, missing):
        self._module = require("array_record.python.array_record_module")
        self._folder = folder
        self._names = names
        self._missing = list(missing)
        self._writer = None

    def go_to(self, shard):
        """Completes all shards before `shard`, or all, and opens it."""
        while self._missing and self._missing[0] != shard:
            self._open()
            self._writer.close()
            self._writer = None
            name = self._names[self._missing.pop(0)]
            os.replace(self._partial(name), self._folder / name)
            logging.info("Wrote %s", self._folder / name)
        if shard is not None:
            self._open()

    def write(self, record):
        self._writer.write(record)

    def drop(self):
        """Removes the shard that is not whole, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._partial(self._names[self._missing[0]]).unlink()

    def _open(self):
        if self._writer is None:
            path = self._partial(self._names[self._missing[0]])
            # One record a group: they are read one by one, in any order.
            self._writer = self._module.ArrayRecordWriter(
                str(path), "group_size:1"
            )

    def _partial(self, name):
        return self._folder / f"{name}.partial"


def _encode(tokenizer, video):
    return ops.convert_to_numpy(tokenizer.encode(video))


def _first(tokenizer, video, num_frames):
    """The tokens of the first frames, or `None` where they are not asked."""
    if num_frames is None:
        return None
    first = repeat_last_frame(video, num_frames)
    return _encode(tokenizer, ops.convert_to_numpy(first))
