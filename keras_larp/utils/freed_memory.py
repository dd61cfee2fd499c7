import ctypes

# Parameters of glibc's `mallopt`.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3


def reuse_freed_memory():
    """Lets this process keep memory that it frees, for what it makes next.

    On Linux the C library gives blocks as large as a clip back to the system
    when they are freed, and the system clears new pages for the next one,
    which takes longer than to fill them. With this, blocks of up to 1 GB come
    from memory that was freed before. The process then keeps what it took at
    its peak. Commands of `keras-larp` and the processes that decode do so;
    call it once at the beginning of a training program of your own.

    Returns:
        Boolean, whether it was done: `False` without glibc, where nothing
        changes.

    Example:

    ```python
    keras_larp.data.reuse_freed_memory()
    dataset = keras_larp.data.video_dataset(source, num_workers=2)
    ```
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    return bool(
        mallopt(_MMAP_THRESHOLD, 2**30)
        and mallopt(_TRIM_THRESHOLD, 2**31 - 1)  # the largest there is
    )
