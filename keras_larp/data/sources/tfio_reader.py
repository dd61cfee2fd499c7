import importlib
import threading
import warnings

import numpy as np

from keras_larp.data.sources.video_source import VideoSource
from keras_larp.data.sources.wrapped_source import WrappedSource
from keras_larp.data.video.display_geometry import read_geometry
from keras_larp.data.video.frame_index import decode_error
from keras_larp.data.video.transforms import resize_frame
from keras_larp.data.video.video_reader import GEOMETRIES
from keras_larp.utils.files import check_regular_file
from keras_larp.utils.optional_imports import require


class TfioReader(WrappedSource):
    """Decodes the files of a source with tensorflow-io instead of PyAV.

    `tf_video_dataset(reader="tfio")` creates one. Videos that are not files
    are read from the source itself.

    The last tensorflow-io, 0.37.1, requires TensorFlow 2.16 and the shared
    libraries of FFmpeg 4, which the wheel of `decord` includes. It decodes
    complete files into memory. Damaged files are not an error: it returns the
    frames that decode. If the width is not a multiple of 8, the last columns
    of frames are wrong (those of the center crop are right).

    tensorflow-io returns stored frames. Unless the source has
    `geometry="stored"`, the reader takes rotation, mirroring and sample aspect
    ratio from PyAV and applies them.

    Args:
        source: `VideoSource` of files.

    Raises:
        ImportError: If tensorflow-io or FFmpeg 4 does not load, or PyAV is
            needed and not installed.
        ValueError: If the source concatenates sources of different geometry.
        VideoDecodeError: If no frame of a file decodes.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    reader = keras_larp.data.TfioReader(source)
    reader.read(0, np.arange(16)).shape  # (16, 240, 320, 3), uint8
    ```
    """

    def __init__(self, source: VideoSource):
        super().__init__(source)
        if self.geometry not in (None, *GEOMETRIES):
            raise ValueError(
                "All videos must have the same geometry. Create one reader "
                "for each source of a `ConcatSource`. Received: a source with "
                f"geometry={self.geometry!r}"
            )
        self._tf = require("tensorflow", "tfio")
        self._decode = _load_decoder()
        # The video that each thread decoded last: `num_frames` decodes the
        # complete file, and `read` needs it next.
        self._decoded = threading.local()

    def num_frames(self, index: int) -> int:
        path = self.source.path(index)
        if path is None:
            return super().num_frames(index)
        return len(self._decode_file(path))

    def read(
        self,
        index: int,
        frame_indices: np.ndarray,
        image_size: int | None = None,
    ) -> np.ndarray:
        path = self.source.path(index)
        if path is None:
            return super().read(index, frame_indices, image_size)
        frames = self._decode_file(path)[frame_indices]
        if self.geometry == "stored":
            return frames
        geometry = read_geometry(path)
        stored_size = frames.shape[1:3]
        size = geometry.stretched_size(*stored_size)
        if size != stored_size:
            frames = [resize_frame(frame, size) for frame in frames]
        return np.stack([geometry.orient(frame) for frame in frames])

    def _decode_file(self, path):
        if getattr(self._decoded, "path", None) != path:
            try:
                check_regular_file(path)
            except (OSError, ValueError) as error:
                raise decode_error(path, str(error)) from error
            try:
                video = self._decode(self._tf.io.read_file(path), 0).numpy()
            except self._tf.errors.OpError as error:
                raise decode_error(path, error.message) from error
            if not len(video):
                raise decode_error(path, "none of its frames can be decoded")
            self._decoded.path, self._decoded.video = path, video
        return self._decoded.video


def _load_decoder():
    tfio = require("tensorflow_io", "tfio")
    try:
        with warnings.catch_warnings(record=True):  # one per library
            # Otherwise loaded on first use, in the middle of training.
            importlib.import_module("tensorflow_io.python.ops.ffmpeg_ops")
    except (ImportError, NotImplementedError, OSError) as error:
        raise ImportError(
            "tensorflow-io is installed, but its video decoder does not load. "
            "It needs TensorFlow 2.16 and the shared libraries of FFmpeg 4 "
            "(libavcodec.so.58 and its companions) in a folder on "
            "LD_LIBRARY_PATH; `make test-tfio` shows how. "
            f'`reader="pyav"` needs neither. ({error})'
        ) from error
    return tfio.experimental.ffmpeg.decode_video
