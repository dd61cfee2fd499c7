import importlib
import os
import warnings

from keras_larp.data.video.frame_index import decode_error
from keras_larp.utils.optional_imports import require


class TfioReader:
    """Reads the video files of a source with tensorflow-io instead of PyAV.

    `tf_video_dataset(reader="tfio")` creates this reader.

    tensorflow-io 0.37.1, the last release, only loads with TensorFlow 2.16. It
    requires the shared libraries of FFmpeg 4, which the `decord` wheel
    contains. It decodes complete files into memory. Frames of damaged files
    that do not decode are dropped without an error. If the width of the frames
    is not a multiple of 8, their last columns are wrong, but not those of the
    center crop.

    Args:
        source: Sequence of `VideoFile`.

    Raises:
        ImportError: If tensorflow-io or FFmpeg 4 does not load.
        VideoDecodeError: When reading a file that is not a video.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    reader = keras_larp.data.TfioReader(source)
    reader[0]["video"].shape  # (165, 240, 320, 3), uint8
    ```
    """

    def __init__(self, source):
        self.source = source
        self.class_names = tuple(getattr(source, "class_names", ()))
        self.flip_changes_label = getattr(source, "flip_changes_label", False)
        self._tf = require("tensorflow", "tfio")
        self._decode = _load_decoder()

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        file = self.source[index]
        if isinstance(file, dict):
            return file
        path = os.fspath(file.path)
        try:
            video = self._decode(self._tf.io.read_file(path), 0).numpy()
        except self._tf.errors.OpError as error:
            raise decode_error(path, error.message) from error
        if not len(video):
            raise decode_error(path, "none of its frames could be decoded")
        return {"video": video, "label": file.label}


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
