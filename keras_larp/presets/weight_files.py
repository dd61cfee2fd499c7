"""Single files of weights: local, or downloaded and verified."""

import hashlib
import pathlib

import keras


def fetch_file(source, sha256=None, hint=""):
    """The path of a local file, or of one that is downloaded.

    Args:
        source: Path or URL. A download goes to Keras' cache (`KERAS_HOME`, or
            `~/.keras`) and is done once.
        sha256: String, the file's checksum in hexadecimal. Optional for local
            files.
        hint: String that ends errors: where the file is to be had.

    Returns:
        A `pathlib.Path`.

    Raises:
        FileNotFoundError: where there is no such file, and where it cannot be
            downloaded.
        ValueError: for a file with another checksum, and for a URL without
            one.
    """
    if "://" in str(source):
        return _download(str(source), sha256, hint)
    path = pathlib.Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a file of weights. Received: {path}, which is no file."
            f"{hint}"
        )
    if sha256 is not None and file_sha256(path) != sha256.lower():
        raise ValueError(
            f"Expected a file with the SHA-256 {sha256}. Received: {path} with "
            f"{file_sha256(path)}. It is another file, or was not downloaded "
            f"whole.{hint}"
        )
    return path


def file_sha256(path):
    """The SHA-256 checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(url, sha256, hint):
    if sha256 is None:
        raise ValueError(
            "Expected a checksum with an address: pass `sha256=...`, in "
            "commands --i3d_sha256=... "
            f"Received: {url}"
        )
    try:
        path = keras.utils.get_file(
            origin=url,
            file_hash=sha256.lower(),
            hash_algorithm="sha256",
            cache_subdir="keras_larp",
        )
    except ValueError as error:
        raise ValueError(
            f"What {url} gave is not the file with the SHA-256 {sha256}; some "
            f"hosts send a page in place of the file. ({error}){hint}"
        ) from error
    # Keras raises a bare `Exception` for a failed download.
    except Exception as error:
        raise FileNotFoundError(
            f"The file could not be downloaded: {error}.{hint}"
        ) from error
    return pathlib.Path(path)
