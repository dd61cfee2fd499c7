import collections.abc
import os

from absl import logging

from keras_larp.data.sources.file_source import FileSource, VideoFile
from keras_larp.data.sources.video_files import EXTENSIONS, list_videos
from keras_larp.utils.checks import check_names, check_path


class VideoFolder(FileSource):
    """The video files of a folder, with one subfolder per class or none.

    If `root` has subfolders with videos, these are the classes, with class
    ids in alphabetical order. Videos at any depth below a subfolder belong to
    its class. Videos in `root` itself have label -1 ("no class").

    Files are videos if they have the extension of a video container, in
    upper or lower case. Hidden files and folders, such as `._001.mp4`, and
    those of operating systems, such as `__MACOSX`, are ignored. `skipped`
    and `summary()` report the files that are left out.

    Args:
        root: String or path. The folder.
        class_names: List of strings. All class names, indexed by class id,
            for a folder that has only some of them. Defaults to the names of
            the subfolders.
        geometry: String. `"display"` or `"stored"`; see `read_frames`.
            Defaults to `"display"`.

    Attributes:
        class_names: Tuple of strings, empty without classes.
        skipped: List of `SkippedFile`, with a path and a reason each.

    Raises:
        FileNotFoundError: If `root` is not a folder.
        ValueError: If there is no video, or a subfolder is not in
            `class_names`, or `class_names` has duplicates, or `geometry` is
            unknown.

    Example:

    ```python
    source = keras_larp.data.VideoFolder("my_videos")
    source.path(0), source.label(0)  # ("my_videos/cats/001.mp4", 0)
    source.class_names  # ("cats", "dogs")
    print(source.summary())
    # 7 videos, 2 classes by id (videos): 0 'cats' (3), 1 'dogs' (4)
    #   left out 1 (other file extension): cats/notes.txt
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        class_names: collections.abc.Iterable[str] | None = None,
        geometry: str = "display",
    ):
        root = check_path("root", root)
        if class_names is not None:
            class_names = check_names("class_names", class_names)
        if not root.is_dir():
            raise FileNotFoundError(f"The folder {root} does not exist.")
        paths, skipped = list_videos(root)
        # The first folder below `root`, `None` for videos in `root` itself.
        folders = [_first_folder(path.relative_to(root)) for path in paths]
        names = sorted({name for name in folders if name is not None})
        if not names and (class_names is not None or not paths):
            where = f"subfolders of {root}" if paths else root
            raise ValueError(
                f"There are no videos in {where}. Supported file "
                f"extensions: {', '.join(EXTENSIONS)}"
            )
        class_names = tuple(names if class_names is None else class_names)
        if len(set(class_names)) < len(class_names):
            raise ValueError(
                "`class_names` must not have duplicates. Received: "
                f"class_names={list(class_names)}"
            )
        ids: dict[str | None, int] = {None: -1}
        ids |= {name: i for i, name in enumerate(class_names)}
        unknown = [name for name in names if name not in ids]
        if unknown:
            raise ValueError(
                f"The folders {unknown} in {root} are not in `class_names`. "
                f"Received: class_names={list(class_names)}"
            )
        files = [
            VideoFile(str(path), ids[name])
            for path, name in zip(paths, folders, strict=True)
        ]
        super().__init__(files, root, class_names, skipped, geometry)
        num_loose = folders.count(None)
        if names and num_loose:
            logging.warning(
                "%d videos in %s are in no subfolder and have no class. Move "
                "them to the subfolder of their class.",
                num_loose,
                root,
            )


def _first_folder(path):
    return path.parts[0] if len(path.parts) > 1 else None
