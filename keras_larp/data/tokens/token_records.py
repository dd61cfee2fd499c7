"""The files of a token data set: description, shards and records.

A record is a safetensors file with `token_ids` (uint16 or uint32), `label`,
`start`, `flipped`, `name` (UTF-8) and, for frame prediction, `condition_ids`,
the tokens of a clip of the condition frames. Shards are ArrayRecord files of
records, which Grain reads in random order. Their names include the start of
the tokenizer's fingerprint.
"""

import json
import pathlib

import numpy as np
from safetensors.numpy import load, save

from keras_larp.utils.files import atomic_write_text

DESCRIPTION = "tokens.json"
ENDING = ".array_record"
VERSION = 1


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


def unpack_record(record: bytes) -> dict:
    """Returns the arguments of `pack_record` as a dictionary."""
    arrays = load(record)
    ids = {
        name: arrays[name].astype(np.int32)
        for name in ("token_ids", "condition_ids")
        if name in arrays
    }
    return {
        **ids,
        "label": int(arrays["label"][0]),
        "start": int(arrays["start"][0]),
        "flipped": bool(arrays["flipped"][0]),
        "name": arrays["name"].tobytes().decode(),
    }


def shard_names(description: dict) -> list[str]:
    """Returns the file names of all shards of a complete data set."""
    count = -(-description["num_clips"] // description["clips_per_shard"])
    fingerprint = description["tokenizer"][:12]
    return [
        f"tokens-{fingerprint}-{i:05d}-of-{count:05d}{ENDING}"
        for i in range(count)
    ]


def read_description(folder) -> dict | None:
    """Returns the description of a data set, or `None` if there is none."""
    path = pathlib.Path(folder) / DESCRIPTION
    if not path.is_file():
        return None
    description = json.loads(path.read_text())
    if description.get("version") != VERSION:
        raise ValueError(
            f"{path} must have version {VERSION} of the token data set format. "
            f"Received: version={description.get('version')!r}"
        )
    return description


def write_description(folder, description: dict):
    text = json.dumps(description, indent=2) + "\n"
    atomic_write_text(pathlib.Path(folder) / DESCRIPTION, text)
