"""Flags of models, of drawing tokens and of video files, and what they mean."""

import pathlib

from absl import flags

from keras_larp import data, models


def define_tokenizer(values):
    """Defines `--tokenizer`."""
    flags.DEFINE_string(
        "tokenizer", None, "Preset of the tokenizer.", flag_values=values
    )
    flags.mark_flag_as_required("tokenizer", flag_values=values)


def define_generator(values, required=True):
    """Defines `--generator`."""
    flags.DEFINE_string(
        "generator", None, "Preset of the generator.", flag_values=values
    )
    if required:
        flags.mark_flag_as_required("generator", flag_values=values)


def define_sampling(values, guided, seed="sampling_seed"):
    """Defines the flags of drawing tokens.

    Args:
        values: A `flags.FlagValues`.
        guided: Boolean, whether there is guidance.
        seed: String, name of the flag of the seed.
    """
    flags.DEFINE_integer(seed, 0, "Seed of the samples.", 0, flag_values=values)
    flags.DEFINE_float(
        "temperature",
        1.0,
        "0 takes the likeliest token.",
        0.0,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "top_k",
        0,
        "Draw among so many tokens; 0 for all.",
        0,
        flag_values=values,
    )
    flags.DEFINE_float(
        "top_p", 1.0, "Draw among the likeliest tokens.", flag_values=values
    )
    if guided:
        define_guidance(values)
        flags.DEFINE_integer(
            "guidance_interval",
            -1,
            "Guided steps; -1 for all.",
            -1,
            flag_values=values,
        )


def define_guidance(values):
    """Defines `--guidance_scale`."""
    flags.DEFINE_float(
        "guidance_scale", 1.25, "1 for no guidance.", 1.0, flag_values=values
    )


def define_files(values, output):
    """Defines `--output`, with its default, and `--fps`."""
    flags.DEFINE_string(
        "output", output, "Folder of the files.", flag_values=values
    )
    flags.DEFINE_integer(
        "fps", 8, "Frames a second of the files.", 1, flag_values=values
    )


def load_tokenizer(values):
    """The tokenizer."""
    return models.LARPTokenizer.from_preset(values.tokenizer)


def load_generator(values):
    """The generator."""
    return models.ARVideoGenerator.from_preset(values.generator)


def sampling_options(values, seed="sampling_seed"):
    """Options of `generate` or `predict_frames`."""
    names = ("temperature", "top_k", "top_p", "guidance_scale")
    options = {
        name: values[name].value
        for name in (*names, "guidance_interval")
        if name in values
    }
    return {**options, "seed": values[seed].value}


def write_files(values, names, videos, grid):
    """Writes clips to files of these names, and a grid of them."""
    output = pathlib.Path(values.output)
    for name, video in zip(names, videos, strict=True):
        data.write_video(output / f"{name}.mp4", video, values.fps)
    data.write_video(output / "grid.gif", grid, values.fps)
    print(f"Wrote {len(videos)} clips and grid.gif to {output}")
