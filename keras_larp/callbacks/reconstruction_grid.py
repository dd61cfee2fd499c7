import pathlib

import keras
import numpy as np
from keras import ops

from keras_larp import data
from keras_larp.callbacks.averaged_weights import averaged_weights
from keras_larp.utils.checks import check_integer


class ReconstructionGrid(keras.callbacks.Callback):
    """Writes clips beside their reconstructions as video, while training.

    After every `every`-th epoch the folder gets `epoch_0001.mp4`, and so on:
    pairs of an original and, to its right, its reconstruction from tokens, with
    averaged weights where the optimizer keeps such.

    Args:
        clips: float `(B, T, H, W, 3)` in [0, 1], or a data set, of whose
            first batch the first `num_clips` are taken.
        folder: Path, where to write.
        every: Integer, epochs between two videos.
        num_clips: Integer, how many clips are shown at most.
        num_columns: Integer, pairs in a row.
        fps: Integer, frames a second.
        suffix: String, `".mp4"`, `".gif"` or another ending that
            `keras_larp.data.write_video` knows.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: In `fit`, if the extra `viz` is not installed.

    Example:

    ```python
    grid = keras_larp.callbacks.ReconstructionGrid(test, "run/reconstructions")
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
            batch = next(iter(clips))
            clips = batch[0] if isinstance(batch, tuple | list) else batch
        if len(clips.shape) != 5:
            raise ValueError(
                "`clips` must be of shape (B, T, H, W, 3), or a data set of "
                f"such batches. Received: shape={tuple(clips.shape)}"
            )
        self.clips = np.asarray(
            clips[: check_integer("num_clips", num_clips, 1)]
        )
        self.folder = pathlib.Path(folder)
        self.every = check_integer("every", every, 1)
        self.num_columns = check_integer("num_columns", num_columns, 1)
        self.fps = check_integer("fps", fps, 1)
        self.suffix = suffix

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        with averaged_weights(self.model):
            decoded = self.model.decode(self.model.encode(self.clips))
        pairs = np.stack((self.clips, ops.convert_to_numpy(decoded)), axis=1)
        videos = pairs.reshape(-1, *pairs.shape[2:])  # (2 B, T, H, W, 3)
        data.write_video(
            self.folder / f"epoch_{epoch + 1:04d}{self.suffix}",
            data.video_grid(videos, 2 * self.num_columns),
            self.fps,
        )
