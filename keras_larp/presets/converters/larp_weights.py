"""Conversion of weights from and to checkpoints of the LARP reference code.

A `Mapping` describes, for each variable of a model, the names and the layout
of its weights in a reference checkpoint. Both directions of the conversion
follow from it.
"""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_larp.models import LARPTokenizer, VideoDiscriminator
from keras_larp.presets.converters.larp_config import read_larp_config
from keras_larp.presets.converters.state_dict import without_wrappers
from keras_larp.presets.size_checks import check_sizes, explain_config
from keras_larp.utils.array_files import read_safetensors
from keras_larp.utils.differences import describe_mismatch

_REMEDY = "Download or copy the checkpoint again."
# Constant position tables in the checkpoints; this library computes them.
_TABLES = (
    "abs_pe",
    "decoder_latent_pe",
    "decoder_patch_query_embed",
    "encoder_latent_query_embed",
    "encoder_patch_pe",
    "encoder_pos_embed",
)


@dataclasses.dataclass(frozen=True)
class Mapping:
    """One variable of a model and its weights in a reference checkpoint.

    Attributes:
        variable: The variable.
        names: Tuple of strings. Names of the weights in the checkpoint.
        layout: String. `"linear"` for transposed matrices, several of which
            are concatenated along the output axis; `"patch"` for a
            convolution kernel over patches; `"same"` for weights that are
            only reshaped.
        shapes: Tuple of the shapes of the weights in the checkpoint.
    """

    variable: Any
    names: tuple
    layout: str = "same"
    shapes: tuple = ()

    def from_larp(self, weights):
        """Converts the weights of the checkpoint to the variable's value."""
        if self.layout == "linear":
            return np.concatenate([w.T for w in weights], axis=1)
        (weight,) = weights if len(weights) == 1 else (np.concatenate(weights),)
        if self.layout == "patch":
            # (D, C, [pt,] p, p) to (pt * p * p * C, D)
            weight = np.moveaxis(weight, (0, 1), (-1, -2))
        return weight.reshape(self.variable.shape)

    def to_larp(self, array):
        """Converts the variable's value to the weights of the checkpoint."""
        array = np.asarray(array)
        parts = np.split(array, len(self.names), axis=-1)
        if self.layout == "linear":
            ends = np.cumsum([shape[0] for shape in self.shapes])[:-1]
            return [part.T for part in np.split(array, ends, axis=1)]
        if self.layout == "patch":
            dim, channels, *patch = self.shapes[0]
            array = array.reshape(*patch, channels, dim)
            return [np.moveaxis(array, (-1, -2), (0, 1))]
        return [p.reshape(s) for p, s in zip(parts, self.shapes, strict=True)]


def mappings(model: keras.Model) -> list[Mapping]:
    """Returns the mappings of a tokenizer, generator or discriminator."""
    if isinstance(model, LARPTokenizer):
        return list(_tokenizer(model))
    if isinstance(model, VideoDiscriminator):
        return list(_discriminator(model))
    return list(_generator(model))


def to_larp_state(model: keras.Model, arrays: Iterable) -> dict:
    """Converts arrays to the names and layouts of a reference checkpoint.

    Args:
        model: `LARPTokenizer`, `ARVideoGenerator` or `VideoDiscriminator`.
        arrays: One array per variable of `mappings(model)`, such as its value
            or its gradient.

    Returns:
        Dictionary of arrays.
    """
    state: dict[str, np.ndarray] = {}
    for mapping, array in zip(mappings(model), arrays, strict=True):
        parts = mapping.to_larp(array)
        state.update(zip(mapping.names, parts, strict=True))
    return state


def load_larp_checkpoint(
    folder: pathlib.Path, config: dict, **kwargs: Any
) -> keras.Model:
    """Builds a model from a reference checkpoint and loads its weights.

    Args:
        folder: Path of a folder with a `model.safetensors`.
        config: Dictionary. The content of `config.json` in this folder.
        **kwargs: Arguments that override the configuration.

    Returns:
        A `LARPTokenizer` or an `ARVideoGenerator`.

    Raises:
        ValueError: If a file is damaged, or the weights are missing or do not
            match the configuration.
    """
    file = folder / "model.safetensors"
    if not file.exists():
        raise ValueError(
            "Expected a checkpoint folder with a `model.safetensors`. "
            f"Received: {folder}"
        )
    state = without_wrappers(read_safetensors(file, _REMEDY))
    has_prior = any(name.startswith("prior_model.") for name in state)
    if "prior_model" in config and not has_prior:
        # Some published checkpoints lack the prior, which only training uses.
        config = {**config, "prior_model": {"name": "none"}}
    with explain_config(folder / "config.json"):
        model_class, arguments = read_larp_config(config)
        arguments = {**arguments, **kwargs}
        num_stored = sum(weight.size for weight in state.values())
        source = str(folder / "config.json")
        check_sizes(model_class, arguments, num_stored, source)
        model = model_class(**arguments)
    load_larp_state(model, state, source=str(file))
    return model


def load_larp_state(
    model: keras.Model, state: dict, source: str = "the checkpoint"
) -> None:
    """Loads the weights of a reference checkpoint into a model.

    Args:
        model: `LARPTokenizer`, `ARVideoGenerator` or `VideoDiscriminator`.
        state: Dictionary of arrays, with the names of the reference code.
        source: String. Origin of the weights, for error messages.

    Raises:
        ValueError: If weights are missing, extra or misshapen. The message
            names each of them.
    """
    model_mappings = mappings(model)
    expected = {
        name: tuple(shape)
        for mapping in model_mappings
        for name, shape in zip(mapping.names, mapping.shapes, strict=True)
    }
    stored = {
        name: tuple(weight.shape)
        for name, weight in state.items()
        if name in expected
        or not (name in _TABLES or name.endswith("num_batches_tracked"))
    }
    problems = describe_mismatch(stored, expected)
    if problems:
        raise ValueError(
            f"The weights of {source} do not match the model.\n{problems}"
        )
    for mapping in model_mappings:
        weights = [np.asarray(state[n], "float32") for n in mapping.names]
        mapping.variable.assign(mapping.from_larp(weights))


def _linear(layer, *names):
    rows, columns = layer.kernel.shape
    width = columns // len(names)
    yield Mapping(
        layer.kernel,
        tuple(f"{name}.weight" for name in names),
        "linear",
        ((width, rows),) * len(names),
    )
    if layer.use_bias:
        biases = tuple(f"{name}.bias" for name in names)
        yield Mapping(layer.bias, biases, "same", ((width,),) * len(names))


def _norm(layer, name, bias=True):
    scale = layer.gamma if bias else layer.scale
    shape = tuple(scale.shape)
    yield Mapping(scale, (f"{name}.weight",), "same", (shape,))
    if bias:
        yield Mapping(layer.beta, (f"{name}.bias",), "same", (shape,))


def _vector(variable, name, *shape):
    return Mapping(variable, (name,), "same", (shape or variable.shape,))


def _grid(positions, names, type_name):
    dim = positions.hidden_dim
    if positions.learned:
        t, h, w = positions.grid
        shapes = (1, t, 1, 1, dim), (1, 1, h, 1, dim), (1, 1, 1, w, dim)
        for table, name, shape in zip(
            positions.tables, names, shapes, strict=True
        ):
            yield _vector(table, name, *shape)
    if positions.use_type_embedding:
        yield _vector(positions.type_vector, type_name, 1, 1, dim)


def _blocks(blocks, name):
    for i, block in enumerate(blocks):
        prefix = f"{name}.blocks.{i}"
        yield from _norm(block.attention_norm, f"{prefix}.norm1")
        yield from _linear(block.qkv, f"{prefix}.attn.qkv")
        yield from _linear(block.projection, f"{prefix}.attn.proj")
        yield from _norm(block.mlp_norm, f"{prefix}.norm2")
        yield from _linear(block.mlp_in, f"{prefix}.mlp.fc1")
        yield from _linear(block.mlp_out, f"{prefix}.mlp.fc2")


def _patches(model):
    embedding = model.patch_embedding
    pt, ph, pw = model.patch_size
    patch = (ph, pw) if pt == 1 else (pt, ph, pw)
    yield Mapping(
        embedding.projection.kernel,
        ("x_embedder.proj.weight",),
        "patch",
        ((embedding.hidden_dim, model.num_channels, *patch),),
    )
    yield _vector(embedding.projection.bias, "x_embedder.proj.bias")


def _tokenizer(model):
    embedding, encoder, decoder = (
        model.patch_embedding,
        model.encoder,
        model.decoder,
    )
    yield from _patches(model)
    yield from _grid(
        embedding.positions,
        # "encode_w_embed" is spelled like this in the reference code.
        ("encoder_t_embed", "encoder_h_embed", "encode_w_embed"),
        "encoder_patch_token_type_embed",
    )
    queries = encoder.queries
    if queries.learned:
        yield _vector(queries.table, "encoder_latent_query_embed")
    if queries.use_type_embedding:
        name = "encoder_latent_query_token_type_embed"
        yield _vector(queries.type_vector, name, 1, 1, queries.hidden_dim)
    yield from _blocks(encoder.blocks, "encoder")

    yield from _linear(model.to_code, "bottleneck.in_linear")
    norm, name = model.code_norm, "bottleneck.norm_layer"
    if norm is not None:
        yield from _norm(norm, name)
    if model.latent_norm.startswith("batch"):
        yield _vector(norm.moving_mean, f"{name}.running_mean")
        yield _vector(norm.moving_variance, f"{name}.running_var")
    codebook = "bottleneck.regularizer.embedding.weight"
    yield _vector(model.quantizer.embeddings, codebook)
    yield from _linear(model.from_code, "bottleneck.out_linear")

    latents = decoder.latent_positions
    if latents.learned:
        shape = 1, *latents.table.shape
        yield _vector(latents.table, "decoder_latent_pe", *shape)
    if latents.use_type_embedding:
        name = "decoder_latent_token_type_embed"
        yield _vector(latents.type_vector, name, 1, 1, latents.hidden_dim)
    yield from _grid(
        decoder.patch_queries,
        ("decoder_t_embed", "decoder_h_embed", "decoder_w_embed"),
        "decoder_patch_query_token_type_embed",
    )
    yield from _blocks(decoder.blocks, "decoder")
    yield from _norm(decoder.norm, "final_layer.norm_final")
    yield from _linear(decoder.pixels, "final_layer.linear")
    if model.prior is not None:
        yield from _prior(model.prior, "prior_model")


def _prior(prior, name):
    yield from _linear(prior.input_projection, f"{name}.input_proj")
    table = prior.positions.table
    yield _vector(table, f"{name}.pos_emb", 1, *table.shape)
    for i, block in enumerate(prior.blocks):
        prefix = f"{name}.blocks.{i}"
        parts = (f"{prefix}.attn.{p}" for p in ("query", "key", "value"))
        yield from _norm(block.attention_norm, f"{prefix}.ln1")
        yield from _linear(block.qkv, *parts)
        yield from _linear(block.projection, f"{prefix}.attn.proj")
        yield from _norm(block.mlp_norm, f"{prefix}.ln2")
        yield from _linear(block.mlp_in, f"{prefix}.mlp.0")
        yield from _linear(block.mlp_out, f"{prefix}.mlp.2")
    yield from _norm(prior.norm, f"{name}.ln_f")
    yield from _linear(prior.head, f"{name}.head")


def _discriminator(model):
    yield _vector(model.class_token, "cls_token")
    yield from _patches(model)
    yield from _blocks(model.blocks, "transformer_encoder")
    yield from _norm(model.norm, "norm_final")
    yield from _linear(model.head, "fc")


def _generator(model):
    if model.class_embedding is not None:
        name = "cls_embedding.embedding_table.weight"
        yield _vector(model.class_embedding.embeddings, name)
    yield _vector(model.token_embedding.embeddings, "tok_embeddings.weight")
    if model.positions.learned:
        table = model.positions.table
        yield _vector(table, "abs_pe", 1, *table.shape)
    for i, block in enumerate(model.blocks):
        prefix = f"layers.{i}"
        feed = f"{prefix}.feed_forward"
        norms = f"{prefix}.attention_norm", f"{prefix}.ffn_norm"
        yield from _norm(block.attention_norm, norms[0], bias=False)
        yield from _linear(block.qkv, f"{prefix}.attention.wqkv")
        yield from _linear(block.projection, f"{prefix}.attention.wo")
        yield from _norm(block.mlp_norm, norms[1], bias=False)
        yield from _linear(block.mlp_in, f"{feed}.w1", f"{feed}.w3")
        yield from _linear(block.mlp_out, f"{feed}.w2")
    yield from _norm(model.norm, "norm", bias=False)
    yield from _linear(model.head, "output")
