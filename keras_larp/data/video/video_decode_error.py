class VideoDecodeError(ValueError):
    """Raised for a video file that cannot be read.

    The file does not open, does not decode, is truncated, or has no frames.
    The message names the file and how to skip it.

    Example:

    ```python
    try:
        clip = keras_larp.data.read_clip("broken.mp4")
    except keras_larp.data.VideoDecodeError as error:
        print(error)
    ```
    """
