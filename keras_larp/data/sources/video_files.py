"""Search for the video files of a folder."""

import dataclasses
import os
import pathlib

# Containers with video that FFmpeg reads, without those that mostly hold sound
# or single images.
EXTENSIONS = tuple(
    ".3g2 .3gp .amv .asf .avi .divx .dv .f4v .flv .gif .m1v .m2t .m2ts .m2v "
    ".m4v .mjpeg .mjpg .mkv .mod .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf "
    ".nut .ogm .ogv .qt .rm .rmvb .tod .ts .vob .webm .wmv .wtv .y4m".split()
)
# Files and folders that operating systems, archivers and storage devices add,
# in lower case. Names that start with a dot are hidden.
_SYSTEM_NAMES = {
    "#recycle",
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
    "system volume information",
    "thumbs.db",
}
HIDDEN = "hidden or system file"
NOT_VIDEO = "other file extension"
NO_VIDEOS = "folder without videos"
MISSING = "missing"
_CYCLE = "link to a parent folder"
_BROKEN = "broken link or not a file"


@dataclasses.dataclass(frozen=True)
class SkippedFile:
    """A file or folder that a source leaves out.

    Args:
        path: String. Path of the file, or of a folder with all its files.
        reason: String. Why it is left out.
    """

    path: str
    reason: str


def is_hidden(name: str) -> bool:
    """Whether a file or folder name is hidden or belongs to a system."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def list_videos(
    root: str | os.PathLike,
) -> tuple[list[pathlib.Path], list[SkippedFile]]:
    """Lists the video files in a folder and in all of its subfolders.

    Args:
        root: String or path. The folder.

    Returns:
        The paths of the videos, sorted by folder and name, and a list of
        `SkippedFile` in the same order.
    """
    videos: list[pathlib.Path] = []
    skipped: list[SkippedFile] = []
    _scan(pathlib.Path(root), (), videos, skipped)
    return videos, skipped


def _scan(folder, ancestors, videos, skipped):
    """Appends the files of a folder to `videos` and `skipped`."""
    resolved = os.path.realpath(folder)
    if resolved in ancestors:
        skipped.append(SkippedFile(str(folder), _CYCLE))
        return
    num_videos = len(videos)
    for name in sorted(os.listdir(folder)):
        path = folder / name
        reason = None
        if is_hidden(name):
            reason = HIDDEN
        elif path.is_dir():
            _scan(path, (*ancestors, resolved), videos, skipped)
            continue
        elif path.suffix.lower() not in EXTENSIONS:
            reason = NOT_VIDEO
        elif not path.is_file():
            reason = _BROKEN
        if reason is None:
            videos.append(path)
        else:
            skipped.append(SkippedFile(str(path), reason))
    if len(videos) == num_videos and ancestors:
        skipped.append(SkippedFile(str(folder), NO_VIDEOS))
