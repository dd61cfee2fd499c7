import pathlib

from keras_larp.data.sources.video_file import VideoFile

EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


class VideoFolder:
    """The video files in a folder, with a folder a class or without classes.

    Where `root` has folders with videos in them, these are the classes, and
    their ids follow the order of their names. Otherwise the files in `root`
    itself are taken, with the label -1 ("no class").

    Args:
        root: String or path.
        class_names: Optional list of strings, all classes in the order of
            their ids, for a folder that has only some of them.

    Attributes:
        class_names: Tuple of strings, empty without classes.

    Raises:
        FileNotFoundError: If `root` is not there.
        ValueError: If there is no video, or a folder is not in `class_names`.

    Example:

    ```python
    source = keras_larp.data.VideoFolder("my_videos")
    source[0].path, source[0].label  # ("my_videos/cats/001.mp4", 0)
    source.class_names  # ("cats", "dogs")
    ```
    """

    flip_changes_label = False

    def __init__(self, root, class_names=None):
        root = pathlib.Path(root)
        if not root.is_dir():
            raise FileNotFoundError(f"There is no folder {root}.")
        folders = {
            folder.name: _videos(folder)
            for folder in sorted(root.iterdir())
            if folder.is_dir()
        }
        folders = {name: files for name, files in folders.items() if files}
        if not folders and class_names is None:
            folders = {None: _videos(root)}
        if not any(folders.values()):
            raise ValueError(
                f"There are no videos in {root} or in folders in it. Known "
                f"endings: {', '.join(EXTENSIONS)}."
            )
        if class_names is None:
            class_names = [name for name in folders if name is not None]
        ids = {name: i for i, name in enumerate(class_names)}
        ids[None] = -1
        unknown = [name for name in folders if name not in ids]
        if unknown:
            raise ValueError(
                f"The folders {unknown} in {root} are not in `class_names`. "
                f"Received: class_names={list(class_names)}"
            )
        self.class_names = tuple(class_names)
        self.files = [
            VideoFile(str(path), ids[name])
            for name, paths in folders.items()
            for path in paths
        ]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.files[index]


def _videos(folder):
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in EXTENSIONS
    )
