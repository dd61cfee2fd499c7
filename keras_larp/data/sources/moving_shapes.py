import numpy as np

from keras_larp.data.sources.computed_source import ComputedSource

SHAPES = ("disc", "square", "triangle")
MOTIONS = ("left", "right", "up", "down")
# Directions in image coordinates: (down, right).
_DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


class MovingShapes(ComputedSource):
    """Synthetic clips of a colored shape that moves across a plain background.

    The class of a clip is its shape and direction of motion. Color, size,
    speed and position are random. Clips are computed from the seed and their
    index, so there is nothing to download, and any number, length and size of
    clips is available.

    Args:
        num_clips: Integer. Number of clips. Clip `i` has class `i % 12`.
        num_frames: Integer. Number of frames per clip. Defaults to 16.
        image_size: Integer. Height and width in pixels, at least 8. Defaults
            to 64.
        seed: Integer. Use different seeds for training and evaluation.
            Defaults to 0.

    Attributes:
        class_names: Tuple of 12 strings, such as `"disc moves left"`.
        flip_changes_label: `True`: mirroring a clip changes its class.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    source = keras_larp.data.MovingShapes(120, num_frames=16, image_size=32)
    source.render(0).shape  # (16, 32, 32, 3), float32 in [0, 1]
    source.class_names[source.label(0)]  # "disc moves left"
    ```
    """

    class_names = tuple(
        f"{shape} moves {motion}" for shape in SHAPES for motion in MOTIONS
    )

    def __init__(
        self,
        num_clips: int,
        num_frames: int = 16,
        image_size: int = 64,
        seed: int = 0,
    ):
        super().__init__(num_clips, num_frames, image_size, seed)

    def settings(self) -> dict:
        return {
            "seed": self.seed,
            "num_frames": self.default_num_frames,
            "image_size": self.image_size,
        }

    def render(self, index: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, self.check_index(index)])
        return self._draw(self.label(index), generator)

    def _draw(self, label, generator):
        """float32 `(T, H, W, 3)` in [0, 1]."""
        shape = SHAPES[label // len(MOTIONS)]
        direction = np.array(_DIRECTIONS[MOTIONS[label % len(MOTIONS)]])
        # Lengths are in units of the image's height.
        radius = generator.uniform(0.2, 0.25)
        travel = generator.uniform(0.4, 0.5)
        middle = np.array([0.5, 0.5]) + generator.uniform(-0.04, 0.04, 2)
        color = _hsv_to_rgb(generator.uniform(), 0.8, 1.0)
        background = _hsv_to_rgb(generator.uniform(), 0.4, 0.2)

        progress = np.linspace(-0.5, 0.5, self.default_num_frames)
        centers = middle + travel * progress[:, None] * direction  # (T, 2)
        pixels = (np.arange(self.image_size) + 0.5) / self.image_size
        down = pixels[None, :, None] - centers[:, 0, None, None]  # (T, H, 1)
        right = pixels[None, None, :] - centers[:, 1, None, None]  # (T, 1, W)
        outside = _signed_distance(shape, down, right, radius)  # (T, H, W)
        # The edge is antialiased over one pixel.
        cover = np.clip(0.5 - outside * self.image_size, 0.0, 1.0)[..., None]
        return (cover * color + (1.0 - cover) * background).astype(np.float32)


def _signed_distance(shape, down, right, radius):
    """Signed distance of points to the outline of a shape, negative inside."""
    if shape == "disc":
        return np.hypot(down, right) - radius
    if shape == "square":
        return np.maximum(np.abs(down), np.abs(right)) - 0.9 * radius
    # A triangle that points up: two sides, then the base.
    sides = (np.abs(right) * 2.0 - down) / np.sqrt(5.0) - 0.5 * radius
    return np.maximum(down - radius, sides)


def _hsv_to_rgb(hue, saturation, value):
    distance = np.abs((hue * 6.0 + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0)
    pure = np.clip(distance - 1.0, 0.0, 1.0)
    return value * (1.0 - saturation * (1.0 - pure))
