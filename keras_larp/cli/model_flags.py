"""Flags of models, of drawing tokens and of video files, and what they mean."""

from absl import flags

from keras_larp import data, models


def define_tokenizer(values):
    """Defines `--tokenizer`."""
    flags.DEFINE_string(
        "tokenizer", None, "Preset of the tokenizer.", flag_values=values
    )
    flags.mark_flag_as_required("tokenizer", flag_values=values)


def define_generator(values, required=True):
    """Defines `--generator` and `--quantize`."""
    flags.DEFINE_string(
        "generator", None, "Preset of the generator.", flag_values=values
    )
    flags.DEFINE_enum(
        "quantize",
        None,
        ["int8"],
        "Weights of the generator in 8 bits; as stored where not given.",
        flag_values=values,
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
    """The generator, quantized where the flag says so."""
    generator = models.ARVideoGenerator.from_preset(values.generator)
    if values.quantize is not None:
        generator.quantize(values.quantize)
    return generator


def sampling_options(values, seed="sampling_seed"):
    """Options of `generate` or `predict_frames`."""
    names = ("temperature", "top_k", "top_p", "guidance_scale")
    options = {
        name: values[name].value
        for name in (*names, "guidance_interval")
        if name in values
    }
    return {**options, "seed": values[seed].value}


def identities(tokenizer, generator):
    """What tells these models from all others, a dictionary."""
    return {
        "tokenizer_sha256": data.model_fingerprint(tokenizer),
        "generator_sha256": data.model_fingerprint(generator),
    }
