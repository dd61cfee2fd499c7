class VideoDecodeError(ValueError):
    """A video file that does not open, does not decode, is cut off, or holds
    no frame. The message names the file and what to do.

    Example:

    ```python
    try:
        clip = keras_larp.data.read_clip("broken.mp4")
    except keras_larp.data.VideoDecodeError as error:
        print(error)
    ```
    """
