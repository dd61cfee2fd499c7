import ctypes

# Parameters of glibc's `mallopt`.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3


def reuse_freed_memory() -> bool:
    """Lets glibc reuse freed memory instead of returning it to the system.

    By default, glibc returns blocks as large as a clip to the system when they
    are freed. For the next block, the kernel zeroes new pages, which takes
    longer than filling them. After this call, blocks of up to 1 GB are reused
    within the process, which then keeps its peak memory. `keras-larp` commands
    and decoding workers call it; call it once at the start of your own
    training script.

    Returns:
        Boolean: `True` if it took effect, `False` on systems without glibc.

    Example:

    ```python
    keras_larp.data.reuse_freed_memory()
    dataset = keras_larp.data.video_dataset(source, num_workers=2)
    ```
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # Not glibc.
        return False
    return bool(
        mallopt(_MMAP_THRESHOLD, 2**30)
        and mallopt(_TRIM_THRESHOLD, 2**31 - 1)  # The maximum.
    )
