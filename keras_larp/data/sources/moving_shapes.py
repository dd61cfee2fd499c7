import numpy as np

from keras_larp.utils.checks import check_integer

SHAPES = ("disc", "square", "triangle")
MOTIONS = ("left", "right", "up", "down")
# Directions in image coordinates: (down, right).
_DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


class MovingShapes:
    """Clips of a coloured shape that moves over a plain ground.

    The class of a clip is its shape and the direction in which it moves.
    Colours, size, speed and place are random. All is computed from the seed
    and the number of the clip, so that nothing is downloaded and any number
    of clips, any size and any length can be had.

    Args:
        num_clips: Integer. Clip i has the class `i % 12`.
        num_frames: Integer, length of a clip.
        image_size: Integer, height and width; at least 8.
        seed: Integer. Take another one for clips to evaluate on.

    Attributes:
        class_names: Tuple of 12 strings, such as `"disc moves left"`.
        flip_changes_label: `True`: a mirrored clip is of another class.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    source = keras_larp.data.MovingShapes(120, num_frames=16, image_size=32)
    clip = source[0]
    clip["video"].shape  # (16, 32, 32, 3), float32 in [0, 1]
    source.class_names[clip["label"]]  # "disc moves left"
    ```
    """

    class_names = tuple(
        f"{shape} moves {motion}" for shape in SHAPES for motion in MOTIONS
    )
    flip_changes_label = True

    def __init__(self, num_clips, num_frames=16, image_size=64, seed=0):
        self.num_clips = check_integer("num_clips", num_clips, 1)
        self.num_frames = check_integer("num_frames", num_frames, 1)
        self.image_size = check_integer("image_size", image_size, 8)
        self.seed = check_integer("seed", seed, 0)

    def __len__(self):
        return self.num_clips

    def __getitem__(self, index):
        index = check_integer("index", index, 0)
        if index >= self.num_clips:  # ends `for clip in source`
            raise IndexError(f"There are {self.num_clips} clips, not {index}")
        label = index % len(self.class_names)
        generator = np.random.default_rng([self.seed, index])
        return {"video": self._draw(label, generator), "label": label}

    def _draw(self, label, generator):
        """float32 `(T, H, W, 3)` in [0, 1]."""
        shape = SHAPES[label // len(MOTIONS)]
        direction = np.array(_DIRECTIONS[MOTIONS[label % len(MOTIONS)]])
        # Lengths are in units of the image's height.
        radius = generator.uniform(0.2, 0.25)
        travel = generator.uniform(0.4, 0.5)
        middle = np.array([0.5, 0.5]) + generator.uniform(-0.04, 0.04, 2)
        color = _hsv_to_rgb(generator.uniform(), 0.8, 1.0)
        ground = _hsv_to_rgb(generator.uniform(), 0.4, 0.2)

        progress = np.linspace(-0.5, 0.5, self.num_frames)  # (T,)
        centers = middle + travel * progress[:, None] * direction  # (T, 2)
        pixels = (np.arange(self.image_size) + 0.5) / self.image_size
        down = pixels[None, :, None] - centers[:, 0, None, None]  # (T, H, 1)
        right = pixels[None, None, :] - centers[:, 1, None, None]  # (T, 1, W)
        outside = _signed_distance(shape, down, right, radius)  # (T, H, W)
        # An edge of one pixel's width.
        cover = np.clip(0.5 - outside * self.image_size, 0.0, 1.0)[..., None]
        return (cover * color + (1.0 - cover) * ground).astype(np.float32)


def _signed_distance(shape, down, right, radius):
    """How far a point is outside of a shape; negative inside."""
    if shape == "disc":
        return np.hypot(down, right) - radius
    if shape == "square":
        return np.maximum(np.abs(down), np.abs(right)) - 0.9 * radius
    # A triangle that points up: its base, and its two sides.
    sides = (np.abs(right) * 2.0 - down) / np.sqrt(5.0) - 0.5 * radius
    return np.maximum(down - radius, sides)


def _hsv_to_rgb(hue, saturation, value):
    distance = np.abs((hue * 6.0 + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0)
    pure = np.clip(distance - 1.0, 0.0, 1.0)
    return value * (1.0 - saturation * (1.0 - pure))
