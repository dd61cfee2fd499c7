import collections.abc
import os

from keras_larp.data.sources.video_list import VideoList


class Kinetics600(VideoList):
    """The Kinetics-600 videos that a CSV file lists.

    The list needs a column `path`, and `label` or `action` as described in
    `VideoList`. Class ids are positions among all 600 class names in
    alphabetical order, so the list must name all classes, as the lists of
    complete splits do. Pass `class_names` for a subset.

    Args:
        root: String or path. Folder of the videos.
        csv_file: String or path. For example the `k600_train.csv` of the LARP
            reference implementation.
        class_names: List of the 600 class names. Defaults to those in the
            list.
        on_error: String. What to do if a listed file does not exist, as is
            common because videos disappear from YouTube: `"raise"` or
            `"skip"`. Defaults to `"raise"`.
        geometry: String. `"display"` or `"stored"`; see `read_frames`.
            Defaults to `"display"`.

    Attributes:
        class_names: Tuple of 600 strings.
        num_missing: Integer. Number of listed files that were skipped.

    Raises:
        FileNotFoundError: If the CSV file or a listed file does not exist.
        ValueError: If the list is malformed or has not 600 classes.

    Example:

    ```python
    # id,path,action,label
    # 1,data/k600/val/Zv09PB3YQAs_000010_000020.mp4,abseiling,0
    source = keras_larp.data.Kinetics600(
        "/videos/k600", "k600_val.csv", on_error="skip"
    )
    source.path(0)  # "/videos/k600/val/Zv09PB3YQAs_000010_000020.mp4"
    ```

    Reference:
        - [A Short Note about Kinetics-600](https://arxiv.org/abs/1808.01340)
    """

    def __init__(
        self,
        root: str | os.PathLike,
        csv_file: str | os.PathLike,
        class_names: collections.abc.Iterable[str] | None = None,
        on_error: str = "raise",
        geometry: str = "display",
    ):
        super().__init__(csv_file, root, class_names, on_error, geometry)
        if len(self.class_names) != 600:
            raise ValueError(
                f"Kinetics-600 has 600 classes, and {csv_file} must name all "
                "of them. Pass `class_names`, or use `VideoList`. Received: "
                f"{len(self.class_names)} classes"
            )
