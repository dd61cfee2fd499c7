"""Video sources, reading and writing clips, transforms and pipelines."""

import importlib

# Where each public name is. Modules are loaded when a name is first used: the
# libraries for video and pipelines are extras.
_MODULES = {
    "AtariGameplay": "atari_gameplay",
    "BatchDataset": "batch_dataset",
    "InMemory": "in_memory",
    "Kinetics600": "kinetics600",
    "LayerAugmentation": "layer_augmentation",
    "Mixed": "mixed",
    "MovingShapes": "moving_shapes",
    "TfioReader": "tfio_reader",
    "TokenDataset": "token_pipeline",
    "TokenSource": "token_source",
    "UCF101": "ucf101",
    "VideoDecodeError": "video_decode_error",
    "VideoDataset": "grain_pipeline",
    "VideoFile": "video_file",
    "VideoFolder": "video_folder",
    "VideoList": "video_list",
    "center_crop": "transforms",
    "count_frames": "clips",
    "film_strips": "writing",
    "frame_indices": "frame_sampling",
    "horizontal_flip": "transforms",
    "keep_freed_memory": "freed_memory",
    "preprocess_clip": "transforms",
    "random_crop_box": "transforms",
    "read_clip": "clips",
    "read_frames": "clips",
    "resize_shorter_side": "transforms",
    "resized_crop": "transforms",
    "tf_video_dataset": "tf_pipeline",
    "token_dataset": "token_pipeline",
    "tokenizer_identity": "token_writing",
    "video_dataset": "grain_pipeline",
    "video_grid": "writing",
    "window_starts": "frame_sampling",
    "write_image": "writing",
    "write_token_dataset": "token_writing",
    "write_video": "writing",
}

__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
