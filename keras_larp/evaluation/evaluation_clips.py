import concurrent.futures
import hashlib
import os
import pathlib
import random
from collections.abc import Iterator, Sequence

import numpy as np

from keras_larp.data.pipelines.clip_loader import ClipLoader
from keras_larp.data.sources.video_source import VideoSource, check_source
from keras_larp.data.video.transforms import stack_clips
from keras_larp.utils.checks import check_boolean, check_integer

# Threads that decode. FFmpeg releases Python's global lock.
_NUM_THREADS = 4


class EvaluationClips:
    """Clips of a source in a fixed order, for evaluation.

    With `num_clips`, it samples clips like the reference implementation:
    `random.Random(seed).sample` of all clips, sorted by name and first frame.
    The sample does not depend on the order of the source. The real clips of
    the published Fréchet distances are those of the training videos with
    `frame_sampling="windows"` and `seed=42`.

    Only `batches` reads videos. Other methods use names, labels and numbers of
    frames.

    Args:
        source: `VideoSource`.
        num_frames: Integer. Number of frames per clip.
        image_size: Integer. Height and width of the clips.
        frame_sampling: String. Which frames form a clip; see
            `keras_larp.data.video_dataset`. Defaults to `"windows"`.
        num_clips: Optional integer. Number of clips to sample. `None` uses
            all clips in the order of the source. Defaults to `None`.
        seed: Integer. Seed of the sample and of random frames. Defaults to 0.
        on_error: String. `"raise"`, or `"skip"` to skip videos that cannot be
            decoded. Defaults to `"raise"`.
        allow_fewer: Boolean. Whether to use all clips if there are fewer than
            `num_clips`, instead of raising an error. Defaults to `False`.

    Attributes:
        loader: `ClipLoader` that reads the clips.
        indices: List of integers. Indices of the clips in the loader.
        num_unreadable_videos: Integer. Number of videos that were skipped
            while listing windows.

    Raises:
        ValueError: If there are fewer than `num_clips` clips and
            `allow_fewer=False`, or no video has `num_frames` frames.

    Example:

    ```python
    source = keras_larp.data.MovingShapes(32, num_frames=16, image_size=32)
    clips = keras_larp.evaluation.EvaluationClips(
        source, num_frames=16, image_size=32, num_clips=8, seed=42
    )
    clips.labels().shape  # (8,)
    ```
    """

    def __init__(
        self,
        source: VideoSource,
        num_frames: int,
        image_size: int,
        frame_sampling: str = "windows",
        num_clips: int | None = None,
        seed: int = 0,
        on_error: str = "raise",
        allow_fewer: bool = False,
    ):
        check_boolean("allow_fewer", allow_fewer)
        if num_clips is not None:
            check_integer("num_clips", num_clips, 1)
        self.loader = ClipLoader(
            source,
            check_integer("num_frames", num_frames, 1),
            check_integer("image_size", image_size, 1),
            frame_sampling,
            seed=seed,
            on_error=on_error,
        )
        self.num_unreadable_videos = len(self.loader.skipped)
        available = len(self.loader)
        if allow_fewer and num_clips is not None:
            num_clips = min(num_clips, available)
        if num_clips is not None and num_clips > available:
            raise ValueError(
                f"`num_clips` must be at most {available}: there are "
                f"{len(source)} videos and {available} clips of {num_frames} "
                f"frames with frame_sampling={frame_sampling!r}. "
                f"Received: num_clips={num_clips}"
            )
        self.indices = list(range(available))
        if num_clips is not None:
            ordered = sorted(self.indices, key=self._name_and_start)
            self.indices = random.Random(seed).sample(ordered, num_clips)

    def __len__(self) -> int:
        return len(self.indices)

    def settings(self) -> dict:
        """Returns a dictionary that identifies the clips in a report."""
        unreadable = {}
        # For other kinds of sampling, it is unknown until clips are read.
        if self.loader.windows:
            unreadable["num_unreadable_videos"] = self.num_unreadable_videos
        geometry = {}
        if self.loader.source.geometry is not None:
            geometry["geometry"] = self.loader.source.geometry
        return {
            "num_clips": len(self),
            "num_available_clips": len(self.loader),
            "num_videos": len(self.loader.source),
            **unreadable,
            "frame_sampling": self.loader.frame_sampling,
            "seed": self.loader.seed,
            "num_frames": self.loader.num_frames,
            "image_size": self.loader.image_size,
            **geometry,
            "names_sha256": self._names_checksum(),
        }

    def labels(self) -> np.ndarray:
        """Returns the class of each clip, -1 for none: int32 `(num_clips,)`."""
        labels = [self.loader.label(index) for index in self.indices]
        return np.array(labels, "int32")

    def batches(
        self, ranges: Sequence[range]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, list[int]]]:
        """Reads batches of clips, with one batch of prefetching.

        Args:
            ranges: List of ranges of clip indices in `[0, num_clips)`, one per
                batch.

        Yields:
            For each range float32 clips of shape `(B, T, H, W, 3)` in [0, 1],
            their int32 labels `(B,)`, and the list of their indices. Clips
            that cannot be decoded are left out, and counted in `skipped`.
        """
        with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as threads:

            def submit(indices):
                return [
                    threads.submit(self.loader.load, 0, self.indices[i])
                    for i in indices
                ]

            next_batch = submit(ranges[0]) if ranges else []
            for i, indices in enumerate(ranges):
                batch, next_batch = next_batch, []
                if i + 1 < len(ranges):
                    next_batch = submit(ranges[i + 1])
                clips = [future.result() for future in batch]
                yield self._stack(indices, clips)

    @property
    def skipped(self) -> dict[str, int]:
        """Number of occurrences of each decoding error, by its message."""
        return dict(self.loader.skipped)

    def _stack(self, indices, clips):
        kept = [
            (index, clip)
            for index, clip in zip(indices, clips, strict=True)
            if self.loader.keep(clip)
        ]
        size = self.loader.image_size
        videos = np.zeros((0, self.loader.num_frames, size, size, 3), "float32")
        if kept:
            videos = stack_clips([clip["video"] for _, clip in kept])
        labels = np.array([clip["label"] for _, clip in kept], "int32")
        return videos, labels, [index for index, _ in kept]

    def _name_and_start(self, index):
        return self.loader.name(index), self.loader.start(index) or 0

    def _names_checksum(self):
        digest = hashlib.sha256()
        for index in self.indices:
            # Without parent folders, which differ between machines.
            parts = pathlib.PurePath(self.loader.name(index)).parts[-2:]
            start = self.loader.start(index)
            start = "" if start is None else start
            digest.update(f"{'/'.join(parts)} {start}\n".encode())
        return digest.hexdigest()


def overlapping_files(source: VideoSource, training: VideoSource) -> list[str]:
    """Returns the video files of a source that are also training videos.

    Two files are the same if they have the same path, or the same name and
    size.

    Args:
        source: `VideoSource` for evaluation.
        training: `VideoSource` that a model was trained on.

    Returns:
        Sorted list of paths; empty for computed sources.

    Example:

    ```python
    source = keras_larp.data.MovingShapes(4)
    keras_larp.evaluation.overlapping_files(source, source)  # []
    ```
    """
    check_source(source)
    check_source(training)
    training_keys = set()
    for path in _paths(training):
        training_keys |= _identity_keys(path)
    return sorted(
        path for path in _paths(source) if _identity_keys(path) & training_keys
    )


def _paths(source):
    """Returns the paths of all files of a source."""
    paths = {source.path(index) for index in range(len(source))}
    return paths - {None}  # Of computed clips.


def _identity_keys(path):
    """Returns keys of which equal files share at least one."""
    keys = {os.path.realpath(path)}
    if os.path.isfile(path):
        keys.add((os.path.basename(path).lower(), os.path.getsize(path)))
    return keys
