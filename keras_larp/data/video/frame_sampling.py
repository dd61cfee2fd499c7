import numpy as np

from keras_larp.utils.checks import check_choice, check_instance, check_integer

SAMPLINGS = ("random", "first", "center", "uniform", "windows")


def frame_indices(
    total: int,
    num_frames: int,
    frame_sampling: str = "first",
    generator: np.random.Generator | None = None,
) -> np.ndarray:
    """Selects the frames of a video that form a clip.

    Args:
        total: Integer. Number of frames in the video.
        num_frames: Integer. Number of frames in the clip.
        frame_sampling: String. `"random"`, `"first"` and `"center"` select
            consecutive frames from a random start, the beginning or the
            middle. `"uniform"` spreads them over the full video: frame i is
            `int(i * total / num_frames)`. Defaults to `"first"`.
        generator: `np.random.Generator`. Required for `"random"`.

    Returns:
        int64 array `(num_frames,)` in ascending order. If the video is shorter
        than the clip, all its frames, with the last one repeated.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    keras_larp.data.frame_indices(100, 4, "uniform")  # [0, 25, 50, 75]
    keras_larp.data.frame_indices(3, 5)  # [0, 1, 2, 2, 2]
    ```
    """
    total = check_integer("total", total, 1)
    num_frames = check_integer("num_frames", num_frames, 1)
    # "windows" selects several clips per video: see `window_starts`.
    check_choice("frame_sampling", frame_sampling, SAMPLINGS[:-1])
    steps = np.arange(num_frames)
    max_start = max(total - num_frames, 0)
    if frame_sampling == "uniform" and max_start:
        return steps * total // num_frames
    start = 0
    if frame_sampling == "center":
        start = max_start // 2
    if frame_sampling == "random":
        if generator is None:
            raise ValueError(
                '`frame_sampling="random"` needs a `generator`, such as '
                "`np.random.default_rng(0)`. Received: generator=None"
            )
        check_instance("generator", generator, np.random.Generator)
        start = int(generator.integers(max_start + 1))
    return np.minimum(start + steps, total - 1)


def window_starts(total: int, num_frames: int) -> range:
    """Returns the first frames of all non-overlapping windows of a video.

    Only complete windows count: a video shorter than `num_frames` has none.

    Args:
        total: Integer. Number of frames in the video.
        num_frames: Integer. Number of frames per window.

    Returns:
        `range` of frame indices.

    Example:

    ```python
    list(keras_larp.data.window_starts(50, 16))  # [0, 16, 32]
    ```
    """
    total = check_integer("total", total, 1)
    num_frames = check_integer("num_frames", num_frames, 1)
    return range(0, total - num_frames + 1, num_frames)
