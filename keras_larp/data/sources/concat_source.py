import dataclasses

import numpy as np

from keras_larp.utils.checks import check_integer


class ConcatSource:
    """Several sources as one, to train on all of them.

    One pass has each clip of each source once, or as many times as `repeats`
    says, in which case each time has a random start of its own. The order is
    that of the sources; `video_dataset` shuffles all together.

    Class ids are places in the list of all sources' classes one after the
    other: those of the second source are moved up by the number of classes of
    the first. Clips of a source without `class_names` have the label -1.

    Args:
        sources: List of sources, such as `UCF101` and `Kinetics600`.
        repeats: Optional list of integers, how many times a pass has the
            clips of each source.

    Attributes:
        class_names: Tuple of strings, all sources' classes.
        flip_changes_label: Whether mirroring changes a class of any source.

    Raises:
        ValueError: If there are no sources or not as many `repeats`.

    Example:

    ```python
    source = keras_larp.data.ConcatSource(
        [
            keras_larp.data.UCF101("UCF-101"),
            keras_larp.data.Kinetics600("k600", "k600_train.csv"),
        ],
        repeats=[4, 1],  # 4 x 9,537 clips beside 380,000
    )
    ```
    """

    def __init__(self, sources, repeats=None):
        self.sources = list(sources)
        repeats = [1] * len(self.sources) if repeats is None else list(repeats)
        if not self.sources or len(repeats) != len(self.sources):
            raise ValueError(
                "`sources` must hold at least one, and `repeats` as many "
                f"integers. Received: {len(self.sources)} sources and "
                f"repeats={repeats}"
            )
        self.repeats = [check_integer("repeats", n, 1) for n in repeats]
        names = [
            tuple(getattr(source, "class_names", ())) for source in self.sources
        ]
        self.class_names = sum(names, ())
        self._offsets = [
            sum(map(len, names[:i])) if own else None
            for i, own in enumerate(names)
        ]
        lengths = [
            len(source) * count
            for source, count in zip(self.sources, self.repeats, strict=True)
        ]
        self._ends = np.cumsum(lengths)
        self.flip_changes_label = any(
            getattr(source, "flip_changes_label", False)
            for source in self.sources
        )
        # A size that all sources have is that of the mixture.
        for size in ("num_frames", "image_size"):
            found = {getattr(source, size, None) for source in self.sources}
            if len(found) == 1 and None not in found:
                setattr(self, size, found.pop())

    def __len__(self):
        return int(self._ends[-1])

    def __getitem__(self, index):
        index = range(len(self))[index]  # ends `for clip in source`
        which = int(np.searchsorted(self._ends, index, side="right"))
        if which:
            index -= int(self._ends[which - 1])
        source, offset = self.sources[which], self._offsets[which]
        item = source[index % len(source)]
        if isinstance(item, dict):
            return {**item, "label": _moved(int(item["label"]), offset)}
        return dataclasses.replace(item, label=_moved(item.label, offset))


def _moved(label, offset):
    return -1 if label < 0 or offset is None else label + offset
