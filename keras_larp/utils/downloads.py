import os
import pathlib

import keras

from keras_larp.utils.checks import check_instance, check_path
from keras_larp.utils.fingerprints import file_sha256


def fetch_file(
    source: str | os.PathLike, sha256: str | None = None, hint: str = ""
) -> pathlib.Path:
    """Returns the local path of a file, downloading it if necessary.

    Args:
        source: String or path. A URL is downloaded once, to the cache of
            Keras (`KERAS_HOME`, or `~/.keras`).
        sha256: String. Checksum of the file in hexadecimal. Required for a
            URL, optional for a local file.
        hint: String. Appended to errors, such as where to download the file.
            Defaults to `""`.

    Returns:
        A `pathlib.Path`.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
        ValueError: If the checksum differs, or is missing for a URL.
    """
    check_path("source", source)
    if sha256 is not None:
        check_instance("sha256", sha256, str)
    if "://" in str(source):
        return _download(str(source), sha256, hint)
    path = pathlib.Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file.{hint}")
    if sha256 is not None:
        received = file_sha256(path)
        if received != sha256.lower():
            raise ValueError(
                f"Expected a file with SHA-256 {sha256}. Received: {path} "
                f"with SHA-256 {received}. It is a different file or an "
                f"incomplete download.{hint}"
            )
    return path


def _download(url: str, sha256: str | None, hint: str) -> pathlib.Path:
    if sha256 is None:
        raise ValueError(
            "A URL needs a checksum: pass `sha256=...` (on the command line, "
            f"--i3d_sha256=...). Received: {url}"
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
            f"{url} did not return the file with SHA-256 {sha256}; some hosts "
            f"return a web page instead of the file. ({error}){hint}"
        ) from error
    # Keras raises a bare `Exception` if a download fails.
    except Exception as error:
        raise FileNotFoundError(
            f"The file could not be downloaded: {error}.{hint}"
        ) from error
    return pathlib.Path(path)
