"""Clips whose pixels identify them. Keras is not imported, so that worker
processes that unpickle them start faster."""

import collections

import numpy as np

from keras_larp import data


class NumberClips(data.VideoSource):
    """Clips whose red pixels are their label, and green ones the frame index.

    Args:
        count: Integer. Number of clips.
        length: Integer. Number of frames per clip.
        broken: Integer. Index of a clip that does not decode.

    Attributes:
        reads: Counter from the index of a clip to how often it was read.
    """

    def __init__(self, count, length=4, broken=None):
        self.count, self.length, self.broken = count, length, broken
        self.reads = collections.Counter()

    def __len__(self):
        return self.count

    def label(self, index):
        return index

    def num_frames(self, index):
        return self.length

    def read(self, index, frame_indices, image_size=None):
        self.reads[index] += 1
        if index == self.broken:
            raise data.VideoDecodeError(f"Clip {index} does not decode.")
        video = np.zeros((self.length, 2, 2, 3), "uint8")
        video[..., 0] = index
        video[..., 1] = np.arange(self.length)[:, None, None]
        video[:, :, 0, 2] = 255
        return video[frame_indices]


class ArraySource(data.VideoSource):
    """Videos in memory.

    Args:
        videos: List of uint8 arrays `(T, H, W, 3)`.
        labels: List of integers. Defaults to the indices.
    """

    def __init__(self, videos, labels=None):
        self.videos = videos
        self.labels = range(len(videos)) if labels is None else labels

    def __len__(self):
        return len(self.videos)

    def label(self, index):
        return self.labels[index]

    def num_frames(self, index):
        return len(self.videos[index])

    def read(self, index, frame_indices, image_size=None):
        return self.videos[index][frame_indices]
