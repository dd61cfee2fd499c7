"""Video sources, transforms, input pipelines and token data sets."""

import importlib

# The module of each public name. Modules are imported on first use, since the
# libraries for video and pipelines are optional.
_MODULES = {
    "AtariGameplay": "keras_larp.data.sources.atari_gameplay",
    "BatchDataset": "keras_larp.data.pipelines.batch_dataset",
    "CachedSource": "keras_larp.data.sources.cached_source",
    "ConcatSource": "keras_larp.data.sources.concat_source",
    "FileSource": "keras_larp.data.sources.file_source",
    "Kinetics600": "keras_larp.data.sources.kinetics600",
    "LayerAugmentation": "keras_larp.data.pipelines.layer_augmentation",
    "MovingShapes": "keras_larp.data.sources.moving_shapes",
    "TfioReader": "keras_larp.data.video.tfio_reader",
    "TokenDataset": "keras_larp.data.tokens.token_pipeline",
    "TokenSource": "keras_larp.data.tokens.token_source",
    "UCF101": "keras_larp.data.sources.ucf101",
    "VideoDecodeError": "keras_larp.data.video.video_decode_error",
    "VideoDataset": "keras_larp.data.pipelines.grain_pipeline",
    "VideoFile": "keras_larp.data.sources.file_source",
    "VideoFolder": "keras_larp.data.sources.video_folder",
    "VideoList": "keras_larp.data.sources.video_list",
    "VideoSource": "keras_larp.data.sources.video_source",
    "center_crop": "keras_larp.data.video.transforms",
    "count_frames": "keras_larp.data.video.video_reader",
    "film_strips": "keras_larp.data.video.video_writer",
    "frame_indices": "keras_larp.data.video.frame_sampling",
    "horizontal_flip": "keras_larp.data.video.transforms",
    "reuse_freed_memory": "keras_larp.utils.freed_memory",
    "preprocess_clip": "keras_larp.data.video.transforms",
    "random_crop_box": "keras_larp.data.video.transforms",
    "read_clip": "keras_larp.data.video.video_reader",
    "read_frames": "keras_larp.data.video.video_reader",
    "resize_shorter_side": "keras_larp.data.video.transforms",
    "resized_crop": "keras_larp.data.video.transforms",
    "tf_video_dataset": "keras_larp.data.pipelines.tf_pipeline",
    "token_dataset": "keras_larp.data.tokens.token_pipeline",
    "model_fingerprint": "keras_larp.utils.fingerprints",
    "video_dataset": "keras_larp.data.pipelines.grain_pipeline",
    "video_grid": "keras_larp.data.video.video_writer",
    "window_starts": "keras_larp.data.video.frame_sampling",
    "write_image": "keras_larp.data.video.video_writer",
    "write_token_dataset": "keras_larp.data.tokens.token_writing",
    "write_video": "keras_larp.data.video.video_writer",
}

__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_MODULES[name])
    return getattr(module, name)
