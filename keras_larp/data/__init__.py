"""Video sources, transforms, input pipelines and token data sets."""

import importlib

TYPE_CHECKING = False  # As `typing.TYPE_CHECKING`, without importing `typing`.
if TYPE_CHECKING:
    from keras_larp.data.pipelines.batch_dataset import BatchDataset
    from keras_larp.data.pipelines.grain_pipeline import (
        VideoDataset,
        video_dataset,
    )
    from keras_larp.data.pipelines.layer_augmentation import LayerAugmentation
    from keras_larp.data.pipelines.tf_pipeline import tf_video_dataset
    from keras_larp.data.sources.atari_gameplay import AtariGameplay
    from keras_larp.data.sources.cached_source import CachedSource
    from keras_larp.data.sources.concat_source import ConcatSource
    from keras_larp.data.sources.file_source import FileSource, VideoFile
    from keras_larp.data.sources.kinetics600 import Kinetics600
    from keras_larp.data.sources.moving_shapes import MovingShapes
    from keras_larp.data.sources.tfio_reader import TfioReader
    from keras_larp.data.sources.ucf101 import UCF101
    from keras_larp.data.sources.video_files import SkippedFile
    from keras_larp.data.sources.video_folder import VideoFolder
    from keras_larp.data.sources.video_list import VideoList
    from keras_larp.data.sources.video_source import VideoSource
    from keras_larp.data.tokens.ray_writing import write_token_dataset_with_ray
    from keras_larp.data.tokens.token_pipeline import (
        TokenDataset,
        token_dataset,
    )
    from keras_larp.data.tokens.token_source import TokenSource
    from keras_larp.data.tokens.token_writing import write_token_dataset
    from keras_larp.data.video.frame_sampling import (
        frame_indices,
        window_starts,
    )
    from keras_larp.data.video.transforms import (
        center_crop,
        horizontal_flip,
        preprocess_clip,
        random_crop_box,
        resize_shorter_side,
        resized_crop,
    )
    from keras_larp.data.video.video_decode_error import VideoDecodeError
    from keras_larp.data.video.video_limits import set_video_limits
    from keras_larp.data.video.video_reader import (
        count_frames,
        frame_rate,
        read_clip,
        read_frames,
        stream_frames,
    )
    from keras_larp.data.video.video_writer import (
        film_strips,
        video_grid,
        write_image,
        write_video,
    )
    from keras_larp.utils.fingerprints import model_fingerprint
    from keras_larp.utils.freed_memory import reuse_freed_memory

# The module of each public name. Modules are loaded on first use, since some
# need optional libraries (video decoding, pipelines).
_MODULES = {
    "AtariGameplay": "keras_larp.data.sources.atari_gameplay",
    "BatchDataset": "keras_larp.data.pipelines.batch_dataset",
    "CachedSource": "keras_larp.data.sources.cached_source",
    "ConcatSource": "keras_larp.data.sources.concat_source",
    "FileSource": "keras_larp.data.sources.file_source",
    "Kinetics600": "keras_larp.data.sources.kinetics600",
    "LayerAugmentation": "keras_larp.data.pipelines.layer_augmentation",
    "MovingShapes": "keras_larp.data.sources.moving_shapes",
    "SkippedFile": "keras_larp.data.sources.video_files",
    "TfioReader": "keras_larp.data.sources.tfio_reader",
    "TokenDataset": "keras_larp.data.tokens.token_pipeline",
    "TokenSource": "keras_larp.data.tokens.token_source",
    "UCF101": "keras_larp.data.sources.ucf101",
    "VideoDataset": "keras_larp.data.pipelines.grain_pipeline",
    "VideoDecodeError": "keras_larp.data.video.video_decode_error",
    "VideoFile": "keras_larp.data.sources.file_source",
    "VideoFolder": "keras_larp.data.sources.video_folder",
    "VideoList": "keras_larp.data.sources.video_list",
    "VideoSource": "keras_larp.data.sources.video_source",
    "center_crop": "keras_larp.data.video.transforms",
    "count_frames": "keras_larp.data.video.video_reader",
    "film_strips": "keras_larp.data.video.video_writer",
    "frame_indices": "keras_larp.data.video.frame_sampling",
    "frame_rate": "keras_larp.data.video.video_reader",
    "horizontal_flip": "keras_larp.data.video.transforms",
    "model_fingerprint": "keras_larp.utils.fingerprints",
    "preprocess_clip": "keras_larp.data.video.transforms",
    "random_crop_box": "keras_larp.data.video.transforms",
    "read_clip": "keras_larp.data.video.video_reader",
    "read_frames": "keras_larp.data.video.video_reader",
    "resize_shorter_side": "keras_larp.data.video.transforms",
    "resized_crop": "keras_larp.data.video.transforms",
    "reuse_freed_memory": "keras_larp.utils.freed_memory",
    "set_video_limits": "keras_larp.data.video.video_limits",
    "stream_frames": "keras_larp.data.video.video_reader",
    "tf_video_dataset": "keras_larp.data.pipelines.tf_pipeline",
    "token_dataset": "keras_larp.data.tokens.token_pipeline",
    "video_dataset": "keras_larp.data.pipelines.grain_pipeline",
    "video_grid": "keras_larp.data.video.video_writer",
    "window_starts": "keras_larp.data.video.frame_sampling",
    "write_image": "keras_larp.data.video.video_writer",
    "write_token_dataset": "keras_larp.data.tokens.token_writing",
    "write_token_dataset_with_ray": "keras_larp.data.tokens.ray_writing",
    "write_video": "keras_larp.data.video.video_writer",
}

__all__ = [
    "AtariGameplay",
    "BatchDataset",
    "CachedSource",
    "ConcatSource",
    "FileSource",
    "Kinetics600",
    "LayerAugmentation",
    "MovingShapes",
    "SkippedFile",
    "TfioReader",
    "TokenDataset",
    "TokenSource",
    "UCF101",
    "VideoDataset",
    "VideoDecodeError",
    "VideoFile",
    "VideoFolder",
    "VideoList",
    "VideoSource",
    "center_crop",
    "count_frames",
    "film_strips",
    "frame_indices",
    "frame_rate",
    "horizontal_flip",
    "model_fingerprint",
    "preprocess_clip",
    "random_crop_box",
    "read_clip",
    "read_frames",
    "resize_shorter_side",
    "resized_crop",
    "reuse_freed_memory",
    "set_video_limits",
    "stream_frames",
    "tf_video_dataset",
    "token_dataset",
    "video_dataset",
    "video_grid",
    "window_starts",
    "write_image",
    "write_token_dataset",
    "write_token_dataset_with_ray",
    "write_video",
]

if not TYPE_CHECKING:  # With `__getattr__`, type checkers accept any name.

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}"
            )
        module = importlib.import_module(_MODULES[name])
        return getattr(module, name)


def __dir__():
    return sorted([*globals(), *__all__])
