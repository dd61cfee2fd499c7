"""Entries of `keras_larp.models`."""

import functools

import numpy as np
from fuzz.bad_values import (
    boolean,
    choice,
    floats,
    function,
    ids,
    instance,
    integer,
    integers,
    mapping,
    names,
    number,
)
from fuzz.entries.layers import (
    ABOVE_ZERO,
    POSITIVE,
    RATE,
    SEED,
    WEIGHT,
    random_floats,
    random_ids,
)
from fuzz.entries.losses_and_metrics import LOSSES
from fuzz.entry import Entry
from tiny_models import (
    clips,
    tiny_discriminator,
    tiny_generator,
    tiny_tokenizer,
)

from keras_larp import models

VIDEO = floats(None, 4, 16, 16, 3, unit=True, mentions=("clips", "input"))
TOKENS = ids(32, None, 6, mentions=("token ids", "tokens", "input"))
COUNT = integer(1, optional=True)

SIZES = {"patch_size": (2, 8, 8), "decoder_patch_size": (2, 8, 8)}
PRIOR = {
    "code_dim": POSITIVE,
    "num_layers": POSITIVE,
    "num_heads": POSITIVE,
    "hidden_dim": POSITIVE,
    "max_length": POSITIVE,
    "dropout": RATE,
    "normalize": boolean(),
    "gradient_checkpointing": boolean(),
}
GENERATOR = {
    "vocab_size": POSITIVE,
    "num_tokens": POSITIVE,
    "num_classes": POSITIVE,
    "class_names": names(optional=True),
    "hidden_dim": POSITIVE,
    "num_layers": POSITIVE,
    "num_heads": POSITIVE,
    "num_kv_heads": COUNT,
    "mlp_dim": COUNT,
    "conditioning": choice("class", "frames"),
    "num_condition_frames": POSITIVE,
    "class_dropout": number("[0, 1]"),
    "token_dropout": RATE,
    "dropout": RATE,
    "attention_dropout": RATE,
    "drop_path": RATE,
    "learned_positions": boolean(),
    "epsilon": ABOVE_ZERO,
    "gradient_checkpointing": boolean(),
    "seed": SEED,
}
TOKENIZER = {
    "num_frames": POSITIVE,
    "image_size": POSITIVE,
    "patch_size": integers(3),
    "decoder_patch_size": integers(3, optional=True),
    "num_tokens": POSITIVE,
    "codebook_size": integer(2),
    "code_dim": POSITIVE,
    "hidden_dim": POSITIVE,
    "num_heads": POSITIVE,
    "encoder_num_layers": POSITIVE,
    "decoder_num_layers": POSITIVE,
    "decoder_hidden_dim": COUNT,
    "decoder_num_heads": COUNT,
    "num_channels": POSITIVE,
    "latent_norm": choice(
        "none", "layer", "layer_joint", "batch", "batch_joint"
    ),
    "quantizer": mapping(optional=True),
    "token_dropout": mapping(optional=True),
    "prior": mapping(optional=True),
    "prior_num_rounds": POSITIVE,
    "prior_max_sampling_ratio": number("[0, 1]"),
    "prior_sampling_peak_fraction": number("(0, 1]"),
    "prior_scheduled_sampling": boolean(),
    "prior_average_rounds": boolean(),
    "prior_gradient_all_rounds": boolean(),
    "prior_temperature": ABOVE_ZERO,
    "learned_patch_positions": boolean(),
    "learned_queries": boolean(),
    "query_initializer": choice("normal", "sincos"),
    "query_init_std": WEIGHT,
    "learned_latent_positions": boolean(),
    "learned_patch_queries": boolean(),
    "latent_max_wavelength": ABOVE_ZERO,
    "use_patch_type_embedding": boolean(),
    "use_query_type_embedding": boolean(),
    "use_latent_type_embedding": boolean(),
    "use_patch_query_type_embedding": boolean(),
    "gradient_checkpointing": boolean(),
    "seed": SEED,
}
DISCRIMINATOR = {
    "num_frames": POSITIVE,
    "image_size": POSITIVE,
    "patch_size": integers(3),
    "hidden_dim": POSITIVE,
    "num_layers": POSITIVE,
    "num_heads": POSITIVE,
    "num_channels": POSITIVE,
    "spectral_normalization": boolean(),
    "gradient_checkpointing": boolean(),
}
SAMPLING = {
    "temperature": WEIGHT,
    "top_k": integer(0),
    "top_p": number("(0, 1]"),
    "seed": integer(0, 2**64 - 1, optional=True),
    "sample_offset": integer(0),
    "batch_size": COUNT,
    "num_tokens": integer(1, 6, optional=True),
    "stream": boolean(),
}
COMPILE = {
    "optimizer": instance(),
    "prior_learning_rate_multiplier": WEIGHT,
    "pixel_loss": choice("l1", "l2"),
    "pixel_loss_weight": WEIGHT,
    "perceptual_model": function(optional=True),
    "perceptual_loss_weight": WEIGHT,
    "quantizer_loss_weight": WEIGHT,
    "prior_loss_weight": WEIGHT,
    "discriminator": instance(optional=True),
    "discriminator_optimizer": instance(),
    "discriminator_every": POSITIVE,
    "discriminator_start": integer(0),
    "adversarial_loss": choice(*LOSSES),
    "adversarial_loss_weight": WEIGHT,
    "adversarial_start": integer(0),
    "lecam_weight": WEIGHT,
    "gradient_penalty_weight": WEIGHT,
    "temperature_schedule": function(optional=True),
    "total_steps": COUNT,
    "max_skipped_steps": POSITIVE,
}


@functools.cache
def tokenizer():
    return tiny_tokenizer()


@functools.cache
def generator():
    return tiny_generator(class_names=["a", "b", "c"])


@functools.cache
def _trained_models():
    """Models whose weights may change."""
    models_ = tiny_tokenizer(), tiny_generator()
    for model in models_:
        model.compile()
    return models_


@functools.cache
def frame_generator():
    return tiny_generator(conditioning="frames", num_condition_frames=2)


@functools.cache
def _lpips():
    return models.LPIPS(chunk_size=1, seed=0)


@functools.cache
def _i3d():
    return models.I3D()


@functools.cache
def _discriminator():
    return tiny_discriminator()


@functools.cache
def _elastic():
    return tiny_tokenizer(token_dropout={})


@functools.cache
def _prior():
    return models.ARPrior(4, 1, 2, 16, max_length=6)


def _constructors():
    yield models.ARPrior, {"num_layers": 1, "max_length": 8}, PRIOR
    yield tiny_generator, {}, GENERATOR
    yield tiny_tokenizer, SIZES, TOKENIZER
    yield tiny_discriminator, {"patch_size": (2, 8, 8)}, DISCRIMINATOR
    yield models.LPIPS, {}, {"chunk_size": COUNT, "seed": SEED}
    yield models.I3D, {}, {"epsilon": ABOVE_ZERO}


def _calls():
    video = {"video": clips(2)}
    yield "LARPTokenizer.call", lambda video: tokenizer()(video), video, VIDEO
    yield (
        "LARPTokenizer.encode",
        lambda video: tokenizer().encode(video),
        video,
        VIDEO,
    )
    for name, kind in {
        "num_tokens": integer(1, 6, optional=True),
        "target_psnr": number("(0, inf)", optional=True),
        "target_bits": number("[5, inf)", optional=True),
    }.items():
        yield (
            f"LARPTokenizer.encode {name}",
            lambda name=name, **kwargs: _elastic().encode(
                video["video"], **kwargs
            ),
            {name: None},
            kind,
        )
    yield (
        "LARPTokenizer.decode",
        lambda token_ids: tokenizer().decode(token_ids),
        {"token_ids": random_ids(32, 2, 6)},
        TOKENS,
    )
    yield (
        "LARPTokenizer.decode video_size",
        lambda video_size: tokenizer().decode(
            np.zeros((1, 6), "int32"), video_size=video_size
        ),
        {"video_size": (4, 16, 16)},
        integers(3, optional=True),
    )
    yield (
        "VideoDiscriminator.call",
        lambda video: _discriminator()(video),
        video,
        floats(None, 4, 16, 16, 3, mentions=("clips", "input")),
    )
    yield (
        "ARPrior.call",
        lambda latents: _prior()(latents),
        {"latents": random_floats(2, 5, 4)},
        floats(None, None, 4, mentions=("input",)),
    )
    yield (
        "I3D.call",
        lambda videos: _i3d()(videos),
        {"videos": random_floats(1, 10, 32, 32, 3)},
        floats(
            None, None, None, None, 3, unit=True, mentions=("clips", "input")
        ),
    )


def _fit(x, model, method="fit", **kwargs):
    verbose = {"verbose": 0, "batch_size": 2}
    getattr(model, method)(x, **verbose, **kwargs)


def entries():
    for make, valid, kinds in _constructors():
        name = {
            tiny_generator: "ARVideoGenerator",
            tiny_tokenizer: "LARPTokenizer",
            tiny_discriminator: "VideoDiscriminator",
        }.get(make) or make.__name__
        yield Entry(f"models.{name}", make, lambda v=valid: v, kinds)
    for name, function_, valid, kind in _calls():
        yield Entry(
            f"models.{name}",
            function_,
            lambda v=valid: v,
            dict.fromkeys(valid, kind),
        )
    lpips = floats(1, 2, 32, 32, 3, unit=True, mentions=("video", "clips"))
    pair = random_floats(1, 2, 32, 32, 3)
    yield Entry(
        "models.LPIPS.call",
        lambda videos, reconstructions: _lpips()(videos, reconstructions),
        lambda: {"videos": pair, "reconstructions": pair},
        {"videos": lpips, "reconstructions": lpips},
    )
    yield Entry(
        "models.ARVideoGenerator.call",
        lambda **inputs: generator()(inputs),
        lambda: {
            "token_ids": random_ids(32, 2, 6),
            "class_ids": random_ids(3, 2),
        },
        {
            "token_ids": TOKENS,
            "class_ids": ids(
                3, None, negative=True, mentions=("class ids", "input")
            ),
        },
    )
    yield Entry(
        "models.ARVideoGenerator.generate",
        lambda **kwargs: generator().generate(**kwargs),
        lambda: {
            "class_ids": np.array([0, 2]),
            "known_tokens": random_ids(32, 2, 6),
        },
        {
            "class_ids": _class_ids(),
            "known_tokens": ids(
                32,
                2,
                6,
                negative=True,
                optional=True,
                mentions=("known tokens",),
            ),
            "guidance_scale": number("[0, 1000000]"),
            "guidance_interval": integer(-1),
            "tokenizer": instance(optional=True),
            **SAMPLING,
        },
    )
    yield Entry(
        "models.ARVideoGenerator.generate without a class",
        lambda num_samples: generator().generate(num_samples=num_samples),
        lambda: {"num_samples": 2},
        {"num_samples": integer(1)},
    )
    yield Entry(
        "models.ARVideoGenerator.predict_frames",
        lambda **kwargs: frame_generator().predict_frames(**kwargs),
        lambda: {"video": clips(2)[:, :2], "tokenizer": tokenizer()},
        {
            "video": floats(
                None, None, 16, 16, 3, unit=True, mentions=("clips",)
            ),
            "tokenizer": instance(),
            "num_condition_frames": integer(1, 2, optional=True),
            "num_samples": POSITIVE,
            **SAMPLING,
        },
    )
    yield Entry(
        "models.ARVideoGenerator.quantize",
        lambda mode: tiny_generator().quantize(mode),
        lambda: {"mode": "int8"},
        {
            "mode": choice(
                "int8", "float8", "int4", optional=True, mentions=("quantiz",)
            )
        },
    )
    yield Entry(
        "models.ARVideoGenerator.compile",
        lambda **kwargs: tiny_generator().compile(**kwargs),
        dict,
        {"optimizer": COMPILE["optimizer"], "max_skipped_steps": POSITIVE},
    )
    yield Entry(
        "models.LARPTokenizer.compile",
        lambda **kwargs: tiny_tokenizer().compile(**kwargs),
        lambda: {"discriminator": _discriminator()},
        COMPILE,
    )
    yield Entry(
        "models.reconstruct_video",
        lambda **kwargs: list(models.reconstruct_video(**kwargs)),
        lambda: {
            "tokenizer": tokenizer(),
            "frames": random_floats(6, 20, 9, 3),
        },
        {
            "tokenizer": instance(),
            "frames": floats(
                None,
                None,
                None,
                3,
                unit=True,
                or_uint8=True,
                mentions=("clips",),
            ),
            "temporal_overlap": integer(0, 3, optional=True),
            "spatial_overlap": integer(0, 15, optional=True),
            "batch_size": POSITIVE,
            "num_tokens": integer(1, 6, optional=True),
        },
    )
    for method in ("fit", "evaluate"):
        yield Entry(
            f"models.LARPTokenizer.{method}",
            lambda x, m=method: _fit(x, _trained_models()[0], m),
            lambda: {"x": clips(2)},
            {
                "x": floats(
                    None, 4, 16, 16, 3, unit=True, mentions=("clips", "data")
                )
            },
        )
        yield Entry(
            f"models.ARVideoGenerator.{method}",
            lambda m=method, **x: _fit(x, _trained_models()[1], m),
            lambda: {
                "token_ids": random_ids(32, 2, 6),
                "class_ids": random_ids(3, 2),
            },
            {
                "token_ids": TOKENS,
                "class_ids": ids(
                    3, None, negative=True, mentions=("class ids", "input")
                ),
            },
        )
    for make in (models.ARPrior, models.ARVideoGenerator):
        sizes = tuple(make.sizes)
        yield Entry(
            f"models.{make.__name__}.from_size",
            make.from_size,
            lambda s=sizes: {"size": s[0]},
            {"size": choice(*sizes)},
        )


def _class_ids():
    return ids(3, None, negative=True, mentions=("class ids", "class"))
