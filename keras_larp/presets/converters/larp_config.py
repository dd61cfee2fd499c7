"""Conversion of the reference implementation's `config.json`."""

from typing import Any

import keras

from keras_larp.models import ARPrior, ARVideoGenerator, LARPTokenizer

_NORMS = {
    "none": "none",
    "no": "none",
    "ln_d": "layer",
    "ln_nd": "layer_joint",
    "bn_bn": "batch",
    "bn_b": "batch_joint",
    # The reference code builds this layer but never applies it.
    "ln_d_na": "none",
}
_NO_PRIOR = ("none", "no", "null", "")


def is_larp_config(config: dict) -> bool:
    """Returns whether a `config.json` is of the reference implementation."""
    return "bottleneck" in config or "cls_token_num" in config


def build_from_larp_config(config: dict, **kwargs: Any) -> keras.Model:
    """Builds an untrained model from a reference configuration.

    Args:
        config: Dictionary. The `config.json` of a checkpoint folder.
        **kwargs: Arguments of the model that override the configuration, such
            as `dtype`.

    Returns:
        A `LARPTokenizer` or an `ARVideoGenerator`.

    Raises:
        ValueError: If the configuration has an unsupported option.
    """
    model_class, arguments = read_larp_config(config)
    return model_class(**{**arguments, **kwargs})


def read_larp_config(config: dict) -> tuple[type[keras.Model], dict]:
    """Returns the class of the model that a reference configuration describes,
    and the arguments of its constructor."""
    if "bottleneck" in config:
        return LARPTokenizer, _tokenizer_arguments(config)
    return ARVideoGenerator, _generator_arguments(config)


def _tokenizer_arguments(config):
    bottleneck = config["bottleneck"]["args"]
    regularizer = bottleneck["regularizer"]
    if regularizer["name"] != "vq":
        raise ValueError(
            "Only the vector-quantizing bottleneck 'vq' is supported. "
            f"Received: {regularizer['name']!r}"
        )
    quantizer = regularizer["args"]
    temperature = quantizer.get("stochastic_temperature", 1.0)
    if temperature <= 0:
        raise ValueError(
            "A learnable quantizer temperature is not supported. "
            f"Received: stochastic_temperature={temperature}"
        )
    norm = str(bottleneck.get("norm") or "none").lower()
    if norm not in _NORMS:
        raise ValueError(
            "The norm before the quantizer must be one of: "
            f"{', '.join(_NORMS)}. Received: {norm!r}"
        )
    learned_queries = config.get("learned_encoder_latent_query_embed", True)
    gaussian = config.get("encoder_query_gaussian_init", True)
    patch = config.get("patch_size", 8)
    decoder_patch = config.get("decoder_patch_size", 8)
    arguments = {
        "num_frames": config.get("frame_num", 16),
        "image_size": config.get("input_size", 128),
        "patch_size": (config.get("temporal_patch_size", 4), patch, patch),
        "decoder_patch_size": (
            config.get("decoder_temporal_patch_size", 4),
            decoder_patch,
            decoder_patch,
        ),
        "num_channels": config.get("in_channels", 3),
        "num_tokens": config.get("bottleneck_token_num", 1024),
        "codebook_size": quantizer["codebook_size"],
        "code_dim": bottleneck["bottleneck_dim"],
        "hidden_dim": int(config.get("encoder_hidden_size", 768)),
        "num_heads": int(config.get("encoder_num_heads", 12)),
        "encoder_num_layers": config.get("encoder_depth", 6),
        "decoder_num_layers": config.get("decoder_depth", 6),
        "decoder_hidden_dim": int(config.get("decoder_hidden_size", 768)),
        "decoder_num_heads": int(config.get("decoder_num_heads", 12)),
        "latent_norm": _NORMS[norm],
        "latent_max_wavelength": config.get("latent_pe_scale_factor", 10000),
        "learned_patch_positions": config.get("learned_encoder_patch_pe"),
        "learned_queries": learned_queries,
        "query_initializer": "normal" if gaussian else "sincos",
        "query_init_std": config.get("query_init_std", 0.02),
        "learned_latent_positions": config.get("learned_decoder_latent_pe"),
        "learned_patch_queries": config.get(
            "learned_decoder_patch_query_embed"
        ),
        "use_patch_type_embedding": config.get(
            "use_encoder_patch_token_type_embed"
        ),
        "use_query_type_embedding": config.get(
            "use_encoder_latent_query_token_type_embed"
        ),
        "use_latent_type_embedding": config.get(
            "use_decoder_latent_token_type_embed"
        ),
        "use_patch_query_type_embedding": config.get(
            "use_decoder_patch_query_token_type_embed"
        ),
        "quantizer": {
            "normalize": quantizer.get("l2_normalized", False),
            "stochastic": quantizer.get("stochastic", False),
            "temperature": temperature,
            "commitment_weight": quantizer.get("commitment_loss_weight", 0.25),
            "codebook_weight": quantizer.get("codebook_loss_weight", 1.0),
            "entropy_weight": quantizer.get("entropy_loss_weight", 0.0),
            "entropy_temperature": quantizer.get(
                "entropy_loss_temperature", 0.01
            ),
        },
    }
    # Older configurations omit options; the reference code treats these as
    # disabled.
    arguments = {k: v or False for k, v in arguments.items()}
    return {**arguments, **_prior_arguments(config["prior_model"])}


def _prior_arguments(config):
    name = str(config.get("name") or "none")
    if name.lower() in _NO_PRIOR:
        return {"prior": None}
    options = config.get("args", {})
    return {
        "prior": {
            **ARPrior.size_arguments(name),
            "max_length": options.get("max_seq_len", 1024),
            "dropout": 0.0 if config.get("no_dropout") else 0.1,
            "normalize": options.get("l2_normalized", True),
        },
        "prior_num_rounds": config["n_rounds"],
        "prior_max_sampling_ratio": config["mix_ss_max_ratio"],
        "prior_sampling_peak_fraction": config["mix_ss_peak_steps_ratio"],
        "prior_scheduled_sampling": config["use_mix_ss"],
        "prior_average_rounds": config["avg_loss_over_rounds"],
        "prior_gradient_all_rounds": not config["no_grad_before_last_round"],
        "prior_temperature": config["latent_ce_temperature"],
    }


def _generator_arguments(config):
    frames = config.get("frame_prediction", False)
    dim = config["dim"]
    width = int(2 * 4 * dim / 3)
    if config.get("ffn_dim_multiplier") is not None:
        width = int(config["ffn_dim_multiplier"] * width)
    multiple = config.get("multiple_of", 256)
    return {
        "vocab_size": config["vocab_size"],
        "num_tokens": config["max_seq_len"],
        "num_classes": config.get("num_classes", 101),
        "hidden_dim": dim,
        "num_layers": config["n_layer"],
        "num_heads": config["n_head"],
        "num_kv_heads": config.get("n_kv_head"),
        "mlp_dim": -(-width // multiple) * multiple,
        "conditioning": "frames" if frames else "class",
        "class_dropout": config.get("class_dropout_prob", 0.1),
        "token_dropout": config.get("token_dropout_p", 0.1),
        "dropout": config.get("resid_dropout_p", 0.1),
        "attention_dropout": config.get("attn_dropout_p", 0.0),
        "drop_path": config.get("drop_path_rate", 0.0),
        "learned_positions": not config.get("use_fixed_pe", False),
        "epsilon": config.get("norm_eps", 1e-5),
    }
