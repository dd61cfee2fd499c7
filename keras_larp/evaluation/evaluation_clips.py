import concurrent.futures
import hashlib
import os
import pathlib
import random

import numpy as np

from keras_larp.data.pipelines.clip_loader import ClipLoader
from keras_larp.data.video.transforms import stack_clips

# Threads that decode: FFmpeg works outside of Python's lock.
_NUM_THREADS = 4


class EvaluationClips:
    """Clips of a source, in an order that does not depend on who reads them.

    With `num_clips`, the clips are those that the authors' rule chooses:
    `random.Random(seed).sample` of all the clips there are, in the order of
    their names and first frames, whatever the order of the source is. Of
    training videos, with `frame_sampling="windows"` and a seed of 42, these are the
    real clips of their Fréchet distances.

    Args:
        source: As in `keras_larp.data.video_dataset`.
        num_frames: Integer, length of a clip.
        image_size: Integer, height and width of a clip.
        frame_sampling: String, which frames make a clip; see
            `keras_larp.data.video_dataset`.
        num_clips: Integer, how many are chosen; all, in the order of the
            source, where `None`.
        seed: Integer, of the choice and of random starts.
        on_error: String: `"raise"`, or `"skip"` videos that do not decode.
        allow_fewer: Boolean, whether all are chosen, in place of an error,
            where there are fewer than `num_clips`.

    Raises:
        ValueError: where there are fewer than `num_clips` and that is not
            allowed, or no whole clip.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    clips = keras_larp.evaluation.EvaluationClips(
        source, 16, 128, num_clips=10_000, seed=42
    )
    ```
    """

    def __init__(
        self,
        source,
        num_frames,
        image_size,
        frame_sampling="windows",
        num_clips=None,
        seed=0,
        on_error="raise",
        allow_fewer=False,
    ):
        self.loader = ClipLoader(
            source,
            num_frames,
            image_size,
            frame_sampling,
            seed=seed,
            on_error=on_error,
        )
        # Those of which no window could be listed.
        self.num_unreadable_videos = len(self.loader.skipped)
        available = len(self.loader)
        if allow_fewer and num_clips is not None:
            num_clips = min(num_clips, available)
        if num_clips is not None and not 1 <= num_clips <= available:
            raise ValueError(
                f"There are {available} clips of {num_frames} frames "
                f"(frame_sampling={frame_sampling!r}) in {len(source)} videos. Choose at "
                f"most so many. Received: num_clips={num_clips}"
            )
        self.indices = list(range(available))
        if num_clips is not None:
            ordered = sorted(self.indices, key=self._name_and_start)
            self.indices = random.Random(seed).sample(ordered, num_clips)

    def __len__(self):
        return len(self.indices)

    def settings(self):
        """What these clips are, a dictionary for a report."""
        unreadable = {}
        if self.loader.windows:  # Else it is not known before they are read.
            unreadable["num_unreadable_videos"] = self.num_unreadable_videos
        return {
            "num_clips": len(self),
            "num_available_clips": len(self.loader),
            "num_videos": len(self.loader.source),
            **unreadable,
            "frame_sampling": self.loader.frame_sampling,
            "seed": self.loader.seed,
            "num_frames": self.loader.num_frames,
            "image_size": self.loader.image_size,
            "names_sha256": self._names_checksum(),
        }

    def labels(self):
        """int32 `(num_clips,)`, the class of each clip, -1 for none."""
        labels = [self.loader.label(index) for index in self.indices]
        return np.array(labels, "int32")

    def batches(self, ranges):
        """Reads clips by their numbers, a batch ahead.

        Args:
            ranges: List of ranges of numbers, from 0 to `num_clips`.

        Yields:
            For each range the float32 clips `(B, T, H, W, 3)` in [0, 1],
            their int32 labels `(B,)` and their numbers; without those that
            do not decode, which `skipped` counts.
        """
        with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as threads:

            def read(numbers):
                return [
                    threads.submit(self.loader.load, 0, self.indices[i])
                    for i in numbers
                ]

            ahead = read(ranges[0]) if ranges else []
            for i, numbers in enumerate(ranges):
                reading, ahead = ahead, []
                if i + 1 < len(ranges):
                    ahead = read(ranges[i + 1])
                clips = [future.result() for future in reading]
                yield self._stack(numbers, clips)

    @property
    def skipped(self):
        """Dictionary from the error of each video that was left out to how
        many times it was met."""
        return dict(self.loader.skipped)

    def _stack(self, numbers, clips):
        kept = [
            (number, clip)
            for number, clip in zip(numbers, clips, strict=True)
            if self.loader.keep(clip)
        ]
        size = self.loader.image_size
        videos = np.zeros((0, self.loader.num_frames, size, size, 3), "float32")
        if kept:
            videos = stack_clips([clip["video"] for _, clip in kept])
        labels = np.array([clip["label"] for _, clip in kept], "int32")
        return videos, labels, [number for number, _ in kept]

    def _name_and_start(self, index):
        return self.loader.name(index), self.loader.start(index) or 0

    def _names_checksum(self):
        digest = hashlib.sha256()
        for index in self.indices:
            # Without the folders that differ between machines.
            parts = pathlib.PurePath(self.loader.name(index)).parts[-2:]
            start = self.loader.start(index)
            start = "" if start is None else start
            digest.update(f"{'/'.join(parts)} {start}\n".encode())
        return digest.hexdigest()


def overlapping_files(source, training):
    """The videos of a source that are also in the list of training videos.

    A file counts as the same if it has the same path, or the same name and as
    many bytes.

    Args:
        source: Source of files.
        training: Another.

    Returns:
        List of strings, sorted paths; empty for sources that are computed.
    """
    known = set()
    for path in _paths(training):
        known |= _marks(path)
    return sorted(path for path in _paths(source) if _marks(path) & known)


def _paths(source):
    """The paths of all files of a source, without those of computed clips."""
    paths = {source.path(index) for index in range(len(source))}
    return paths - {None}


def _marks(path):
    """What tells that two files are the same."""
    marks = {os.path.realpath(path)}
    if os.path.isfile(path):
        marks.add((os.path.basename(path).lower(), os.path.getsize(path)))
    return marks
