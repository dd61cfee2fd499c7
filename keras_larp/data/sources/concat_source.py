import collections.abc

import numpy as np

from keras_larp.data.sources.video_source import VideoSource, check_source
from keras_larp.utils.checks import check_integer, check_sequence


class ConcatSource(VideoSource):
    """Concatenates several sources, to train on all of them.

    One epoch has each clip of each source once, or `repeats` times with a
    different random start each time. `video_dataset` shuffles the clips of
    all sources together.

    Class ids index the concatenated class names: the class ids of the second
    source are offset by the number of classes of the first. Clips of sources
    without `class_names` have label -1.

    Args:
        sources: List of `VideoSource`, such as `UCF101` and `Kinetics600`.
        repeats: List of integers. How often one epoch has the clips of each
            source. Defaults to once.

    Attributes:
        class_names: Tuple of strings. The class names of all sources.
        flip_changes_label: Boolean. Whether mirroring changes the class of
            clips of any source.
        geometry: String. The geometry of the sources that have one. If they
            differ, those of all sources, separated by commas.

    Raises:
        TypeError: If a source is not a `VideoSource`.
        ValueError: If `sources` is empty or differs in length from `repeats`.

    Example:

    ```python
    source = keras_larp.data.ConcatSource(
        [
            keras_larp.data.UCF101("UCF-101"),
            keras_larp.data.Kinetics600("k600", "k600_train.csv"),
        ],
        repeats=[4, 1],  # 4 x 9,537 clips and 380,000 clips
    )
    ```
    """

    def __init__(
        self,
        sources: collections.abc.Iterable[VideoSource],
        repeats: collections.abc.Iterable[int] | None = None,
    ):
        self.sources = [
            check_source(source)
            for source in check_sequence("sources", sources)
        ]
        if repeats is None:
            repeats = [1] * len(self.sources)
        repeats = check_sequence("repeats", repeats)
        if not self.sources or len(repeats) != len(self.sources):
            raise ValueError(
                "`sources` must hold at least one source, and `repeats` one "
                f"integer per source. Received: {len(self.sources)} sources "
                f"and repeats={repeats}"
            )
        self.repeats = [check_integer("repeats", n, 1) for n in repeats]
        self.class_names = sum(
            (tuple(source.class_names) for source in self.sources), ()
        )
        num_classes = [len(source.class_names) for source in self.sources]
        self._label_offsets = np.cumsum([0, *num_classes[:-1]]).tolist()
        lengths = [
            len(source) * count
            for source, count in zip(self.sources, self.repeats, strict=True)
        ]
        self._ends = np.cumsum(lengths)
        self.flip_changes_label = any(
            source.flip_changes_label for source in self.sources
        )
        num_frames = {source.default_num_frames for source in self.sources}
        if len(num_frames) == 1:
            self.default_num_frames = num_frames.pop()
        image_sizes = {source.default_image_size for source in self.sources}
        if len(image_sizes) == 1:
            self.default_image_size = image_sizes.pop()
        geometries = [source.geometry for source in self.sources]
        if len({*geometries} - {None}) > 1:
            self.geometry = ",".join(name or "none" for name in geometries)
        else:
            self.geometry = next(filter(None, geometries), None)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def name(self, index: int) -> str:
        position, index = self._locate(index)
        return f"{position}/{self.sources[position].name(index)}"

    def path(self, index: int) -> str | None:
        position, index = self._locate(index)
        return self.sources[position].path(index)

    def label(self, index: int) -> int:
        position, index = self._locate(index)
        source = self.sources[position]
        label = int(source.label(index))
        if label < 0 or not source.class_names:
            return -1
        return label + self._label_offsets[position]

    def num_frames(self, index: int) -> int:
        position, index = self._locate(index)
        return self.sources[position].num_frames(index)

    def read(
        self,
        index: int,
        frame_indices: np.ndarray,
        image_size: int | None = None,
    ) -> np.ndarray:
        position, index = self._locate(index)
        return self.sources[position].read(index, frame_indices, image_size)

    def _locate(self, index):
        """The position of a clip's source in `sources`, and its index there."""
        index = range(len(self))[index]
        position = int(np.searchsorted(self._ends, index, side="right"))
        if position:
            index -= int(self._ends[position - 1])
        return position, index % len(self.sources[position])
