import dataclasses


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """What a source of files gives for an index.

    Args:
        path: String, path of the file.
        label: Integer, the class id, or -1 where there is none.
    """

    path: str
    label: int = -1
