import importlib
import os
import warnings

from keras_larp.data.video.frame_index import decode_error
from keras_larp.utils.optional_imports import require


class TfioReader:
    """Reads the files of a source with tensorflow-io in place of PyAV.

    A sequence of dictionaries of `video` and `label`, which every pipeline
    takes; `tf_video_dataset(reader="tfio")` makes one.

    The last tensorflow-io, 0.37.1, loads beside TensorFlow 2.16 alone, and
    needs the shared libraries of FFmpeg 4, which the wheel of `decord` has.
    It decodes whole files into memory. Of a damaged file it gives the frames
    that decode, without an error; and in frames whose width is no multiple of
    8 the last columns are wrong (those of the centre crop are right).

    Args:
        source: A sequence of `VideoFile`.

    Raises:
        ImportError: If tensorflow-io or FFmpeg 4 does not load.
        VideoDecodeError: While reading, of a file that holds no video.

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
            raise decode_error(path, "it holds no frame that decodes")
        return {"video": video, "label": file.label}


def _load_decoder():
    tfio = require("tensorflow_io", "tfio")
    try:
        with warnings.catch_warnings(record=True):  # one a library
            # Loaded at the first use otherwise, in the midst of training.
            importlib.import_module("tensorflow_io.python.ops.ffmpeg_ops")
    except (ImportError, NotImplementedError, OSError) as error:
        raise ImportError(
            "tensorflow-io is installed, and its video decoder does not load. "
            "It needs TensorFlow 2.16 and the shared libraries of FFmpeg 4 "
            "(libavcodec.so.58 and those beside it) in a folder that "
            "LD_LIBRARY_PATH names; `make test-tfio` shows how. "
            f'`reader="pyav"` needs neither. ({error})'
        ) from error
    return tfio.experimental.ffmpeg.decode_video
