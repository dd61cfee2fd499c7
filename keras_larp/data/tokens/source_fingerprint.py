import hashlib

import numpy as np

from keras_larp.data.sources.computed_source import ComputedSource
from keras_larp.data.sources.concat_source import ConcatSource
from keras_larp.data.sources.video_source import VideoSource


def source_fingerprint(source: VideoSource) -> str:
    """SHA-256 of the names and class ids of all videos of a source.

    It reads no video and does not depend on where files are stored.

    Args:
        source: `VideoSource`.

    Returns:
        String of 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for index in range(len(source)):
        digest.update(
            f"{source.name(index)} {int(source.label(index))}\n".encode()
        )
    return digest.hexdigest()


def path_fingerprint(source: VideoSource) -> str:
    """The fingerprint that token data sets stored before names did.

    It hashes the paths of files and, because that reads no other videos, the
    pixels of the first clip of computed sources.
    """
    digest = hashlib.sha256()
    parts = source.sources if isinstance(source, ConcatSource) else [source]
    for part in parts:
        for index in range(len(part)):
            path = part.path(index)
            if path is None:
                digest.update(np.ascontiguousarray(_pixels(part)).tobytes())
                break
            digest.update(f"{path} {int(part.label(index))}\n".encode())
    return digest.hexdigest()


def _pixels(source):
    if isinstance(source, ComputedSource):
        return source.render(0)
    return source.read(0, np.arange(int(source.num_frames(0))))
