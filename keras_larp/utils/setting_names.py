"""Names of model settings in files, and their names today.

Presets and fingerprints of token data sets were written with earlier names of
the constructors' arguments. These files stay valid.
"""

# Name in files of format 1: name today.
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
_FORMAT_1 = {today: name for name, today in _RENAMED.items()}


def to_current_names(config):
    """Renames the settings of a stored config, nested ones included."""
    return _rename(config, _RENAMED)


def to_format_1_names(config):
    """Renames the settings of a config to those that fingerprints hash."""
    return _rename(config, _FORMAT_1)


def _rename(config, names):
    if not isinstance(config, dict):
        return config
    return {
        names.get(name, name): _rename(value, names)
        for name, value in config.items()
    }
