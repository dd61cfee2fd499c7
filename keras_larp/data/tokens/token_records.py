"""The files of a token data set: description, shards and records.

A record is a safetensors file with `token_ids` (uint16 or uint32), `label`,
`start`, `flipped`, `name` (UTF-8) and, for frame prediction, `condition_ids`,
the tokens of a clip of the condition frames. Shards are ArrayRecord files of
records, which Grain reads in random order. Their names include the start of
the tokenizer's fingerprint.
"""

import json
import pathlib
import re

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from keras_larp.utils.files import atomic_write_text
from keras_larp.utils.json_files import (
    integer,
    optional,
    read_json,
    sha256,
    text,
    texts,
)

DESCRIPTION = "tokens.json"
ENDING = ".array_record"
VERSION = 1
_MAX_INT32 = 2**31 - 1
_VERSION = {"version": integer()}
_SCHEMA = {
    "tokenizer": sha256,
    "source": sha256,
    "geometry": optional(text),
    "vocab_size": integer(1, _MAX_INT32),
    "num_tokens": integer(1, _MAX_INT32),
    "class_names": texts,
    "num_clips": integer(1),
    "clips_per_shard": integer(1),
    "num_condition_frames": optional(integer(1)),
}
_REMEDY = (
    "Restore the file from a copy, or write the token data set again to "
    "another folder."
)
_SHARD_NAME = re.compile(
    r"tokens-([0-9a-f]{12})-(\d{5,})-of-(\d{5,})" + re.escape(ENDING)
)


def pack_record(
    token_ids: np.ndarray,
    label: int,
    start: int,
    flipped: bool,
    name: str,
    vocab_size: int,
    condition_ids: np.ndarray | None = None,
) -> bytes:
    """Serializes the tokens of a clip."""
    dtype = np.uint16 if vocab_size <= 2**16 else np.uint32
    arrays = {
        "token_ids": np.ascontiguousarray(token_ids, dtype),
        "label": np.array([label], np.int32),
        "start": np.array([start], np.int32),
        "flipped": np.array([flipped], np.uint8),
        "name": np.frombuffer(name.encode(), np.uint8),
    }
    if condition_ids is not None:
        arrays["condition_ids"] = np.ascontiguousarray(condition_ids, dtype)
    return save(arrays)


def unpack_record(record: bytes, description: dict) -> dict:
    """Returns the arguments of `pack_record` as a dictionary.

    Args:
        record: Bytes that `pack_record` returned.
        description: Dictionary, the description of the data set.

    Raises:
        ValueError: If the record is damaged or does not match the description.
    """
    try:
        arrays = load(record)
        names = ["token_ids"]
        if description.get("num_condition_frames") is not None:
            names.append("condition_ids")
        ids = {name: _check_ids(arrays[name], description) for name in names}
        label, start, flipped = (
            arrays[name].item() for name in ("label", "start", "flipped")
        )
        # Sources may have class ids without names.
        num_classes = len(description["class_names"]) or _MAX_INT32
        if not -1 <= label < num_classes:
            raise ValueError(
                f"it has the label {label}, expected -1 to {num_classes - 1}"
            )
        name = arrays["name"].tobytes().decode()
    except (KeyError, SafetensorError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no record of tokens: {error!r}") from error
    return {
        **ids,
        "label": int(label),
        "start": int(start),
        "flipped": bool(flipped),
        "name": name,
    }


def _check_ids(ids: np.ndarray, description: dict) -> np.ndarray:
    """Returns token ids as int32, or raises `ValueError`."""
    num_tokens, vocab_size = (
        description["num_tokens"],
        description["vocab_size"],
    )
    if ids.shape != (num_tokens,) or ids.dtype.kind != "u":
        raise ValueError(
            f"it has tokens of shape {ids.shape} and dtype {ids.dtype}, "
            f"expected {num_tokens} unsigned integers"
        )
    if ids.max() >= vocab_size:
        raise ValueError(
            f"it has the token {ids.max()}, expected tokens below {vocab_size}"
        )
    return ids.astype(np.int32)


def num_shards(description: dict) -> int:
    """Returns the number of shards of a complete data set."""
    return -(-description["num_clips"] // description["clips_per_shard"])


def shard_name(description: dict, index: int) -> str:
    """Returns the file name of a shard."""
    fingerprint = description["tokenizer"][:12]
    count = num_shards(description)
    return f"tokens-{fingerprint}-{index:05d}-of-{count:05d}{ENDING}"


def shard_names(description: dict) -> list[str]:
    """Returns the file names of all shards of a complete data set."""
    return [shard_name(description, i) for i in range(num_shards(description))]


def is_shard_name(description: dict, name: str) -> bool:
    """Whether a file name is one of `shard_names`.

    It does not list the names: a damaged description may have too many.
    """
    match = _SHARD_NAME.fullmatch(name)
    if match is None:
        return False
    index = int(match[2])
    return (
        index < num_shards(description)
        and shard_name(description, index) == name
    )


def read_description(folder) -> dict | None:
    """Returns the description of a data set, or `None` if there is none.

    Raises:
        ValueError: If the description is damaged or of another version.
    """
    path = pathlib.Path(folder) / DESCRIPTION
    if not path.exists():
        return None
    version = read_json(path, _VERSION, _REMEDY)["version"]
    if version != VERSION:
        raise ValueError(
            f"{path} must have version {VERSION} of the token data set format. "
            f"Received: version={version!r}"
        )
    return read_json(path, _SCHEMA, _REMEDY)


def write_description(folder, description: dict):
    text = json.dumps(description, indent=2) + "\n"
    atomic_write_text(pathlib.Path(folder) / DESCRIPTION, text)
