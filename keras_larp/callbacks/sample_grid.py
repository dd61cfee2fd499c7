import keras

from keras_larp import data
from keras_larp.callbacks.averaged_weights import averaged_weights
from keras_larp.data.video.video_writer import MIN_FPS, check_suffix
from keras_larp.distribution import is_chief
from keras_larp.models import LARPTokenizer
from keras_larp.utils.checks import (
    check_instance,
    check_integer,
    check_number,
    check_path,
)


class SampleGrid(keras.callbacks.Callback):
    """Writes videos of generated clips during training.

    Every `every` epochs it writes a grid to `folder`, such as
    `epoch_0001.mp4`. The seed is constant, so that epochs can be compared.
    Clips are generated with averaged weights if the optimizer keeps them.

    Args:
        condition: Integer array or tensor. The `class_ids` or `condition_ids`
            for `generate`, one entry per clip.
        tokenizer: `LARPTokenizer` that decodes the tokens.
        folder: String or path. Folder to write to.
        every: Integer. Number of epochs between videos. Defaults to 1.
        num_columns: Integer. Number of clips per row. Defaults to 4.
        fps: Float. Frames per second. Defaults to 8.
        suffix: String. `".mp4"`, `".gif"` or another suffix that
            `keras_larp.data.write_video` supports. Defaults to `".mp4"`.
        seed: Integer. Sampling seed. Defaults to 0.
        **options: Arguments of `generate`, such as `guidance_scale`.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: In `fit`, if the extra `viz` is not installed.

    Example:

    ```python
    name = "larp_tiny_moving_shapes"
    tokenizer = keras_larp.presets.load(f"{name}_tokenizer")
    generator = keras_larp.presets.load(f"{name}_generator")
    generator.compile("adam")
    source = keras_larp.data.MovingShapes(8, num_frames=16, image_size=32)
    train = keras_larp.data.video_dataset(source, batch_size=4)
    grid = keras_larp.callbacks.SampleGrid(
        [0, 0, 5, 5], tokenizer, "samples", guidance_scale=1.25
    )
    generator.fit(train, tokenizer=tokenizer, epochs=2, callbacks=[grid])
    ```
    """

    def __init__(
        self,
        condition,
        tokenizer,
        folder,
        every=1,
        num_columns=4,
        fps=8,
        suffix=".mp4",
        seed=0,
        **options,
    ):
        super().__init__()
        self.condition = condition
        self.tokenizer = check_instance("tokenizer", tokenizer, LARPTokenizer)
        self.folder = check_path("folder", folder)
        self.every = check_integer("every", every, 1)
        self.num_columns = check_integer("num_columns", num_columns, 1)
        self.fps = check_number("fps", fps, f"[{MIN_FPS}, inf)")
        self.suffix = check_suffix(suffix)
        self.seed = check_integer("seed", seed, 0, 2**64 - 1)
        self.options = options

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        with averaged_weights(self.model):
            videos = self.model.generate(
                **{self.model.condition_name: self.condition},
                tokenizer=self.tokenizer,
                seed=self.seed,
                **self.options,
            )
        if is_chief():
            data.write_video(
                self.folder / f"epoch_{epoch + 1:04d}{self.suffix}",
                data.video_grid(videos, self.num_columns),
                self.fps,
            )
