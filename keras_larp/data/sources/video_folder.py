import collections.abc
import os
import pathlib

from keras_larp.data.sources.file_source import FileSource, VideoFile

EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


class VideoFolder(FileSource):
    """The video files of a folder, with one subfolder per class or none.

    If `root` has subfolders with videos, these are the classes, with class
    ids in alphabetical order. Otherwise the files in `root` itself are used,
    with label -1 ("no class").

    Args:
        root: String or path. The folder.
        class_names: List of strings. All class names, indexed by class id,
            for a folder that has only some of them. Defaults to the names of
            the subfolders.

    Attributes:
        class_names: Tuple of strings, empty without classes.

    Raises:
        FileNotFoundError: If `root` does not exist.
        ValueError: If there is no video, or a subfolder is not in
            `class_names`.

    Example:

    ```python
    source = keras_larp.data.VideoFolder("my_videos")
    source.path(0), source.label(0)  # ("my_videos/cats/001.mp4", 0)
    source.class_names  # ("cats", "dogs")
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        class_names: collections.abc.Iterable[str] | None = None,
    ):
        root = pathlib.Path(root)
        if not root.is_dir():
            raise FileNotFoundError(f"The folder {root} does not exist.")
        folders: dict[str | None, list[pathlib.Path]] = {
            folder.name: _list_videos(folder)
            for folder in sorted(root.iterdir())
            if folder.is_dir()
        }
        folders = {name: paths for name, paths in folders.items() if paths}
        if not folders and class_names is None:
            folders = {None: _list_videos(root)}
        if not any(folders.values()):
            raise ValueError(
                f"There are no videos in {root} or its subfolders. Supported "
                f"file extensions: {', '.join(EXTENSIONS)}"
            )
        if class_names is None:
            class_names = [name for name in folders if name is not None]
        class_names = tuple(class_names)
        ids: dict[str | None, int] = {None: -1}
        ids |= {name: i for i, name in enumerate(class_names)}
        unknown = [name for name in folders if name not in ids]
        if unknown:
            raise ValueError(
                f"The folders {unknown} in {root} are not in `class_names`. "
                f"Received: class_names={list(class_names)}"
            )
        files = [
            VideoFile(str(path), ids[name])
            for name, paths in folders.items()
            for path in paths
        ]
        super().__init__(files, root, class_names)


def _list_videos(folder):
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in EXTENSIONS
    )
