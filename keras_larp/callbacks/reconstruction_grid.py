import collections.abc

import keras
import numpy as np

from keras_larp import data
from keras_larp.callbacks.averaged_weights import averaged_weights
from keras_larp.data.video.video_writer import MIN_FPS, check_suffix
from keras_larp.distribution import is_chief
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.checks import check_integer, check_number, check_path
from keras_larp.utils.input_checks import check_tensor, check_unit_range


class ReconstructionGrid(keras.callbacks.Callback):
    """Writes videos of clips next to their reconstructions during training.

    Every `every` epochs it writes a grid to `folder`, such as
    `epoch_0001.mp4`. Each reconstruction is to the right of its original. It
    is computed with averaged weights if the optimizer keeps them.

    Args:
        clips: Float array or tensor of shape `(B, T, H, W, 3)` with values in
            [0, 1], or a data set whose first batch is used.
        folder: String or path. Folder to write to.
        every: Integer. Number of epochs between videos. Defaults to 1.
        num_clips: Integer. Maximum number of clips. Defaults to 8.
        num_columns: Integer. Number of pairs per row. Defaults to 2.
        fps: Float. Frames per second. Defaults to 8.
        suffix: String. `".mp4"`, `".gif"` or another suffix that
            `keras_larp.data.write_video` supports. Defaults to `".mp4"`.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: In `fit`, if the extra `viz` is not installed.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    tokenizer.compile("adam")
    source = keras_larp.data.MovingShapes(8, num_frames=16, image_size=32)
    train = keras_larp.data.video_dataset(source, batch_size=4)
    grid = keras_larp.callbacks.ReconstructionGrid(train, "reconstructions")
    tokenizer.fit(train, epochs=2, callbacks=[grid])
    ```
    """

    def __init__(
        self,
        clips,
        folder,
        every=1,
        num_clips=8,
        num_columns=2,
        fps=8,
        suffix=".mp4",
    ):
        super().__init__()
        if not hasattr(clips, "shape"):
            if not isinstance(clips, collections.abc.Iterable):
                clips = [clips]
            batch = next(iter(clips), None)
            clips = batch[0] if isinstance(batch, tuple | list) else batch
        check_tensor("clips", clips, (None, None, None, None, 3))
        check_unit_range(clips, "ReconstructionGrid")
        num_clips = check_integer("num_clips", num_clips, 1)
        self.clips = to_numpy(clips[:num_clips])
        self.folder = check_path("folder", folder)
        self.every = check_integer("every", every, 1)
        self.num_columns = check_integer("num_columns", num_columns, 1)
        self.fps = check_number("fps", fps, f"[{MIN_FPS}, inf)")
        self.suffix = check_suffix(suffix)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        with averaged_weights(self.model):
            decoded = self.model.decode(
                self.model.encode(self.clips), self.clips.shape[1:4]
            )
        pairs = np.stack((self.clips, to_numpy(decoded)), axis=1)
        videos = pairs.reshape(-1, *pairs.shape[2:])  # (2 B, T, H, W, 3)
        if is_chief():
            data.write_video(
                self.folder / f"epoch_{epoch + 1:04d}{self.suffix}",
                data.video_grid(videos, 2 * self.num_columns),
                self.fps,
            )
