"""Renamed constructor arguments of models in stored files.

Presets and fingerprints of format 1 contain earlier argument names. This table
keeps them valid.
"""

from typing import Any

# Name in format 1: current name.
_RENAMED = {
    "condition": "conditioning",
    "decoder_layers": "decoder_num_layers",
    "encoder_layers": "encoder_num_layers",
    "latent_base": "latent_max_wavelength",
    "prior_sampling_peak": "prior_sampling_peak_fraction",
    "query_initial": "query_initializer",
    "query_stddev": "query_init_std",
    "restart_after": "reset_unused_after",
    "use_latent_type": "use_latent_type_embedding",
    "use_patch_query_type": "use_patch_query_type_embedding",
    "use_patch_type": "use_patch_type_embedding",
    "use_query_type": "use_query_type_embedding",
}
_FORMAT_1 = {current: name for name, current in _RENAMED.items()}


def to_current_names(config: dict[str, Any]) -> dict[str, Any]:
    """Renames the settings of a stored config, including nested ones."""
    return _rename(config, _RENAMED)


def to_format_1_names(config: dict[str, Any]) -> dict[str, Any]:
    """Renames the settings of a config to the names that fingerprints use."""
    return _rename(config, _FORMAT_1)


def _rename(config: Any, names: dict[str, str]) -> Any:
    if not isinstance(config, dict):
        return config
    return {
        names.get(name, name): _rename(value, names)
        for name, value in config.items()
    }
