"""Reconstruction of complete video files."""

import itertools
import pathlib
from typing import Any

from absl import flags

import keras_larp
from keras_larp import data
from keras_larp.cli import lazy_keras as keras

_FLAGS = ("audio", "temporal_overlap", "spatial_overlap")
# Flags of clips, which do not apply to complete videos.
_CLIP_FLAGS = ("num_clips", "fps", "test_data", "data_format")


def define(values: flags.FlagValues) -> None:
    """Defines `--full` and the flags that need it."""
    options: dict[str, Any] = {
        "flag_values": values,
        "module_name": "Complete videos",
    }
    flags.DEFINE_bool(
        "full",
        False,
        "Reconstruct complete videos instead of clips. --data names the files. "
        "Each is written to NAME_reconstruction.mp4, in its own size (odd "
        "heights and widths are extended by a pixel) and frame rate (the "
        "average, if it varies).",
        **options,
    )
    flags.DEFINE_bool(
        "audio",
        False,
        "With --full, copy the first audio track of the file.",
        **options,
    )
    flags.DEFINE_integer(
        "temporal_overlap",
        None,
        "With --full, number of frames by which consecutive clips overlap. If "
        "omitted, a quarter of a clip.",
        0,
        **options,
    )
    flags.DEFINE_integer(
        "spatial_overlap",
        None,
        "With --full, number of pixels by which adjacent clips overlap at "
        "least. If omitted, a quarter of their height.",
        0,
        **options,
    )


def check(values: flags.FlagValues) -> None:
    """Raises `ValueError` if flags are given that do not fit `--full`."""
    for name in _CLIP_FLAGS if values.full else _FLAGS:
        if values[name].present:
            raise ValueError(
                f"--{name} cannot be combined with --full."
                if values.full
                else f"--{name} needs --full."
            )


def reconstruct(values: flags.FlagValues, tokenizer: Any) -> None:
    """Reconstructs the video files of `--data`, one after the other.

    Args:
        values: The parsed flags.
        tokenizer: A `LARPTokenizer`.

    Raises:
        ValueError: If files are missing or cannot be reconstructed.
    """
    data.set_video_limits(values.max_frame_pixels, values.max_decoded_pixels)
    num_skipped = 0
    outputs = _outputs(values)
    for path, output in outputs.items():
        try:
            _reconstruct(values, tokenizer, path, output)
        except data.VideoDecodeError as error:
            if values.on_error == "raise":
                raise
            num_skipped += 1
            print(f"Skipped: {error}")
    if num_skipped == len(outputs):
        raise ValueError(
            "None of the videos could be reconstructed. Received: "
            f"--data={','.join(values.data)}"
        )
    if num_skipped:
        print(f"Skipped {num_skipped} of {len(outputs)} videos")


def _outputs(values):
    """Returns the output path of each input path."""
    if not values.data:
        raise ValueError(
            "--full needs --data, the paths of video files. Received: "
            f"--data={values.data}"
        )
    folder = pathlib.Path(values.output)
    outputs = {}
    for path in map(pathlib.Path, values.data):
        if values.on_error == "raise" and not path.exists():
            raise FileNotFoundError(f"--data={path} does not exist.")
        outputs[path] = folder / f"{path.stem}_reconstruction.mp4"
    targets = [output.resolve() for output in outputs.values()]
    if len(set(targets)) < len(targets):
        raise ValueError(
            "Videos of --data must have different names, since their "
            "reconstructions are written to one folder. Received: "
            f"--data={','.join(values.data)}"
        )
    for path in outputs:
        if path.resolve() in targets:
            raise ValueError(
                f"The reconstruction of a video would replace {path}, which is "
                "in --data. Choose another folder. Received: "
                f"--output={values.output}"
            )
    return outputs


def _reconstruct(values, tokenizer, path, output):
    num_frames = data.count_frames(path)
    frame_rate = data.frame_rate(path)
    # `tee` keeps the frames that one iterator is ahead of the other.
    frames, originals = itertools.tee(data.stream_frames(path, values.geometry))
    reconstructions = keras_larp.models.reconstruct_video(
        tokenizer,
        frames,
        values.temporal_overlap,
        values.spatial_overlap,
        values.batch_size,
        values.num_tokens,
    )
    psnr = keras_larp.metrics.PSNR()
    bar = keras.utils.Progbar(num_frames, unit_name="frame")

    def measured():
        for pair in zip(originals, reconstructions, strict=True):
            psnr.update_state(*(frame[None] / 255.0 for frame in pair))
            bar.add(1)
            yield pair[1]

    audio_from = path if values.audio else None
    data.write_video(output, measured(), frame_rate, audio_from)
    print(
        f"{output}: {num_frames} frames at {float(frame_rate):.5g} per second, "
        f"PSNR {float(psnr.result()):.4f}"
    )
