import numpy as np

from keras_larp.utils.checks import check_choice, check_integer

SAMPLINGS = ("random", "first", "center", "uniform", "windows")


def frame_indices(total, num_frames, frame_sampling="first", generator=None):
    """Which frames of a video make a clip.

    Args:
        total: Integer, how many frames the video has.
        num_frames: Integer, how many frames the clip has.
        frame_sampling: String. `"random"`, `"first"` and `"center"` take consecutive
            frames from a random start, the beginning or the middle.
            `"uniform"` spreads them over the whole video: frame i is
            `int(i * total / num_frames)`.
        generator: `np.random.Generator`, needed for `"random"`.

    Returns:
        int64 array `(num_frames,)`, in ascending order. Where the video is
        shorter than the clip, all its frames and then the last one again.

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
    # Windows are many clips of a video: see `window_starts`.
    check_choice("frame_sampling", frame_sampling, SAMPLINGS[:-1])
    steps = np.arange(num_frames)
    spare = max(total - num_frames, 0)
    if frame_sampling == "uniform" and spare:
        return steps * total // num_frames
    start = 0
    if frame_sampling == "center":
        start = spare // 2
    if frame_sampling == "random":
        if generator is None:
            raise ValueError(
                '`frame_sampling="random"` needs a `generator`, such as '
                "`np.random.default_rng(0)`. Received: generator=None"
            )
        start = int(generator.integers(spare + 1))
    return np.minimum(start + steps, total - 1)


def window_starts(total, num_frames):
    """First frames of all the non-overlapping windows of a video.

    Only whole windows count: a video shorter than `num_frames` has none.

    Args:
        total: Integer, how many frames the video has.
        num_frames: Integer, length of a window.

    Returns:
        `range` of the starts.
    """
    total = check_integer("total", total, 1)
    num_frames = check_integer("num_frames", num_frames, 1)
    return range(0, total - num_frames + 1, num_frames)
