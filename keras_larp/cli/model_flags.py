"""Flags that select models, sampling options and output files."""

from typing import Any

from absl import flags

import keras_larp
from keras_larp import data
from keras_larp.cli.command import require
from keras_larp.data.video.video_writer import MIN_FPS
from keras_larp.utils.checks import check_number


def define_tokenizer(values: flags.FlagValues) -> None:
    """Defines `--tokenizer`."""
    flags.DEFINE_string(
        "tokenizer",
        None,
        "Preset of the tokenizer: a bundled name, a folder, or an address such "
        "as hf://owner/repository.",
        flag_values=values,
        module_name="Models",
    )
    require(values, "tokenizer")


def define_lpips(values: flags.FlagValues) -> None:
    """Defines `--lpips`."""
    flags.DEFINE_string(
        "lpips",
        None,
        "Preset of LPIPS, such as lpips_vgg16, or a file of VGG16 weights.",
        flag_values=values,
        module_name="Models",
    )


def define_generator(values: flags.FlagValues, required: bool = True) -> None:
    """Defines `--generator` and `--quantize`."""
    options: dict[str, Any] = {"flag_values": values, "module_name": "Models"}
    flags.DEFINE_string(
        "generator",
        None,
        "Preset of the generator, in the same form as --tokenizer.",
        **options,
    )
    flags.DEFINE_enum(
        "quantize",
        None,
        ["int8"],
        "Quantize the weights of the generator. If omitted, they keep their "
        "dtype.",
        **options,
    )
    if required:
        require(values, "generator")


def define_sampling(
    values: flags.FlagValues, guided: bool, seed: str = "sampling_seed"
) -> None:
    """Defines the flags of token sampling.

    Args:
        values: `flags.FlagValues` to which the flags are added.
        guided: Boolean. Whether the generator supports classifier-free
            guidance.
        seed: String. Name of the flag of the seed. Defaults to
            `"sampling_seed"`.
    """
    options: dict[str, Any] = {"flag_values": values, "module_name": "Sampling"}
    flags.DEFINE_integer(
        seed, 0, "Random seed of token sampling.", 0, **options
    )
    flags.DEFINE_float(
        "temperature",
        1.0,
        "Sampling temperature; 0 always selects the most likely token.",
        0.0,
        **options,
    )
    flags.DEFINE_integer(
        "top_k",
        0,
        "Sample from the K most likely tokens; 0 disables it.",
        0,
        **options,
    )
    flags.DEFINE_float(
        "top_p",
        1.0,
        "Nucleus sampling: sample from the most likely tokens whose total "
        "probability reaches this value; 1 disables it.",
        **options,
    )
    flags.DEFINE_integer(
        "num_tokens",
        None,
        "Sample only the first N tokens of each clip, for an elastic "
        "tokenizer. If omitted, all.",
        1,
        **options,
    )
    if guided:
        define_guidance(values)
        flags.DEFINE_integer(
            "guidance_interval",
            -1,
            "Last decoding step that uses guidance; -1 guides all steps.",
            -1,
            **options,
        )


def define_guidance(values: flags.FlagValues) -> None:
    """Defines `--guidance_scale`."""
    flags.DEFINE_float(
        "guidance_scale",
        1.25,
        "Scale of classifier-free guidance; 1 disables it.",
        1.0,
        flag_values=values,
        module_name="Sampling",
    )


def define_files(values: flags.FlagValues, output: str) -> None:
    """Defines `--output`, with its default, and `--fps`."""
    options: dict[str, Any] = {"flag_values": values, "module_name": "Output"}
    flags.DEFINE_string("output", output, "Output folder.", **options)
    flags.DEFINE_float(
        "fps",
        8.0,
        "Frame rate of video files, in frames per second.",
        MIN_FPS,
        **options,
    )


def load_tokenizer(values: flags.FlagValues):
    """Loads the `LARPTokenizer` of `--tokenizer`."""
    return keras_larp.models.LARPTokenizer.from_preset(values.tokenizer)


def load_lpips(values: flags.FlagValues):
    """Loads the `LPIPS` model of `--lpips`; `None` without it."""
    if not values.lpips:
        return None
    return keras_larp.models.LPIPS.from_preset(values.lpips)


def load_generator(values: flags.FlagValues):
    """Loads the `ARVideoGenerator` of `--generator` and quantizes it."""
    generator = keras_larp.models.ARVideoGenerator.from_preset(values.generator)
    if values.quantize is not None:
        generator.quantize(values.quantize)
    return generator


def sampling_options(
    values: flags.FlagValues, seed: str = "sampling_seed"
) -> dict:
    """Returns arguments of `generate` or `predict_frames`."""
    check_number("top_p", values.top_p, "(0, 1]")
    names = ("temperature", "top_k", "top_p", "guidance_scale")
    options = {
        name: values[name].value
        for name in (*names, "guidance_interval")
        if name in values
    }
    if values.num_tokens is not None:
        options["num_tokens"] = values.num_tokens
    return {**options, "seed": values[seed].value}


def fingerprints(tokenizer, generator) -> dict[str, str]:
    """Returns the fingerprints of both models, to store with their outputs."""
    return {
        "tokenizer_sha256": data.model_fingerprint(tokenizer),
        "generator_sha256": data.model_fingerprint(generator),
    }
