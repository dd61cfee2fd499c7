"""Entries of `keras_larp.layers`."""

import functools

import numpy as np
from fuzz.bad_values import (
    Kind,
    boolean,
    choice,
    floats,
    ids,
    integer,
    integers,
    number,
)
from fuzz.entry import Entry
from hypothesis import strategies as st

from keras_larp import layers

_POSITIONS = st.one_of(
    st.integers(-(10**9), -1),
    st.sampled_from(
        [None, "8", {}, 1.5, float("nan"), [[1, 2]], ["a"], [float("inf")]]
    ),
)
B, N, D, K = 2, 6, 16, 8  # Batch, tokens, width, codes.
POSITIVE = integer(1)
SEED = integer(0, optional=True)
RATE = number("[0, 1)")
WEIGHT = number("[0, inf)")
ABOVE_ZERO = number("(0, inf)")
ONES = np.ones(B, "float32")
MASK = floats(B, N, optional=True)
WEIGHTS = floats(B, or_integers=True, optional=True, mentions=("weights",))

CONSTRUCTORS = {
    layers.CausalTransformerBlock: (
        {"hidden_dim": D, "num_heads": 2},
        {
            "hidden_dim": POSITIVE,
            "num_heads": POSITIVE,
            "num_kv_heads": integer(1, optional=True),
            "mlp_dim": integer(1, optional=True),
            "dropout": RATE,
            "attention_dropout": RATE,
            "drop_path": RATE,
            "epsilon": ABOVE_ZERO,
        },
    ),
    layers.HolisticQueryEncoder: (
        {"num_tokens": N, "hidden_dim": D, "num_layers": 1, "num_heads": 2},
        {
            "num_tokens": POSITIVE,
            "hidden_dim": POSITIVE,
            "num_layers": POSITIVE,
            "num_heads": POSITIVE,
            "learned_queries": boolean(),
            "query_initializer": choice("normal", "sincos"),
            "query_init_std": WEIGHT,
            "query_max_wavelength": ABOVE_ZERO,
            "use_type_embedding": boolean(),
            "gradient_checkpointing": boolean(),
        },
    ),
    layers.PatchQueryDecoder: (
        {
            "num_tokens": N,
            "video_size": (4, 16, 16),
            "patch_size": (2, 8, 8),
            "hidden_dim": D,
            "num_layers": 1,
            "num_heads": 2,
        },
        {
            "num_tokens": POSITIVE,
            "video_size": integers(3),
            "patch_size": integers(3),
            "hidden_dim": POSITIVE,
            "num_layers": POSITIVE,
            "num_heads": POSITIVE,
            "num_channels": POSITIVE,
            "learned_latent_positions": boolean(),
            "latent_max_wavelength": ABOVE_ZERO,
            "use_latent_type_embedding": boolean(),
            "learned_patch_queries": boolean(),
            "use_patch_type_embedding": boolean(),
            "gradient_checkpointing": boolean(),
        },
    ),
    layers.TokenDropout: (
        {"num_tokens": N, "code_dim": 4},
        {
            "num_tokens": POSITIVE,
            "code_dim": POSITIVE,
            "rate": number("[0, 1]"),
            "min_tokens": integer(1, N, optional=True),
            "max_tokens": integer(1, N, optional=True),
            "distribution": choice("uniform", "log_uniform"),
            "seed": SEED,
        },
    ),
    layers.TransformerBlock: (
        {"hidden_dim": D, "num_heads": 2},
        {
            "hidden_dim": POSITIVE,
            "num_heads": POSITIVE,
            "mlp_dim": integer(1, optional=True),
            "causal": boolean(),
            "use_qkv_bias": boolean(),
            "dropout": RATE,
            "epsilon": ABOVE_ZERO,
        },
    ),
    layers.VectorQuantizer: (
        {"codebook_size": K, "code_dim": 4},
        {
            "codebook_size": integer(2),
            "code_dim": POSITIVE,
            "normalize": boolean(),
            "stochastic": boolean(),
            "temperature": ABOVE_ZERO,
            "commitment_weight": WEIGHT,
            "codebook_weight": WEIGHT,
            "entropy_weight": WEIGHT,
            "entropy_temperature": ABOVE_ZERO,
            "ema_decay": number("(0, 1)", optional=True),
            "reset_unused_after": integer(1, optional=True),
            "seed": SEED,
        },
    ),
    layers.VideoPatchEmbedding: (
        {
            "video_size": (4, 16, 16),
            "patch_size": (2, 8, 8),
            "hidden_dim": D,
        },
        {
            "video_size": integers(3),
            "patch_size": integers(3),
            "hidden_dim": POSITIVE,
            "learned_positions": boolean(),
            "use_type_embedding": boolean(),
        },
    ),
}


@functools.cache
def _layer(cls):
    return cls(**CONSTRUCTORS[cls][0])


@functools.cache
def _quantizer():
    quantizer = layers.VectorQuantizer(K, 4, ema_decay=0.9)
    quantizer.build()
    return quantizer


def random_floats(*shape):
    return np.random.default_rng(0).random(shape, "float32")


def random_ids(size, *shape):
    return np.random.default_rng(0).integers(0, size, shape).astype("int32")


def _calls():
    """Arguments of the calls, and their kinds."""
    tokens = {"tokens": random_floats(B, N, D)}
    kinds = {"tokens": floats(None, None, D, mentions=("input",))}
    yield layers.CausalTransformerBlock, tokens, kinds
    outputs = {"num_outputs": integer(1, N, optional=True)}
    yield layers.TransformerBlock, tokens, {**kinds, **outputs}
    yield (
        layers.HolisticQueryEncoder,
        {"patches": random_floats(B, 8, D)},
        {
            "patches": floats(None, None, D, mentions=("input",)),
        },
    )
    yield (
        layers.PatchQueryDecoder,
        {"latents": random_floats(B, N, D), "video_size": (4, 16, 16)},
        {
            "latents": floats(None, N, D, mentions=("input",)),
            "video_size": integers(3, optional=True),
        },
    )
    yield (
        layers.VectorQuantizer,
        {
            "latents": random_floats(B, N, 4),
            "sample_weight": ONES,
            "token_mask": np.ones((B, N), "float32"),
        },
        {
            "latents": floats(None, None, 4, mentions=("input",)),
            "temperature": number("(0, inf)", optional=True),
            "sample_weight": WEIGHTS,
            "token_mask": MASK,
        },
    )
    yield (
        layers.TokenDropout,
        {
            "codes": random_floats(B, N, 4),
            "num_kept": np.ones(B, "int32"),
        },
        {
            "codes": floats(None, N, 4, mentions=("input",)),
            "num_kept": ids(N + 1, B, mentions=("codes",)),
        },
    )
    yield (
        layers.VideoPatchEmbedding,
        {"video": random_floats(B, 4, 16, 16, 3)},
        {"video": floats(None, 4, 16, 16, None, mentions=("input", "clips"))},
    )


def entries():
    for cls, (valid, kinds) in CONSTRUCTORS.items():
        yield Entry(f"layers.{cls.__name__}", cls, lambda v=valid: v, kinds)
    for cls, valid, kinds in _calls():
        yield Entry(
            f"layers.{cls.__name__}.call",
            lambda cls=cls, **kwargs: _call(_layer(cls), kwargs),
            lambda v=valid: v,
            kinds,
        )
    yield Entry(
        "layers.VectorQuantizer.lookup",
        lambda token_ids: _quantizer().lookup(token_ids),
        lambda: {"token_ids": random_ids(K, B, N)},
        {"token_ids": ids(K, any_rank=True, mentions=("ids",))},
    )
    yield Entry(
        "layers.VectorQuantizer.update",
        lambda **kwargs: _quantizer().update(**kwargs),
        lambda: {
            "latents": random_floats(B, N, 4),
            "token_ids": random_ids(K, B, N),
            "sample_weight": ONES,
            "token_mask": np.ones((B, N), "float32"),
        },
        {
            "latents": floats(B, N, 4, mentions=("token_ids",)),
            "token_ids": ids(K, B, N, mentions=("ids",)),
            "sample_weight": WEIGHTS,
            "token_mask": MASK,
        },
    )
    yield Entry(
        "layers.VectorQuantizer.set_codes",
        lambda codes: _quantizer().set_codes(codes),
        lambda: {"codes": random_floats(K, 4)},
        {"codes": floats(K, 4, finite=True)},
    )
    yield Entry(
        "layers.TokenDropout.draw",
        lambda batch_size: _layer(layers.TokenDropout).draw(batch_size),
        lambda: {"batch_size": B},
        {"batch_size": POSITIVE},
    )
    yield Entry(
        "layers.sincos_1d",
        layers.sincos_1d,
        lambda: {"positions": 8, "dim": 4},
        {
            "positions": Kind(lambda _: _POSITIONS),
            "dim": integer(2),
            "max_wavelength": number("(0, inf)"),
        },
    )
    yield Entry(
        "layers.sincos_3d",
        layers.sincos_3d,
        lambda: {"grid": (2, 4, 4), "dim": 8, "base_grid": (2, 2, 2)},
        {
            "grid": integers(3),
            "dim": integer(4),
            "base_grid": integers(3, optional=True),
        },
    )


def _call(layer, kwargs):
    kwargs = dict(kwargs)
    first = next(iter(kwargs))
    return layer(kwargs.pop(first), **kwargs)
