from keras_larp.data.sources.video_list import VideoList


class Kinetics600(VideoList):
    """The files of Kinetics-600 that a csv file lists.

    The list has a column `path` and, of `label` and `action`, what
    `VideoList` takes. Class ids are places among all 600 names in
    alphabetical order, so that a list has to name all classes, as the lists
    of whole splits do; pass `class_names` for a part of one.

    Args:
        root: String or path, the folder of the videos.
        csv_file: String or path, such as the authors' `k600_train.csv`.
        class_names: Optional list of the 600 names.
        on_error: String, what to do where a file is not there, as many are
            which cannot be had any more: `"raise"`, or `"skip"` it.

    Attributes:
        class_names: Tuple of 600 strings.
        num_missing: Integer, files of the list that were left out.

    Raises:
        FileNotFoundError: If the csv file or a file that it names is not
            there.
        ValueError: If the list is not as said, or there are not 600 classes.

    Example:

    ```python
    # id,path,action,label
    # 1,data/k600/val/Zv09PB3YQAs_000010_000020.mp4,abseiling,0
    source = keras_larp.data.Kinetics600(
        "/videos/k600", "k600_val.csv", on_error="skip"
    )
    source[0].path  # "/videos/k600/val/Zv09PB3YQAs_000010_000020.mp4"
    ```

    Reference:
        - [A Short Note about Kinetics-600](https://arxiv.org/abs/1808.01340)
    """

    def __init__(self, root, csv_file, class_names=None, on_error="raise"):
        super().__init__(csv_file, root, class_names, on_error)
        if len(self.class_names) != 600:
            raise ValueError(
                f"Kinetics-600 has 600 classes, and {csv_file} must name all "
                "of them; pass `class_names`, or use `VideoList`. Received: "
                f"{len(self.class_names)} classes"
            )
